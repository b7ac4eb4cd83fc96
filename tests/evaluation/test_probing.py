"""Intervals and curves of a probe."""

from __future__ import annotations

import numpy as np
import pytest

from synthforge.evaluation.probing import curve, interval, plot


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_intervals_cover_the_true_mean_as_often_as_they_say(kind: str) -> None:
    rng = np.random.default_rng(5)
    draws = rng.normal(3.0, 1.0, (1000, 32)) if kind == "normal" else rng.gamma(3.0, 1.0, (1000, 32))
    inside = 0
    for seed, values in enumerate(draws):
        low, high = interval(values, seed, 400)
        inside += low <= 3.0 <= high
    assert 0.93 <= inside / 1000 <= 0.97


def test_interval_needs_two_persons_and_takes_equal_ones() -> None:
    assert np.isnan(interval(np.array([1.0]))).all()
    assert interval(np.full(5, 2.0)) == (2.0, 2.0)


def test_differences_are_paired_over_persons_that_have_both() -> None:
    persons = np.random.default_rng(1).gamma(2.0, 3.0, 40)
    moved: list[float | None] = [*(persons + 1.0)]
    moved[3] = None
    base, other = curve(["plain", "moved"], "plain", [list(persons), moved])
    assert base["base"]
    assert base["difference"] == 0
    assert other["persons"] == 39
    assert other["difference"] == pytest.approx(1.0)
    low, high = other["difference_interval"]
    assert high - low < 1e-6 < other["interval"][1] - other["interval"][0]


def test_plots_stay_in_their_frame_whatever_the_interval() -> None:
    rows = curve([0, 1], 0, [[1.0, 1.1, 9.0], [2.0, 2.2, 30.0]])
    shown = plot({"levels": [0, 1], "lines": [{"label": "a", "rows": rows}]})
    ys = [float(pair.split(",")[1]) for pair in shown["lines"][0]["band"].split()]
    assert shown["top"] <= min(ys) <= max(ys) <= shown["height"] - shown["bottom"]
