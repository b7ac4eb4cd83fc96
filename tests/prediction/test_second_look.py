"""A second look: patches are where they are said to be, and answers come back to the photograph's pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.core.errors import ConfigError, DataError
from synthforge.core.frames import apply
from synthforge.core.plugins import load_plugins
from synthforge.core.schemas import POINT_SCHEMAS
from synthforge.learning.config import NetworkConfig
from synthforge.learning.model import AdapterInfo, FaceModel, build_tasks, load_model
from synthforge.learning.patches import cut
from synthforge.learning.weights import DIGESTS
from synthforge.prediction.predictor import Predictor

EYES = {
    "task": "keypoints",
    "parts": [[36, 37, 38, 39, 40, 41], [45, 44, 43, 42, 47, 46]],
    "mirrored": [False, True],
    "side": 0.4,
    "size": 32,
    "share": 0.5,
    "width": 0.125,
    "channels": 8,
    "hidden": 8,
}


def build(looks: list[dict[str, object]], names: Sequence[str] = ("keypoints",), **info: object) -> FaceModel:
    torch.manual_seed(0)
    described = [{"name": name, "width": 8, **({"head": "light"} if name == "keypoints" else {})} for name in names]
    tasks, references = build_tasks(described, load_plugins())
    network = NetworkConfig(backbone="residual", width=0.125, channels=8, input_size=32)
    return FaceModel(network, tasks, references, looks=looks, info=info).eval()


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(30, 70), st.floats(30, 70)),
    st.floats(8, 40),
    st.floats(-math.pi, math.pi),
    st.booleans(),
)
def test_a_patch_shows_what_its_map_says(at: tuple[float, float], side: float, angle: float, mirrored: bool) -> None:
    """A smooth picture whose colours are its coordinates, read back from the patch."""
    y, x = np.mgrid[0:100, 0:100] + 0.5
    image = np.stack([x * 2, y * 2, np.zeros_like(x)], axis=-1).round().astype(np.uint8)
    patch, matrix = cut(image, np.array(at), side, 24, angle, mirrored)
    row, column = 15, 8
    expected = np.array([column + 0.5, row + 0.5])
    shown = patch[:2, row, column].numpy() * 255 / 2
    np.testing.assert_allclose(apply(matrix, shown[None])[0], expected, atol=0.6 * 24 / side)
    assert (np.linalg.det(matrix[:, :2]) < 0) == mirrored
    np.testing.assert_allclose(apply(matrix, np.array(at)), [12, 12], atol=1e-9)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 80, 3)).astype(np.uint8)


def test_only_the_points_of_the_parts_change_and_by_their_share(image: np.ndarray) -> None:
    box, eyes = (10.0, 12.0, 70.0, 80.0), slice(36, 48)
    points = {}
    for share in (0.0, 0.5, 1.0):
        (face,) = Predictor(build([EYES | {"share": share}]))(image, [box])
        assert face.points is not None
        points[share] = face.points
    (plain,) = Predictor(build([EYES]), second_look=False)(image, [box])
    assert np.array_equal(plain.points, points[0.0])  # type: ignore[arg-type]
    moved = np.abs(points[1.0] - points[0.0]).max(1) > 1e-6
    assert moved[eyes].all()
    assert not np.delete(moved, np.r_[eyes]).any()
    np.testing.assert_allclose(points[0.5], (points[0.0] + points[1.0]) / 2, atol=1e-9)


def test_a_part_may_be_looked_at_in_several_sizes(image: np.ndarray) -> None:
    """Shares of parts with the same points add up."""
    box, points = (10.0, 12.0, 70.0, 80.0), {}
    both = {"parts": EYES["parts"] * 2, "mirrored": EYES["mirrored"] * 2, "side": [0.4, 0.4, 0.3, 0.3]}  # type: ignore[operator]
    for name, change in {"wide": {}, "close": {"side": 0.3}, "both": both}.items():
        (face,) = Predictor(build([EYES | change | {"share": 0.25}]))(image, [box])
        points[name] = face.points
    (first,) = Predictor(build([EYES]), second_look=False)(image, [box])
    assert first.points is not None
    np.testing.assert_allclose(points["both"], points["wide"] + points["close"] - first.points, atol=1e-6)


def test_a_mirrored_face_gets_mirrored_points(image: np.ndarray) -> None:
    """One network serves both eyes, so what it adds to one is what it adds to the other of the mirrored picture."""
    model = build([EYES], mirrored=["keypoints"])
    box, width = (10.0, 12.0, 70.0, 80.0), image.shape[1]
    order = list(POINT_SCHEMAS["ibug68"].mirror)
    (face,), (turned,) = (
        Predictor(model)(image, [box]),
        Predictor(model)(np.ascontiguousarray(image[:, ::-1]), [(width - box[2], box[1], width - box[0], box[3])]),
    )
    assert face.points is not None
    assert turned.points is not None
    back = turned.points[order] * [-1, 1] + [width, 0]
    np.testing.assert_allclose(back[36:48], face.points[36:48], atol=0.05)


def test_a_model_with_a_second_look_is_read_back_as_it_was(tmp_path: Path, image: np.ndarray) -> None:
    model = build([EYES])
    model.save(tmp_path)
    before, after = (Predictor(each)(image, [(10.0, 12.0, 70.0, 80.0)])[0] for each in (model, load_model(tmp_path)))
    assert np.array_equal(before.points, after.points)  # type: ignore[arg-type]


def test_a_label_network_is_looked_behind_with_part_of_the_share(tmp_path: Path) -> None:
    model, patches = build([EYES]), torch.rand(2, 3, 32, 32)
    wanted = model.looks_for("keypoints")[0](patches)
    for factor, shares in ((0.0, []), (0.5, [0.25]), (1.0, [0.5])):
        model.add_adapter("keypoints", AdapterInfo("ibug68", False, second_look=factor))
        model.eval().save(tmp_path)
        again = load_model(tmp_path)
        looks = again.looks_for("keypoints")
        assert [look.info.share for look in looks] == shares
        assert all(torch.equal(look(patches), wanted) for look in looks)
        assert Predictor(again).facts("keypoints").get("second_look", False) == bool(shares)
    with pytest.raises(ConfigError, match="second_look: it answers points of 'ibug68', not of 'wflw98'"):
        model.add_adapter("keypoints", AdapterInfo("wflw98", False, second_look=0.5))
    described = json.loads((tmp_path / "model.json").read_text())
    described["adapters"]["keypoints"]["second_look"] = 2.0
    del described[DIGESTS]
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match="second_look is in"):
        load_model(tmp_path)


AIMED = EYES | {"directions": "gaze", "vectors": [1, 0], "pose": "head-pose"}
AIMS = ("keypoints", "gaze", "head-pose")


def test_where_eyes_look_is_seen_again_and_points_stay(tmp_path: Path, image: np.ndarray) -> None:
    """Gaze alone gives what gaze with all the rest gives, from a model that was written and read."""
    build([AIMED], AIMS).save(tmp_path)
    model, boxes = load_model(tmp_path), [(10.0, 12.0, 70.0, 80.0)]
    whole, alone, first = (
        Predictor(model, tasks=tasks, second_look=again)(image, boxes)[0].values
        for tasks, again in ((AIMS, True), (["gaze"], True), (AIMS, False))
    )
    (points,) = Predictor(model, tasks=["keypoints"])(image, boxes)
    assert np.array_equal(whole["gaze"], alone["gaze"])
    assert np.array_equal(whole["keypoints"], points.points)  # type: ignore[arg-type]
    assert np.array_equal(whole["head-pose"], first["head-pose"])
    assert np.abs(whole["gaze"] - first["gaze"]).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(whole["gaze"], axis=1), 1, atol=1e-6)


def test_a_mirrored_face_looks_the_other_way(image: np.ndarray) -> None:
    model = build([AIMED], AIMS, mirrored=list(AIMS))
    box, width = (10.0, 12.0, 70.0, 80.0), image.shape[1]
    (face,), (turned,) = (
        Predictor(model, tasks=["gaze"])(image, [box]),
        Predictor(model, tasks=["gaze"])(
            np.ascontiguousarray(image[:, ::-1]), [(width - box[2], box[1], width - box[0], box[3])]
        ),
    )
    np.testing.assert_allclose(turned.values["gaze"][::-1] * [-1, 1, 1], face.values["gaze"], atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directions": "gaze", "vectors": [1, 0], "pose": "head-pose"}, "no tasks"),
        ({"directions": "gaze", "vectors": [1], "pose": "head-pose"}, "vectors has"),
        ({"parts": [[36, 68]], "mirrored": [False]}, "no such points"),
        ({"parts": [[1, 2], [3]]}, "all as long"),
        ({"parts": []}, "all as long"),
        ({"size": 10**9}, "size is in"),
        ({"width": 1e9}, "width is in"),
        ({"task": "depth"}, "no such points"),
        ({"share": 1.5}, "share is in"),
        ({"side": 9.0}, "side is in"),
        ({"side": [0.4]}, "side is in"),
        ({"side": None}, "model.json"),
        ({"side": ["0.4", "0.4"]}, "model.json"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    build([EYES]).save(tmp_path)
    path = tmp_path / "model.json"
    described = json.loads(path.read_text())
    described["looks"] = [EYES | change]
    del described[DIGESTS]
    path.write_text(json.dumps(described))
    with pytest.raises(DataError, match=message):
        load_model(tmp_path)
