"""What is found besides the scores: sets, bias, groups, label maps, the worst faces; each against made-up answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synthforge_plugins.schemas import IBUG68

from synthforge.core.camera import Camera
from synthforge.core.errors import DataError, UserError
from synthforge.core.interfaces import Benchmark
from synthforge.core.plugins import load_plugins
from synthforge.core.records import RealItem, RealSample, Scores
from synthforge.evaluation import alignment, groups, store
from synthforge.evaluation.analysis import Analysis
from synthforge.evaluation.pictures import contact_sheet, jpeg
from synthforge.evaluation.pose import pose_in_space, yaw_in_image
from synthforge.evaluation.protocol import Evaluation, ScoringOptions, assess
from synthforge.evaluation.report import write_report
from synthforge.evaluation.scoring import score_points
from synthforge.evaluation.summary import to_markdown

FACES = 60


class Known(Benchmark):
    """Faces of two subsets whose points are a turned, scaled and shifted shape with noise."""

    task, schema, splits, crop_scale = "keypoints", "ibug68", ("test", "other"), 1.3

    def items(self, split: str) -> list[RealItem]:
        numbers = range(FACES) if split == "test" else range(FACES, 2 * FACES)
        return [RealItem(f"{i:03d}", Path(f"{i}.jpg"), Path(f"{i}.pts"), "ab"[i % 2]) for i in numbers]

    def load(self, item: RealItem) -> RealSample:
        rng = np.random.default_rng(int(item.key))
        angle, size = rng.uniform(-0.5, 0.5), rng.uniform(30, 60)
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (SHAPE + rng.normal(0, 0.05, SHAPE.shape)) @ turn.T + rng.uniform(80, 120, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        image = np.full((200, 200, 3), int(item.key), np.uint8)
        return RealSample(item, image, (low[0], low[1], high[0], high[1]), points)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        return score_points(results, "ibug68")

    def attributes(self, sample: RealSample) -> Mapping[str, Any]:
        number = int(sample.item.key)
        return {"turn": {"yaw": number - 30.0}, "glasses": number % 3 == 0, "hair": None if number == 5 else "long"}


_RNG = np.random.default_rng(3)
SHAPE = _RNG.uniform(-1, 1, (68, 2))
SHAPE[36], SHAPE[45] = (-0.6, -0.2), (0.6, -0.2)


KEYPOINTS = load_plugins().build("task", "keypoints")


def run_of(bench: Known, wrong: Any) -> Any:
    def run(items: Sequence[RealItem]) -> Iterable[tuple[RealSample, np.ndarray, Any]]:
        for item in items:
            sample = bench.load(item)
            yield sample, wrong(sample), (0.0, 0.0, 100.0, 100.0)

    return run


def look_at(wrong: Any, **options: Any) -> Evaluation:
    bench = Known()
    how = {"input_size": 50}
    asked = ScoringOptions(look=Analysis(**options), cases=0, progress=False)
    return assess(run_of(bench, wrong), KEYPOINTS, bench, "test", how, asked)


def test_sets_and_regions_average_to_the_whole() -> None:
    evaluation = look_at(lambda s: s.target + np.random.default_rng(int(s.item.key)).normal(0, 2, (68, 2)))
    sets, values = evaluation.details["sets"], evaluation.scores.values
    assert list(sets) == ["a", "b", "all"]
    assert sets["all"]["nme"] == pytest.approx(values["nme"])
    assert sets["all"]["jaw"] == pytest.approx(values["nme/jaw"])
    assert (sets["a"]["nme"] + sets["b"]["nme"]) / 2 == pytest.approx(values["nme"])
    assert sets["b"]["nme"] == pytest.approx(values["b/nme"])
    weights = {name: len(points) for name, points in IBUG68.regions.items()}
    assert sum(weights.values()) == 68
    assert sum(sets["a"][name] * weight for name, weight in weights.items()) / 68 == pytest.approx(sets["a"]["nme"])


def test_a_constant_half_pixel_is_told_from_a_constant_share_of_the_crop() -> None:
    bias = look_at(lambda s: s.target + np.array([0.5, -0.25])).details["bias"]
    assert bias["mean_image_px"] == pytest.approx([0.5, -0.25])
    assert bias["mean_image_px_error"] == pytest.approx([0, 0], abs=1e-12)
    assert bias["mean_input_px"] == pytest.approx([0.25, -0.125])  # 50 input pixels show 100 of the photograph
    spans = [np.linalg.norm(s.target[36] - s.target[45]) for s in map(Known().load, Known().items("test"))]
    assert bias["points"][7] == pytest.approx([np.mean(50 / np.array(spans)), np.mean(-25 / np.array(spans))])


def test_the_worst_faces_come_first_with_place_and_photograph(tmp_path: Path) -> None:
    evaluation = look_at(lambda s: s.target + 10.0 * (s.item.key in ("007", "031")), worst=3, sheet=2)
    rows = evaluation.details["worst"]
    assert {rows[0]["key"], rows[1]["key"]} == {"007", "031"}
    assert [row["image"] for row in rows[:2]] == [f"{int(row['key'])}.jpg" for row in rows[:2]]
    assert [row["index"] for row in rows[:2]] == [int(row["key"]) for row in rows[:2]]
    assert rows[0]["error"] >= rows[1]["error"] > rows[2]["error"] == 0
    assert [case.sample.item.key for case in evaluation.sheet] == [row["key"] for row in rows[:2]]
    with Image.open(io.BytesIO(jpeg(contact_sheet(evaluation.sheet, KEYPOINTS, "ibug68", size=96)))) as sheet:
        assert sheet.size == (192, 112)
    store.save_evaluation(evaluation, tmp_path)
    assert (tmp_path / "worst.jpg").is_file()
    _, again = store.load_evaluation(tmp_path, load_plugins())
    assert again.details["worst"] == rows


def test_details_that_reports_could_not_draw_are_refused(tmp_path: Path) -> None:
    sound = look_at(lambda s: s.target)
    assert "groups" not in sound.details  # this benchmark knows neither of the usual attributes
    store.save_evaluation(sound, tmp_path)
    path = tmp_path / store.NUMBERS
    record = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("sha256", "digests")}
    for wrong in (
        {"worst": [{"key": 1}]},
        {"groups": {"yaw": [{"group": "< 0", "faces": 1}]}},
        {"training": {"step": [[]]}},
    ):
        path.write_text(json.dumps({**record, "details": {**sound.details, **wrong}}))
        with pytest.raises(DataError):
            store.load_evaluation(tmp_path, load_plugins())


def test_faces_without_an_error_are_no_figure_and_can_be_read_again(tmp_path: Path) -> None:
    per_item = {"a": 2.0, "b": float("nan"), "c": float("nan")}
    assert groups.figures(["a", "b"], per_item) == {"faces": 2, "mean": 2.0, "median": 2.0, "p90": 2.0}
    rows = {"yaw": [{"group": "< 0", **groups.figures(["b", "c"], per_item)}]}
    sound = look_at(lambda s: s.target, worst=1)
    worst = [{**sound.details["worst"][0], "error": float("nan")}]
    store.save_evaluation(replace(sound, details={**sound.details, "groups": rows, "worst": worst}), tmp_path)
    _, again = store.load_evaluation(tmp_path, load_plugins())
    assert again.details["groups"]["yaw"] == [{"group": "< 0", "faces": 2, "mean": None, "median": None, "p90": None}]
    text = write_report([("a", again)], tmp_path / "report").read_text(encoding="utf-8")
    assert "worst faces by name" in text


def convention(sample: RealSample) -> np.ndarray:
    """Another labelling: every landmark moved by its own affine map of the face's own frame."""
    linear, shift = alignment.similarity(sample.target, SHAPE)
    framed = sample.target @ linear.T + shift
    rng = np.random.default_rng(0)
    moved = framed * rng.uniform(0.8, 1.1, (68, 2)) + rng.uniform(-0.1, 0.1, (68, 2))
    return (moved - shift) @ np.linalg.inv(linear).T


def test_maps_take_away_a_convention_and_are_fitted_on_other_faces() -> None:
    evaluation = look_at(convention, align=40)
    align = evaluation.details["align"]
    assert align["fitted_on"] == 40
    assert align["without"]["faces"] == align["with"]["faces"] == FACES - 40
    assert align["without"]["nme"] > 4
    assert align["with"]["nme"] < 0.1 * align["without"]["nme"]
    assert evaluation.scores.values["nme"] > 4  # never applied in silence
    offset = look_at(convention, align=40, align_kind="offset").details["align"]
    assert align["with"]["nme"] < offset["with"]["nme"] < align["without"]["nme"]
    assert set(align["by_set"]["with"]) == {"a", "b", "all"}


def test_maps_do_not_take_away_noise_unless_it_hides_the_shape() -> None:
    def noisy(level: float) -> dict[str, Any]:
        def wrong(sample: RealSample) -> np.ndarray:
            return sample.target + np.random.default_rng(1000 + int(sample.item.key)).normal(0, level, (68, 2))

        return look_at(wrong, align=40).details["align"]

    small, large = noisy(0.5), noisy(5.0)
    for align in (small, large):
        assert align["offset"]["nme"] > 0.95 * align["without"]["nme"]
    assert small["with"]["nme"] > 0.95 * small["without"]["nme"]
    # What the module says of affine maps: where points are mostly noise, the mean face is the better guess.
    assert large["with"]["nme"] < 0.7 * large["without"]["nme"]


def test_maps_fitted_on_another_split_are_reported_on_every_face() -> None:
    align = look_at(convention, align=40, align_split="other").details["align"]
    assert align["with"]["faces"] == FACES
    assert align["with"]["nme"] < 0.1 * align["without"]["nme"]


def test_an_offset_is_the_mean_difference_in_the_face_frame() -> None:
    turned = [SHAPE @ np.array([[0.0, -s], [s, 0.0]]).T + 5 for s in range(1, 31)]
    targets = [points + 0.1 * np.linalg.norm(points[45] - points[36]) * np.array([0.0, 1.0]) for points in turned]
    maps = alignment.fit(turned, targets, (36, 45), "offset")
    # The eye line of these faces points down the image, so a shift along the image's y is along the frame's x.
    np.testing.assert_allclose(maps.matrices[:, :, 2], np.tile([0.1, 0.0], (68, 1)), atol=1e-9)
    np.testing.assert_allclose(maps.apply(turned[3]), targets[3], atol=1e-9)


def test_wrong_maps_are_refused() -> None:
    for options, message in (
        ({"align": 60}, "60 faces to fit on are asked for, of 60"),
        ({"align": 10}, "10 faces are too few"),
        ({"align": 30, "align_kind": "spline"}, "kind is one of offset, affine"),
        ({"align": 30, "align_split": "none"}, "no split 'none'"),
        ({"align": 30, "align_split": "test"}, "holds faces of 'test'"),
    ):
        with pytest.raises(UserError, match=message):
            look_at(lambda s: s.target, **options)


def test_groups_by_bins_and_by_value() -> None:
    def wrong(sample: RealSample) -> np.ndarray:
        return sample.target + np.array([0.0, 0.05 * abs(int(sample.item.key) - 30)])

    asked = {"turn.yaw": [-10.0, 0.0, 10.0], "glasses": [], "hair": [], "subset": []}
    evaluation = look_at(wrong, groups=asked)
    found = {name: {row["group"]: row for row in rows} for name, rows in evaluation.details["groups"].items()}
    yaw = found["turn.yaw"]
    assert {label: row["faces"] for label, row in yaw.items()} == {
        "< -10": 20,
        "-10 .. 0": 10,
        "0 .. 10": 10,
        ">= 10": 20,
    }
    per_item = evaluation.scores.per_item
    assert yaw["< -10"]["mean"] == pytest.approx(np.mean([per_item[f"{i:03d}"] for i in range(20)]))
    assert yaw["0 .. 10"]["median"] == pytest.approx(np.median([per_item[f"{i:03d}"] for i in range(30, 40)]))
    assert yaw["0 .. 10"]["regions"]["eyes"] == pytest.approx(yaw["0 .. 10"]["mean"])
    assert {label: row["faces"] for label, row in found["glasses"].items()} == {"False": 40, "True": 20}
    assert {label: row["faces"] for label, row in found["hair"].items()} == {"long": 59, "unknown": 1}
    assert found["subset"]["a"]["mean"] == pytest.approx(evaluation.scores.values["a/nme"])
    json.dumps(evaluation.to_json(), allow_nan=False)
    text = to_markdown(evaluation, "mine")
    assert "### By turn.yaw (NME, % of a face)" in text
    assert f"| -10 .. 0 | 10 | {yaw['-10 .. 0']['mean']:.2f} |" in text


def test_groups_that_cannot_be_made_say_why() -> None:
    for asked, message in (
        ({"yaw": []}, "Did you mean turn.yaw"),
        ({"turn.yaw": []}, "60 different values"),
        ({"hair": [0.0]}, "'long' of '000' is no number"),
        ({"nothing": []}, "Known: glasses, hair, subset, turn.yaw"),
    ):
        with pytest.raises(UserError) as caught:
            look_at(lambda s: s.target, groups=asked)
        assert message in f"{caught.value} {caught.value.hint}"
    with pytest.raises(ValueError, match=r"groups\.yaw: ascending"):
        groups.check_edges({"yaw": [3, 1]})
    assert groups.check_edges({"yaw": [1, 3], "hair": None}) == {"yaw": [1.0, 3.0], "hair": []}


def head(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """68 points of a crude head (68,3), world frame: the face's plane looks at yaw and pitch degrees, y up."""
    points = np.random.default_rng(0).uniform(-0.04, 0.04, (68, 3))
    points[36:48] = [0, 0.035, 0.03]
    points[36], points[45] = (-0.045, 0.035, 0.03), (0.045, 0.035, 0.03)
    points[48], points[54] = (-0.025, -0.035, 0.03), (0.025, -0.035, 0.03)
    points[0], points[16], points[30] = (-0.07, 0, -0.048), (0.07, 0, -0.048), (0, 0, 0.054)
    y, p = np.radians(yaw), np.radians(-pitch)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return points @ (turn @ nod).T


CAMERA = Camera(
    100,
    100,
    np.array([[500.0, 0, 50], [0, 500, 50], [0, 0, 1]]),
    np.diag([1.0, -1, -1, 1]) + np.outer([0, 0, 1, 0], [0, 0, 0, 1]),
)


@pytest.mark.parametrize("yaw", [-60.0, -20.0, 0.0, 35.0, 80.0])
def test_pose_of_points_in_space_is_exact(yaw: float) -> None:
    pose = pose_in_space(head(yaw, pitch=12.0), CAMERA)
    assert pose["yaw"] == pytest.approx(yaw, abs=1e-6)
    assert pose["pitch"] == pytest.approx(12.0, abs=1e-6)
    assert pose_in_space(head(0.0), CAMERA)["roll"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("yaw", [-60.0, -20.0, 0.0, 35.0])
@pytest.mark.parametrize("roll", [0.0, 40.0])
def test_yaw_in_an_image_has_the_sign_and_size_of_the_true_one_whatever_the_roll(yaw: float, roll: float) -> None:
    seen = head(yaw)[:, :2] * (1, -1)  # orthographic, y down
    r = np.radians(roll)
    turned = seen @ np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]]).T * 300 + 90
    assert yaw_in_image(turned) == pytest.approx(yaw, abs=4)
    assert np.isnan(yaw_in_image(np.zeros((68, 2))))
