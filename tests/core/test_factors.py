"""Declared distributions: cumulative probabilities and quantiles against SciPy and against draws."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from synthforge.core.factors import Factor, chance, read

X = np.linspace(-2, 3, 41)


@pytest.mark.parametrize(
    ("factor", "reference"),
    [
        (Factor("a", (), "uniform", low=-1, high=2), stats.uniform(-1, 3)),
        (Factor("a", (), "normal", mean=0.3, std=0.8), stats.norm(0.3, 0.8)),
        (Factor("a", (), "log_normal", mean=0.5, std=0.7), stats.lognorm(0.7, scale=0.5)),
        (Factor("a", (), "beta", mean=0.5, std=1.0), stats.beta(0.5, 1.0)),
        (
            Factor("a", (), "pieces", values=(0.0, 1.0, 3.0), weights=(0.25, 0.75)),
            stats.rv_histogram((np.array([0.25, 0.75]), np.array([0.0, 1.0, 3.0])), density=False),
        ),
    ],
)
def test_the_cdf_is_that_of_scipy(factor: Factor, reference: object) -> None:
    assert np.allclose(factor.cdf(X), reference.cdf(X), atol=1e-12)  # type: ignore[attr-defined]
    shares = np.array([0.01, 0.3, 0.5, 0.99])
    assert np.allclose(factor.quantile(shares), reference.ppf(shares), atol=1e-9)  # type: ignore[attr-defined]


@pytest.mark.parametrize("tries", [1, 2, 4])
@pytest.mark.parametrize("kind", ["normal", "log_normal"])
def test_redrawn_and_clipped_numbers_have_the_declared_cdf(kind: str, tries: int) -> None:
    factor = Factor("a", (), kind, low=0.4, high=1.2, mean=0.9, std=0.6, tries=tries)
    draws = np.random.default_rng(0).standard_normal((40_000, tries))
    values = 0.9 + 0.6 * draws if kind == "normal" else 0.9 * np.exp(0.6 * draws)
    inside = (values >= 0.4) & (values <= 1.2)
    first = np.where(inside.any(1), inside.argmax(1), tries - 1)
    taken = np.clip(values[np.arange(len(values)), first], 0.4, 1.2)
    for x in (0.39, 0.4, 0.6, 0.9, 1.19, 1.2):
        assert factor.cdf(np.array([x]))[0] == pytest.approx((taken <= x).mean(), abs=0.01), x


def test_choices_are_steps() -> None:
    factor = Factor("a", (), "choice", values=(3.0, 1.0), weights=(1.0, 3.0), labels=("zero", "one"))
    assert factor.atoms() == [(1.0, 0.75), (3.0, 0.25)]
    assert factor.cdf(np.array([0.9, 1.0, 2.0, 3.0])).tolist() == [0, 0.75, 0.75, 1]
    assert factor.quantile(np.array([0.1, 0.75, 0.76])).tolist() == [1, 1, 3]
    assert (factor.label(1.0), factor.label(3.0)) == ("one", "3")


def test_values_are_found_in_a_samples_record() -> None:
    record = {"drawn": {"camera": {"roll": 0.5}}, "parameters": {"gaze": [[1.0, 2.0], [3.0, 4.0]], "worn": True}}
    assert read(record, Factor("a", ("drawn.camera.roll",), "observed")) == [0.5]
    assert read(record, Factor("a", ("parameters.gaze.0.1", "parameters.gaze.1.1"), "observed")) == [3.0]
    assert read(record, Factor("a", ("parameters.gaze",), "observed")) == [1.0, 2.0, 3.0, 4.0]
    assert read(record, chance("a", "parameters.worn", 0.3)) == [1.0]
    assert read(record, Factor("a", ("drawn.camera.yaw",), "observed")) == []


def test_a_manifest_holds_factors_without_infinities() -> None:
    factor = Factor("camera.roll", ("drawn.camera.roll",), "normal", mean=0.1, std=0.2, source="a choice")
    text = json.dumps(factor.to_json(), allow_nan=False)
    assert Factor.from_json(json.loads(text)) == factor


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="poisson"):
        Factor("a", (), "poisson")
