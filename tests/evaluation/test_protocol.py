"""The protocol end to end, with predictors whose right answer is known."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
import torch
from toy_benchmarks import TASKS, Toy, find_dots, read_depth, read_labels, scored

from synthforge.core.errors import UserError
from synthforge.core.frames import CropFrame
from synthforge.core.records import RealItem, RealSample
from synthforge.datasets import crops
from synthforge.evaluation import protocol
from synthforge.evaluation.boxes import LEAST_OVERLAP, jittered, matching, overlap


@pytest.mark.parametrize("input_size", [96, 256])
@pytest.mark.parametrize("box", ["truth", "ground-truth", "jitter"])
def test_a_perfect_detector_scores_nearly_nothing(input_size: int, box: str) -> None:
    """Dots found in crops come back to their place in the photograph: no half-pixel bias at any size."""
    offsets: list[np.ndarray] = []

    class Watched(Toy):
        def score(self, results):  # type: ignore[no-untyped-def]
            pairs = list(results)
            offsets.extend(np.delete(p - s.target, 45, axis=0).mean(axis=0) for s, p in pairs)
            for sample, points in pairs:
                points[45] = sample.target[36] + (100, 0)
            return super().score(pairs)

    evaluation = scored(find_dots, Watched("keypoints"), input_size=input_size, box=box)
    assert evaluation.scores.values["nme"] < 0.3  # percent of 100 pixels
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.03  # pixels
    assert evaluation.count == evaluation.available == 10


def test_the_second_pass_crops_around_the_predicted_points() -> None:
    seen: list[float] = []

    def predictor(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(float(batch.mean()))
        return find_dots(batch)

    scored(predictor, Toy("keypoints", 2), passes=2, cases=0)
    assert len(seen) == 2
    assert seen[1] > 1.5 * seen[0]  # the dots fill more of the second, tighter crop


def test_labels_come_back_at_full_resolution() -> None:
    evaluation = scored(read_labels, Toy("segmentation"), input_size=256)
    assert evaluation.scores.values["accuracy"] > 90
    for case in evaluation.cases:
        wrong = case.prediction != case.sample.target
        inside_a_block = [axis for axis in range(186) if 2 <= axis % 32 < 30]
        assert not wrong[2:28][:, inside_a_block].any()  # a pixel or so beside edges, nothing else
    worse = scored(read_labels, Toy("segmentation"), input_size=32)
    assert worse.scores.values["accuracy"] < evaluation.scores.values["accuracy"]


def test_depth_comes_back_at_full_resolution() -> None:
    evaluation = scored(read_depth, Toy("depth"))
    assert evaluation.scores.values["absrel"] < 0.05
    assert evaluation.scores.units == {"absrel": "", "rmse": "m", "delta@1.25": "%"}


def test_pixels_outside_of_the_crop_are_background() -> None:
    matrix = crops.box_matrix((10, 20, 30, 40), 64)
    logits = torch.zeros(3, 16, 16)
    logits[2] = 1
    label = TASKS["segmentation"].to_photograph(logits, CropFrame(matrix, 64, (0, 0, 60, 50)))
    assert (label[20:40, 10:30] == 2).all()
    assert label.sum() == 2 * 20 * 20


def test_a_map_is_interpolated_at_pixel_centres() -> None:
    """A linear ramp over the crop comes back as the same ramp in the photograph's coordinates."""
    matrix = crops.box_matrix((12.3, 7.9, 52.3, 47.9), 100)
    ramp = ((torch.arange(50) + 0.5) * 2).expand(1, 50, 50).double()  # crop x, at half the crop's resolution
    frame = CropFrame(matrix, 100, (0, 0, 60, 60))
    mapped, inside = frame.map(ramp)[..., 0], frame.map(ramp, lambda values, inside: inside)
    expected = crops.apply(matrix, np.stack([np.arange(60) + 0.5, np.full(60, 20.0)], axis=1))[:, 0]
    core = np.arange(15, 50)
    np.testing.assert_allclose(mapped[20, core], expected[core], atol=1e-9)
    assert inside[20, 13]
    assert not inside[20, 11]


def test_jitter_is_uniform_and_depends_on_the_face_alone() -> None:
    box = (10.0, 10.0, 110.0, 90.0)
    boxes = np.array([jittered(box, f"face{i}") for i in range(2000)])
    assert jittered(box, "face3") == tuple(boxes[3])
    shift = ((boxes[:, :2] + boxes[:, 2:]) / 2 - (60, 50)) / 100
    scale = (boxes[:, 2] - boxes[:, 0]) / 100
    for values, reach in ((shift[:, 0], 0.1), (shift[:, 1], 0.1), (scale - 1, 0.2)):
        assert reach * 0.99 < np.abs(values).max() <= reach
        assert values.std() == pytest.approx(reach / 3**0.5, rel=0.05)  # of a uniform distribution
        assert abs(values.mean()) < 0.03 * reach * 3
    np.testing.assert_allclose((boxes[:, 3] - boxes[:, 1]) / 80, scale)
    assert abs(np.corrcoef(shift.T, scale[None])[0, 1:]).max() < 0.08


def test_a_detectors_box_is_matched_and_misses_are_counted() -> None:
    """Two faces are found, the rest not: those are scored from the annotated box and left out of one figure."""
    truth = (60.0, 40.0, 130.0, 110.0)
    near, far = (65.0, 45.0, 135.0, 115.0), (0.0, 0.0, 30.0, 30.0)
    bench = Toy("keypoints")
    images = [bench.load(item).image for item in bench.items("test")]
    answers = [[far, near], [near], [far], *[[]] * 7]

    def finder(image: np.ndarray) -> list[tuple[float, float, float, float]]:
        return answers[next(i for i, known in enumerate(images) if np.array_equal(known, image))]

    evaluation = scored(find_dots, bench, box="detector", finder=finder, cases=1)
    boxes = evaluation.details["boxes"]
    assert boxes["missed_faces"] == [f"test/{i:02d}" for i in range(2, 10)]
    assert boxes["missed"] == 8
    per_item = evaluation.scores.per_item
    assert evaluation.scores.values["detected"] == pytest.approx(20)
    assert evaluation.scores.values["detected/nme"] == pytest.approx((per_item["test/00"] + per_item["test/01"]) / 2)
    plain = scored(find_dots, Toy("keypoints"), cases=0).scores.per_item
    assert per_item["test/05"] == plain["test/05"]
    assert per_item["test/00"] != plain["test/00"]
    assert any("8 of 10 faces were not found" in note for note in evaluation.notes)
    assert overlap(truth, near) > LEAST_OVERLAP > overlap(truth, far)
    assert matching(truth, [far, truth, near]) == truth


def test_overlap() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_boxes_and_passes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="box is one of truth, jitter, detector"):
        scored(find_dots, Toy("keypoints"), box="jiter")
    with pytest.raises(ValueError, match="passes is at least 1"):
        scored(find_dots, Toy("keypoints"), passes=0)
    with pytest.raises(ValueError, match="needs a finder"):
        scored(find_dots, Toy("keypoints"), box="detector")
    with pytest.raises(UserError, match="crops otherwise"):
        scored(read_labels, Toy("segmentation"), box="detector", finder=lambda image: [])


def test_result_is_the_same_for_any_batch_size() -> None:
    one = scored(find_dots, Toy("keypoints"), batch_size=1).scores
    many = scored(find_dots, Toy("keypoints"), batch_size=7).scores
    assert one.per_item == pytest.approx(many.per_item)


def test_every_core_computes_a_batch_and_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    results, used, most = [], set(), [0, 0]

    def watched(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        used.add(threading.get_ident())
        assert torch.get_num_threads() == 1
        most[0] += 1
        most[1] = max(most)
        time.sleep(0.01)
        found = find_dots(batch)
        most[0] -= 1
        return found

    for cores in (1, 3):
        monkeypatch.setattr(protocol, "available_cores", lambda cores=cores: cores)
        used.clear()
        results.append(scored(watched, Toy("keypoints", 8), batch_size=1, cases=0).scores.per_item)
        assert len(used) <= cores
    assert results[0] == results[1]
    assert most[1] > 1


def test_cases_limit_and_json() -> None:
    evaluation = scored(find_dots, Toy("keypoints"), name="toy", limit=7, cases=2)
    errors = evaluation.scores.per_item
    kinds = [case.kind for case in evaluation.cases]
    assert kinds == ["best", "best", "median", "median", "worst", "worst"]
    assert len({case.sample.item.key for case in evaluation.cases}) == 6
    assert evaluation.cases[0].error == min(errors.values())
    assert evaluation.cases[4].error == max(errors.values())
    data = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert (data["count"], data["available"], data["benchmark"]) == (7, 10, "toy")
    assert data["protocol"]["box"] == "truth"
    assert data["published"][0]["source"] == "Table 0"


def test_a_figure_without_a_value_is_null() -> None:
    data = scored(read_labels, Toy("segmentation", 3)).to_json()
    assert data["values"]["f1/background"] is None
    json.dumps(data, allow_nan=False)


def test_wrong_predictions_are_refused() -> None:
    bench = Toy("keypoints", 3)

    def run(output: object) -> None:
        scored(lambda batch: output, bench)  # type: ignore[arg-type,return-value]

    with pytest.raises(UserError, match=r"no 'points' \(it gives logits\)"):
        run({"logits": torch.zeros(3, 11, 4, 4)})
    with pytest.raises(UserError, match="not finite"):
        run({"points": torch.full((3, 68, 2), float("nan"))})
    with pytest.raises(UserError, match="70 channels; the schema ibug68 has 68"):
        run({"points": torch.zeros(3, 70, 2)})
    with pytest.raises(UserError, match=r"no 'points' \(it gives list"):
        run([1, 2, 3])
    with pytest.raises(UserError, match="nothing to score"):
        scored(find_dots, bench, limit=0)


def test_a_scorer_that_drops_faces_is_caught() -> None:
    class Dropping(Toy):
        def score(self, results):  # type: ignore[no-untyped-def]
            return super().score(list(results)[:2])

    with pytest.raises(Exception, match="2 of 5 faces were scored"):
        scored(find_dots, Dropping("keypoints", 5))


def test_an_unscorable_face_is_named() -> None:
    class Flat(Toy):
        def load(self, item: RealItem) -> RealSample:
            sample = super().load(item)
            return RealSample(sample.item, sample.image, (5.0, 5.0, 5.0, 5.0), sample.target)

    with pytest.raises(UserError, match="test/00"):
        scored(find_dots, Flat("keypoints"))
