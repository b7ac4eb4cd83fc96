"""Named one-dimensional distributions, as values of configuration keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthforge.core.keys import Key

DISTRIBUTIONS = ("uniform", "normal", "log_normal", "choice", "constant", "pieces")
TRIES = 4  # normal draws kept in reserve for one factor; the first one within its bounds counts


@dataclass
class Distribution:
    """How one factor is distributed.

    kind: `uniform` on [low, high]; `normal` (mean, std) and `log_normal` (median `mean`, std of the natural logarithm),
    both kept within [low, high]; `choice` among `values` with `weights` (equal ones when left out). `constant`: `mean`.
    `pieces`: uniform between neighbouring `values`, each piece with its probability in `weights`.
    """

    kind: str = "uniform"
    low: float = -math.inf
    high: float = math.inf
    mean: float = 0.0
    std: float = 1.0
    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in DISTRIBUTIONS:
            raise ValueError(f"a distribution is one of {', '.join(DISTRIBUTIONS)}, not '{self.kind}'")
        if self.low > self.high:
            raise ValueError("a distribution needs low <= high")
        if self.kind == "uniform" and not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("a uniform distribution needs `low` and `high`")
        if self.kind in ("normal", "log_normal") and not 0 <= self.std < math.inf:
            raise ValueError("`std` must be finite and not negative")
        if self.kind == "log_normal" and self.mean <= 0:
            raise ValueError("the median (`mean`) of a log_normal distribution must be positive")
        if self.kind == "choice" and not self.values:
            raise ValueError("a choice needs `values`")
        if self.kind == "pieces":
            if len(self.values) != len(self.weights) + 1 or sorted(self.values) != self.values:
                raise ValueError("pieces need ascending `values`, one more than `weights`")
        elif len(self.weights) not in (0, len(self.values)):
            raise ValueError("`weights` must be as many as `values`, not negative and not all 0")
        if self.weights and (min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError("`weights` must be as many as `values`, not negative and not all 0")

    @classmethod
    def from_yaml(cls, value: Any, about: Key) -> Any:
        """Short forms as the mapping they stand for, and names as the codes of `about.choices`.

        A number or a name is a constant; a mapping of names, or of numbers, to shares is a choice. Where names stand
        for ranges (`about.edges`), they are pieces. Raises ValueError for a name that is none of the choices.
        """
        if about.edges and (isinstance(value, str) or (isinstance(value, Mapping) and set(value) & set(about.choices))):
            shares = {value: 1.0} if isinstance(value, str) else value
            shared = {about.code(name): share for name, share in shares.items()}
            weights = [shared.get(number, 0.0) for number in range(len(about.choices))]
            return {"kind": "pieces", "values": list(about.edges), "weights": weights}

        def code(each: Any) -> Any:
            return about.code(each) if isinstance(each, str) and about.choices else each

        if not isinstance(value, Mapping):
            return {"kind": "constant", "mean": code(value)} if isinstance(value, (str, int, float)) else value
        if value and not set(value) & set(cls.__dataclass_fields__):
            try:
                codes = [code(name) for name in value] if about.choices else [float(name) for name in value]
            except ValueError:
                if about.choices:
                    raise
                return value  # with a mistyped key
            return {"kind": "choice", "values": codes, "weights": list(value.values())}
        given = dict(value)
        if isinstance(given.get("mean"), str):
            given = {"kind": "constant"} | given | {"mean": code(given["mean"])}
        if isinstance(given.get("values"), (list, tuple)):
            given = {"kind": "choice", "weights": []} | given | {"values": [code(each) for each in given["values"]]}
        return given

    @classmethod
    def scaled(cls, mapping: Mapping[str, Any], factor: float) -> dict[str, Any]:
        """The mapping in another unit, to nine digits: all but weights, and a logarithm's spread, times `factor`."""
        fixed = ("kind", "weights", *(("std",) if mapping.get("kind") == "log_normal" else ()))

        def times(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [times(each) for each in value]
            return float(f"{value * factor:.9g}") if isinstance(value, (int, float)) else value

        return {name: each if name in fixed else times(each) for name, each in mapping.items()}

    def problem(self, about: Key) -> str:
        """What is wrong with it as the distribution of a factor, or an empty text: every value must be in range."""
        ends = tuple(self.values) if self.kind in ("choice", "pieces") else self.bounds
        if self.kind in ("normal", "log_normal"):
            ends = (*ends, self.mean)
        if (
            about.choices
            and not about.edges
            and (self.kind not in ("choice", "constant") or any(end % 1 for end in ends))
        ):
            return f"it is a `choice` among, or constantly one of, {about.range}"
        return next(filter(None, map(about.problem, ends)), "")

    @property
    def bounds(self) -> tuple[float, float]:
        """The range no draw leaves."""
        if self.kind in ("choice", "pieces"):
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
        if self.kind == "pieces":
            mark = uniform * sum(self.weights)
            for low, high, weight in zip(self.values, self.values[1:], self.weights, strict=False):
                if mark < weight:
                    return low + (high - low) * mark / weight
                mark -= weight
            return self.values[-1]
        value = self.mean
        for normal in normals:
            step = normal * self.std
            value = self.mean + step if self.kind == "normal" else self.mean * math.exp(step)
            if self.low <= value <= self.high:
                return value
        return min(max(value, self.low), self.high)

    def at(self, share: float) -> float:
        """The value below which a share in (0, 1) of it lies; normal ones are taken as cut at their bounds."""
        if self.kind not in ("normal", "log_normal") or self.std == 0:
            return self.pick(share, ())
        from scipy.special import ndtr, ndtri

        ends = self.bounds if self.kind == "normal" else tuple(map(_log, self.bounds))
        middle = self.mean if self.kind == "normal" else _log(self.mean)
        low, high = (float(ndtr((end - middle) / self.std)) for end in ends)
        value = self.pick(0.0, (float(ndtri(low + share * (high - low))),))
        return min(max(value, self.low), self.high)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def uniform(low: float, high: float) -> Distribution:
    """Uniform on [low, high]."""
    return Distribution("uniform", low=low, high=high)


def normal(mean: float, std: float, low: float, high: float) -> Distribution:
    """Normal, kept within [low, high]."""
    return Distribution("normal", mean=mean, std=std, low=low, high=high)


def log_normal(median: float, std: float, low: float, high: float) -> Distribution:
    """Log-normal, kept within [low, high]."""
    return Distribution("log_normal", mean=median, std=std, low=low, high=high)


def choice(weights: Mapping[float, float]) -> Distribution:
    """One of the keys, weighted by the values."""
    return Distribution("choice", values=list(weights), weights=list(weights.values()))


def constant(value: float) -> Distribution:
    """Always `value`."""
    return Distribution("constant", mean=value)
