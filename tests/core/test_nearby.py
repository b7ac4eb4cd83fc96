"""Nearby streams: within the support, distributed as declared, as near as the spread says, in step with the parent."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthforge.core.nearby import Origin
from synthforge.core.seeding import numpy_rng

Draw = Callable[[np.random.Generator], float]
DRAWS: dict[str, tuple[Draw, Callable[[np.ndarray], np.ndarray]]] = {
    "random": (lambda r: r.random(), stats.uniform().cdf),
    "uniform": (lambda r: r.uniform(-3, 5), stats.uniform(-3, 8).cdf),
    "standard_normal": (lambda r: float(r.standard_normal(2)[1]), stats.norm().cdf),
    "normal": (lambda r: r.normal(4, 2), stats.norm(4, 2).cdf),
    "lognormal": (lambda r: r.lognormal(0.5, 0.3), stats.lognorm(0.3, scale=np.exp(0.5)).cdf),
    "beta": (lambda r: r.beta(0.25, 0.25), stats.beta(0.25, 0.25).cdf),
    "dirichlet": (lambda r: r.dirichlet([0.5, 0.5, 0.5])[1], stats.beta(0.5, 1.0).cdf),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_children_of_declared_parents_are_distributed_as_declared(name: str, spread: float) -> None:
    draw, cdf = DRAWS[name]
    children = [draw(Origin(1, i, Origin(0, i), spread).stream("s")) for i in range(1500)]
    assert stats.kstest(children, cdf).statistic < 1.95 / np.sqrt(len(children))


@pytest.mark.parametrize("name", DRAWS)
def test_the_spread_says_how_near(name: str) -> None:
    draw, _ = DRAWS[name]
    parents = [draw(Origin(0, i).stream("s")) for i in range(600)]

    def agreement(spread: float) -> float:
        children = [draw(Origin(1, i, Origin(0, i), spread).stream("s")) for i in range(600)]
        return float(stats.spearmanr(parents, children).statistic)

    near, far, none = agreement(0.1), agreement(0.7), agreement(1.0)
    assert near > 0.95
    assert 0.5 < far < near
    assert abs(none) < 0.15


@pytest.mark.parametrize("name", DRAWS)
def test_no_spread_is_the_parent_itself(name: str) -> None:
    draw, _ = DRAWS[name]
    for index in range(20):
        assert draw(Origin(9, 4, Origin(0, index), 0.0).stream("s")) == pytest.approx(
            draw(numpy_rng(0, index, "s")), rel=1e-12
        )


def test_a_normal_number_keeps_the_declared_correlation() -> None:
    pairs = [
        (Origin(0, i).stream("s").standard_normal(), Origin(1, i, Origin(0, i), 0.6).stream("s").standard_normal())
        for i in range(4000)
    ]
    assert np.corrcoef(np.array(pairs).T)[0, 1] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    "other",
    [
        lambda r: r.integers(0, 10, 3),
        lambda r: r.permutation(7),
        lambda r: r.choice(9, 2),
        lambda r: r.gamma(2.0),
        lambda r: r.shuffle(list(range(5))),
    ],
)
def test_draws_without_a_neighbourhood_are_fresh_and_leave_the_parent_in_step(
    other: Callable[[np.random.Generator], object],
) -> None:
    plain, near = numpy_rng(0, 3, "s"), Origin(1, 0, Origin(0, 3), 0.0).stream("s")
    other(plain)
    other(near)
    assert near.random() == plain.random()


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.floats(0, 1))
def test_values_stay_in_the_support(seed: int, index: int, spread: float) -> None:
    rng = Origin(seed, index, Origin(seed + 1, index), spread).stream("s")
    assert 0 <= rng.random() < 1
    assert (np.abs(rng.uniform([-2.0, 0.0], 3.0)) <= 3).all()
    assert 0 <= rng.beta(0.25, 0.25) <= 1
    shares = rng.dirichlet([0.5] * 3)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)


def test_lines_of_descent_are_told_and_read_back() -> None:
    line = Origin(5, 2, Origin(4, 7, Origin(3, 1), 0.4), 0.2)
    again = Origin.from_json(json.loads(json.dumps(line.to_json())))
    assert again == line
    assert again.stream("x").random() == line.stream("x").random()
    assert Origin(1, 2).to_json() == {"seed": 1, "index": 2}


def test_a_spread_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="spread"):
        Origin(0, 0, Origin(0, 1), 1.5)
