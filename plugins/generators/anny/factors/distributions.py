"""Named one-dimensional distributions, and how a group of them is drawn from one random stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KINDS = ("uniform", "normal", "log_normal", "choice", "constant")
TRIES = 4  # normal draws kept in reserve for one factor; the first one within its bounds counts


@dataclass
class Distribution:
    """One factor: how it is distributed.

    kind: `uniform` on [low, high]; `normal` (mean, std) and `log_normal` (median `mean`, std of the natural logarithm),
    both kept within [low, high]; `choice` among `values` with `weights` (equal ones when left out); `constant`: `mean`.
    """

    kind: str = "uniform"
    low: float = -math.inf
    high: float = math.inf
    mean: float = 0.0
    std: float = 1.0
    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a distribution is one of {', '.join(KINDS)}, not '{self.kind}'")
        if self.low > self.high:
            raise ValueError(f"a distribution needs low <= high, got {self.low} and {self.high}")
        if self.kind == "uniform" and not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("a uniform distribution needs `low` and `high`")
        if self.kind in ("normal", "log_normal") and self.std < 0:
            raise ValueError(f"std must not be negative, got {self.std}")
        if self.kind == "log_normal" and self.mean <= 0:
            raise ValueError(f"the median (`mean`) of a log_normal distribution must be positive, got {self.mean}")
        if self.kind == "choice" and not self.values:
            raise ValueError("a choice needs `values`")
        if self.weights and (len(self.weights) != len(self.values) or min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError("`weights` must be as many as `values`, not negative and not all 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """The range no draw leaves."""
        if self.kind == "choice":
            return min(self.values), max(self.values)
        if self.kind == "constant":
            return self.mean, self.mean
        low = max(self.low, 0.0) if self.kind == "log_normal" else self.low
        return low, self.high

    def pick(self, uniform: float, normals: Sequence[float]) -> float:
        """The value that one uniform number in [0, 1) and a few standard normal ones stand for."""
        if self.kind == "constant":
            return self.mean
        if self.kind == "uniform":
            return self.low + uniform * (self.high - self.low)
        if self.kind == "choice":
            weights = self.weights or [1.0] * len(self.values)
            mark = uniform * sum(weights)
            for value, weight in zip(self.values, weights, strict=True):
                mark -= weight
                if mark < 0:
                    return value
            return self.values[-1]
        value = self.mean
        for normal in normals:
            step = normal * self.std
            value = self.mean + step if self.kind == "normal" else self.mean * math.exp(step)
            if self.low <= value <= self.high:
                return value
        return min(max(value, self.low), self.high)


def uniform(low: float, high: float) -> Any:
    """A dataclass field: uniform on [low, high]."""
    return field(default_factory=lambda: Distribution("uniform", low=low, high=high))


def normal(mean: float, std: float, low: float, high: float) -> Any:
    """A dataclass field: normal, kept within [low, high]."""
    return field(default_factory=lambda: Distribution("normal", mean=mean, std=std, low=low, high=high))


def log_normal(median: float, std: float, low: float, high: float) -> Any:
    """A dataclass field: log-normal, kept within [low, high]."""
    return field(default_factory=lambda: Distribution("log_normal", mean=median, std=std, low=low, high=high))


def choice(weights: dict[float, float]) -> Any:
    """A dataclass field: one of the keys, weighted by the values."""
    return field(default_factory=lambda: Distribution("choice", values=list(weights), weights=list(weights.values())))


def constant(value: float) -> Any:
    """A dataclass field: always `value`."""
    return field(default_factory=lambda: Distribution("constant", mean=value))


def draw(group: Any, rng: np.random.Generator) -> dict[str, float]:
    """One value for every Distribution in a dataclass, by name.

    Every factor takes the same amount of randomness whatever its kind, so that changing one factor's distribution
    leaves the others of its group as they were.
    """
    factors = [(name, value) for name, value in vars(group).items() if isinstance(value, Distribution)]
    uniforms = rng.random(len(factors)).tolist()
    normals = rng.standard_normal((len(factors), TRIES)).tolist()
    return {name: factor.pick(u, z) for (name, factor), u, z in zip(factors, uniforms, normals, strict=True)}
