"""Points of further schemas on the anny head: symmetric, consistent with iBUG's, and written by the annotator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthforge_plugins.heads.anny.head import AnnyHead

from synthforge.core.errors import AnnotationError
from synthforge.core.plugins import load_plugins
from synthforge.core.schemas import POINT_SCHEMAS, translate_points

#: points of the schema that mark what these points of iBUG's 68 mark
SAME = {
    "facesynthetics70": (range(68), range(68)),
    "wflw98": (
        (0, 2, 16, 32, 33, 37, 42, 46, 51, 57, 60, 64, 72, 76, 82, 88),
        (0, 1, 8, 16, 17, 21, 22, 26, 27, 33, 36, 39, 45, 48, 54, 60),
    ),
    "lapa106": ((0, 16, 33, 42, 51, 60, 66, 70, 79, 84, 96), (0, 8, 17, 22, 27, 33, 36, 39, 45, 48, 60)),
}


@pytest.fixture(scope="module")
def head() -> AnnyHead:
    return AnnyHead()


@pytest.fixture(scope="module")
def rest(head: AnnyHead) -> torch.Tensor:
    return torch.from_numpy(head.rest[None])


def test_every_schema_of_the_head_is_registered_and_offered(head: AnnyHead) -> None:
    assert set(head.other_schemas) == {"facesynthetics70", "wflw98", "lapa106", "mediapipe478"}
    assert all(name in POINT_SCHEMAS for name in head.other_schemas)


@pytest.mark.parametrize("schema", AnnyHead.other_schemas)
def test_points_of_the_symmetric_head_are_symmetric(head: AnnyHead, rest: torch.Tensor, schema: str) -> None:
    points = head.points(schema, rest)[0].numpy()
    mirrored = points[list(POINT_SCHEMAS[schema].mirror)] * [-1, 1, 1]
    assert np.abs(points - mirrored).max() < 5e-4
    assert len(np.unique(points.round(5), axis=0)) > 0.9 * len(points), "no place is filled twice, or left empty"


@pytest.mark.parametrize("schema", SAME)
def test_what_two_schemas_mark_is_one_place(head: AnnyHead, rest: torch.Tensor, schema: str) -> None:
    camera = torch.tensor([[0.4, 0.1, 1.2]])
    ibug = head.landmarks(rest, camera, "visible")[0]
    points = head.points(schema, rest, camera, "visible")[0]
    here, there = SAME[schema]
    torch.testing.assert_close(points[list(here)], ibug[list(there)])


def test_points_between_those_of_the_jaw_lie_between_them(head: AnnyHead, rest: torch.Tensor) -> None:
    points = head.points("wflw98", rest, torch.tensor([[0.3, 0.0, 1.0]]), "visible")[0]
    for i in range(1, 32, 2):
        length = (points[i + 1] - points[i - 1]).norm()
        assert (points[i] - (points[i - 1] + points[i + 1]) / 2).norm() < 0.15 * length


def test_lids_and_lips_of_mediapipe_follow_those_of_ibug(head: AnnyHead, rest: torch.Tensor) -> None:
    """iBUG's are some 2 mm inside of corners and borders, see `embedding`."""
    ibug = head.landmarks(rest)[0]
    points = head.points("mediapipe478", rest)[0]
    pairs = {33: 36, 133: 39, 362: 42, 263: 45, 61: 48, 291: 54, 0: 51, 17: 57, 13: 62, 14: 66, 2: 33, 152: 8}
    for here, there in pairs.items():
        assert (points[here] - ibug[there]).norm() < 0.004, f"{here} and {there}"


def test_points_of_mediapipe_become_ibugs(head: AnnyHead, rest: torch.Tensor) -> None:
    """Of one head, seen from the front; the outline of MediaPipe's mesh is not iBUG's jaw."""
    picture = [1000.0, -1000.0]
    wanted = head.landmarks(rest)[0, :, :2].numpy() * picture
    mesh = head.points("mediapipe478", rest)[0, :, :2].numpy() * picture
    found = translate_points(mesh, "mediapipe478", "ibug68")
    error = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted[36] - wanted[45])
    assert error[17:].mean() < 0.04, "brows, nose, eyes and mouth"
    assert error[:17].mean() < 0.12
    steps = np.linalg.norm(np.diff(found[:9], axis=0), axis=1)
    assert np.ptp(steps) < 0.1 * steps.mean(), "the jaw is in equal steps"


def test_the_irises_turn_with_the_gaze(head: AnnyHead) -> None:
    gaze = torch.tensor([[[0.3, 0.0], [0.3, 0.0]]])
    ahead, aside = (head.points("facesynthetics70", head({"gaze": turned}).vertices)[0] for turned in (0 * gaze, gaze))
    assert (aside[68:, 0] - ahead[68:, 0] > 0.003).all()
    torch.testing.assert_close(aside[:36], ahead[:36])


@pytest.mark.parametrize("schema", ["wflw98", "mediapipe478"])
def test_the_annotator_writes_any_of_them(schema: str) -> None:
    plugins = load_plugins()
    generator = plugins.build("generator", {"name": "anny"}, where="test")
    annotator = plugins.build("annotator", {"name": "landmarks", "schema": schema}, where="test")
    rendering = generator.render([generator.sample(3, 0)], 96)[0]
    found = annotator.annotate(rendering)
    assert found["landmarks2d"].shape == (len(POINT_SCHEMAS[schema]), 2)
    pixels, _ = rendering.camera.project(found["landmarks3d"])
    np.testing.assert_allclose(pixels, found["landmarks2d"], atol=1e-3)
    assert found["landmark_visibility"].mean() > 0.5


def test_the_annotator_names_the_schemas_of_the_head() -> None:
    plugins = load_plugins()
    generator = plugins.build("generator", {"name": "anny"}, where="test")
    annotator = plugins.build("annotator", {"name": "landmarks", "schema": "other"}, where="test")
    with pytest.raises(AnnotationError, match="no 'other' landmarks") as caught:
        annotator.annotate(generator.render([generator.sample(3, 0)], 32)[0])
    assert "mediapipe478" in str(caught.value.hint)
