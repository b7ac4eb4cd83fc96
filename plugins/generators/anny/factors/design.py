"""Balanced designs: where a sample's named factors lie in a full factorial, a Latin hypercube or a Sobol sequence.

Each is a pure function of (configuration, seed, index); factors that are not named stay random.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from synthforge.core.errors import did_you_mean
from synthforge.core.seeding import seed_sequence

from .distributions import Distribution
from .table import table_of

_BLOCK = 1024  # points of a Sobol sequence that are computed at once


def design_point(config: Any, seed: int, index: int) -> dict[str, float]:
    """Values of the factors that the key `design` names, by `group.factor`; chances become 0 or 1."""
    design = config.design
    if design.kind == "none":
        return {}
    named = {name: distribution_of(config, name) for name in design.factors}
    if design.kind == "full_factorial":
        point: dict[str, float] = {}
        for name in reversed(named):  # the last named varies fastest
            levels = _levels(named[name], design.levels)
            index, level = divmod(index, len(levels))
            point[name] = levels[level]
        return point
    size = design.size if design.kind == "latin_hypercube" else _BLOCK
    shares = _shares(design.kind, size, len(named), seed, index // size)[index % size]
    return {name: named[name].at(float(share)) for name, share in zip(named, shares, strict=True)}


def distribution_of(config: Any, name: str) -> Distribution:
    """The distribution of a factor, or of a chance as 0 or 1. Raises ValueError for one that is not there."""
    group, _, factor = name.partition(".")
    table = table_of(config)
    if name not in table:
        raise ValueError(f"design.factors: there is no factor '{name}'. {did_you_mean(name, table)}")
    value = getattr(getattr(config, group), factor)
    if value is None:
        raise ValueError(f"design.factors: {name} is not set; say how it is distributed, for example by names")
    if isinstance(value, Distribution):
        return value
    return Distribution("choice", values=[0.0, 1.0], weights=[1.0 - value, value])


def _levels(distribution: Distribution, count: int) -> list[float]:
    """Every value of a choice, or the middles of `count` equally probable parts."""
    if distribution.kind == "constant":
        return [distribution.mean]
    if distribution.kind == "choice":
        weights = distribution.weights or [1.0] * len(distribution.values)
        return [value for value, weight in zip(distribution.values, weights, strict=True) if weight > 0]
    return [distribution.at((level + 0.5) / count) for level in range(count)]


@lru_cache(maxsize=8)
def _shares(kind: str, size: int, factors: int, seed: int, block: int) -> np.ndarray:
    """Points (size, factors) in the unit cube: a Latin hypercube of its own, or the next ones of the sequence."""
    from scipy.stats import qmc

    if kind == "latin_hypercube":
        rng = np.random.default_rng(seed_sequence(seed, block, "anny/design"))
        return np.asarray(qmc.LatinHypercube(factors, rng=rng).random(size))
    sobol = qmc.Sobol(factors, scramble=True, rng=np.random.default_rng(seed_sequence(seed, 0, "anny/design")))
    if block:
        sobol.fast_forward(block * size)
    return np.asarray(sobol.random(size))


def check_design(config: Any) -> None:
    """Raise ValueError for a design whose factors are not there, are named twice or are none."""
    design: Mapping[str, Any] = vars(config.design)
    names = design["factors"]
    if (design["kind"] == "none") != (not names):
        raise ValueError("design: a design needs both its `kind` and the `factors` it balances")
    if len(set(names)) < len(names):
        raise ValueError("design.factors: a factor is named twice")
    for name in names:
        distribution_of(config, name)
