"""Every figure against an independent computation on random input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.optimize import nnls
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score, jaccard_score

from synthforge.evaluation import metrics


def random_points(seed: int, count: int = 7) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    target = {f"face{i}": rng.uniform(0, 100, (68, 2)) for i in range(count)}
    return {key: value + rng.normal(0, 2, (68, 2)) for key, value in target.items()}, target


def test_nme_against_scipy() -> None:
    prediction, target = random_points(0)
    errors = metrics.PointErrors()
    for key in target:
        errors.add(key, prediction[key], target[key], (36, 45))
    for key, value in errors.per_item().items():
        distances = np.diag(cdist(prediction[key], target[key]))
        eyes = cdist(target[key][36:37], target[key][45:46])[0, 0]
        assert value == pytest.approx(100 * distances.mean() / eyes)
    assert errors.nme() == pytest.approx(np.mean(list(errors.per_item().values())))
    assert errors.nme([3]) == pytest.approx(np.mean([values[3] for values in errors.errors.values()]))


def test_nme_by_hand() -> None:
    """Two points 10 pixels apart, each 1 pixel off: 10 %."""
    target = np.array([[0.0, 0.0], [10.0, 0.0]])
    np.testing.assert_allclose(metrics.point_errors(target + np.array([0, 1]), target, (0, 1)), [10.0, 10.0])


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.sampled_from([8.0, 10.0]))
def test_auc_is_the_integral_of_the_error_distribution(errors: list[float], threshold: float) -> None:
    grid = np.linspace(0, threshold, 20_001)
    share = np.searchsorted(np.sort(errors), grid, side="right") / len(errors)
    assert metrics.auc(errors, threshold) == pytest.approx(100 * trapezoid(share, grid) / threshold, abs=0.02)
    assert metrics.failure_rate(errors, threshold) == pytest.approx(
        100 * sum(error > threshold for error in errors) / len(errors)
    )


def test_confusion_against_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    total, flat_target, flat_prediction = metrics.Confusion(6), [], []
    for _ in range(4):
        target = rng.integers(0, 6, (23, 31)).astype(np.uint8)
        prediction = np.where(rng.random((23, 31)) < 0.6, target, rng.integers(0, 6, (23, 31))).astype(np.uint8)
        target[rng.random((23, 31)) < 0.1] = 255
        mask = rng.random((23, 31)) < 0.8
        total.add(prediction, target, mask)
        flat_target.append(target[mask & (target != 255)])
        flat_prediction.append(prediction[mask & (target != 255)])
    y, x = np.concatenate(flat_target), np.concatenate(flat_prediction)
    np.testing.assert_allclose(total.f1(), 100 * f1_score(y, x, average=None))
    np.testing.assert_allclose(total.iou(), 100 * jaccard_score(y, x, average=None))
    assert total.accuracy() == pytest.approx(100 * np.mean(x == y))
    assert total.counts.dtype == np.int64


def test_a_class_that_is_nowhere_has_no_value_and_does_not_count() -> None:
    total = metrics.Confusion(4)
    total.add(np.array([[1, 1, 2]], np.uint8), np.array([[1, 1, 1]], np.uint8))
    f1 = total.f1()
    assert f1[1] == pytest.approx(80.0)  # 2 * 2 / (3 + 2)
    assert f1[2] == 0.0  # predicted though absent
    assert np.isnan(f1[3])
    assert metrics.mean_of(f1, [1, 2, 3]) == pytest.approx(40.0)


def test_counts_do_not_overflow() -> None:
    total = metrics.Confusion(2)
    total.counts[1, 1] = 2**40
    total.add(np.ones((2, 2), np.uint8), np.ones((2, 2), np.uint8))
    assert total.counts[1, 1] == 2**40 + 4
    assert total.f1()[1] == pytest.approx(100.0)


@given(st.integers(0, 10_000))
def test_alignment_against_non_negative_least_squares(seed: int) -> None:
    """scipy's NNLS over (x, 1, -1): scale >= 0, shift free. Half of the cases slope the wrong way."""
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 1, (9, 8))
    y = rng.choice([-1.5, 1.5]) * x + 20 + rng.normal(0, 0.3, x.shape)
    mask = rng.random(x.shape) < 0.7
    mask[0, :3] = True
    scale, shift = metrics.align(x, y, mask)
    columns = np.stack([x[mask], np.ones(mask.sum()), -np.ones(mask.sum())], axis=1)
    (expected, up, down), _ = nnls(columns, y[mask])
    assert scale == pytest.approx(expected, abs=1e-6)
    assert shift == pytest.approx(up - down, abs=1e-5)


def test_depth_errors_by_hand() -> None:
    rng = np.random.default_rng(2)
    target = rng.uniform(0.5, 1.5, (12, 10))
    prediction = rng.uniform(0.5, 1.5, (12, 10))
    mask = rng.random((12, 10)) < 0.5
    errors = metrics.DepthErrors()
    errors.add("a", prediction, target, mask)
    errors.add("b", 3 * target + 7, target, mask)
    scale, shift = np.polyfit(prediction[mask], target[mask], 1)
    if scale < 0:
        scale, shift = 0.0, target[mask].mean()
    x, y = scale * prediction[mask] + shift, target[mask]
    absrel, rmse, delta = errors.errors["a"]
    assert absrel == pytest.approx(np.mean(np.abs(x - y) / y))
    assert rmse == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    assert delta == pytest.approx(100 * np.mean(np.maximum(x / y, y / x) < 1.25))
    assert errors.errors["b"] == pytest.approx((0, 0, 100), abs=1e-9)
    assert errors.means()["absrel"] == pytest.approx(absrel / 2)


def test_depth_turned_inside_out_is_not_rewarded() -> None:
    target = np.random.default_rng(3).uniform(1, 2, (20, 20))
    errors = metrics.DepthErrors()
    errors.add("right", 2 * target + 1, target, np.ones((20, 20), bool))
    errors.add("inside out", -2 * target + 1, target, np.ones((20, 20), bool))
    assert errors.errors["right"][0] < 1e-9
    assert errors.errors["inside out"][1] == pytest.approx(target.std())


@pytest.mark.parametrize("cut", [0, 1, 3, 7])
def test_parts_merge_to_the_whole(cut: int) -> None:
    prediction, target = random_points(4)
    keys = list(target)
    whole, parts = metrics.PointErrors(), [metrics.PointErrors(), metrics.PointErrors()]
    for number, key in enumerate(keys):
        for errors in (whole, parts[number >= cut]):
            errors.add(key, prediction[key], target[key], (36, 45))
    parts[1].merge(parts[0])
    assert parts[1].per_item() == whole.per_item()
    with pytest.raises(ValueError, match="both parts"):
        whole.merge(parts[1])


def test_what_cannot_be_scored_is_refused() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="not finite"):
        metrics.point_errors(np.full((2, 2), np.nan), points, (0, 1))
    with pytest.raises(ValueError, match="absurdly far"):
        metrics.point_errors(np.full((2, 2), 1e300), points, (0, 1))
    with pytest.raises(ValueError, match="do not match"):
        metrics.point_errors(points[:1], points, (0, 1))
    with pytest.raises(ValueError, match="coincide"):
        metrics.point_errors(points, np.ones((2, 2)), (0, 1))
    with pytest.raises(ValueError, match="class id"):
        metrics.Confusion(2).add(np.array([[2]], np.uint8), np.array([[1]], np.uint8))
    with pytest.raises(ValueError, match="empty"):
        metrics.DepthErrors().add("a", np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool))
