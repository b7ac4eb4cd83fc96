"""Factors: what a generator draws, as named distributions that a report compares with the samples.

A generator lists them in `Generator.factors`; the manifest of every dataset it makes lists them too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DISTRIBUTIONS = ("uniform", "normal", "log_normal", "choice", "constant", "beta", "pieces", "observed")
_STEPS = 64  # bisections of a quantile: beyond double precision for any range here
_TAIL = 9.0  # standard deviations within which an unbounded distribution is looked for


@dataclass(frozen=True)
class Factor:
    """One factor and how it is declared.

    name: `group.factor`; paths: where its value is in a sample's `scene` record ("drawn.camera.azimuth",
    "parameters.head.phenotype.1"); every entry of an array counts; several paths count by their mean. source: where the
    numbers come from.

    kind is one of:

    - `uniform` on [low, high];
    - `normal` (mean, std), `log_normal` (median `mean`, std of the natural logarithm): the first of `tries` draws
      within [low, high], else the last one clipped to it;
    - `choice` among `values` with `weights`; `constant`: `mean`; `beta`: mean and std are its two parameters;
    - `pieces`: uniform between neighbouring `values`, each piece with its probability in `weights`;
    - `observed`: follows from other factors; no distribution is declared.
    labels: names of `values`, for `choice`, or of the whole numbers from 0 on.
    """

    name: str
    paths: tuple[str, ...]
    kind: str
    low: float = -math.inf
    high: float = math.inf
    mean: float = 0.0
    std: float = 1.0
    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    tries: int = 1
    labels: tuple[str, ...] = ()
    unit: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in DISTRIBUTIONS:
            raise ValueError(f"{self.name}: a factor is one of {', '.join(DISTRIBUTIONS)}, not '{self.kind}'")

    @property
    def discrete(self) -> bool:
        """Whether it takes a few values only."""
        return self.kind in ("choice", "constant") or bool(self.labels)

    def atoms(self) -> list[tuple[float, float]]:
        """(value, probability) of a discrete factor, in ascending order of the values."""
        if self.kind == "constant":
            return [(self.mean, 1.0)]
        weights = self.weights or (1.0,) * len(self.values)
        total, merged = sum(weights), dict.fromkeys(sorted(self.values), 0.0)
        for value, weight in zip(self.values, weights, strict=True):
            merged[value] += weight / total
        return list(merged.items())

    def label(self, value: float) -> str:
        """The label of a value, if it has one."""
        if self.labels and value == int(value) and 0 <= int(value) < len(self.labels):
            return self.labels[int(value)]
        return f"{value:.6g}"

    def span(self) -> tuple[float, float]:
        """A finite range that holds all but a negligible part of it."""
        if self.kind in ("choice", "pieces"):
            return min(self.values), max(self.values)
        if self.kind == "constant":
            return self.mean, self.mean
        low, high = self.low, self.high
        if self.kind == "normal":
            low, high = self.mean - _TAIL * self.std, self.mean + _TAIL * self.std
        elif self.kind == "log_normal":
            low, high = 0.0, self.mean * math.exp(_TAIL * self.std)
        elif self.kind == "beta":
            low, high = 0.0, 1.0
        return max(low, self.low), min(high, self.high)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of a value of at most x (N,). Raises ValueError for an `observed` factor."""
        x = np.asarray(x, float)
        if self.kind == "observed":
            raise ValueError(f"{self.name} follows from other factors; no distribution is declared")
        if self.discrete:
            return np.asarray(sum((p * (x >= value) for value, p in self.atoms()), np.zeros_like(x)))
        if self.kind == "uniform":
            return np.clip((x - self.low) / max(self.high - self.low, 1e-300), 0, 1) * (x >= self.low)
        if self.kind == "pieces":
            steps = np.cumsum([0.0, *self.weights]) / sum(self.weights)
            return np.interp(x, self.values, steps, left=0.0, right=1.0)
        if self.kind == "beta":
            from scipy.special import betainc

            return np.asarray(betainc(self.mean, self.std, np.clip(x, 0, 1)))
        return self._clipped(x)

    def _clipped(self, x: np.ndarray) -> np.ndarray:
        """Normal or log-normal: the first of `tries` within the bounds, else the last, clipped."""
        if self.std == 0:
            return np.asarray(x >= min(max(self.mean, self.low), self.high), float)
        below, upto, at = self._plain(self.low), self._plain(self.high), self._plain(x)
        inside = max(float(upto - below), 0.0)
        missed = 1 - inside  # of one try
        last = missed ** (self.tries - 1)  # reaches the last try
        within = np.clip(at - below, 0, inside)
        share = (1 - last) / inside if inside > 0 else 0.0
        total = within * share + last * (below * (x >= self.low) + within)
        return np.asarray(np.where(x >= self.high, 1.0, np.where(x < self.low, 0.0, total)))

    def _plain(self, x: Any) -> Any:
        from scipy.special import ndtr

        x = np.asarray(x, float)
        if self.kind == "normal":
            return ndtr((x - self.mean) / self.std)
        with np.errstate(divide="ignore"):
            return ndtr((np.log(np.maximum(x, 0.0)) - math.log(self.mean)) / self.std)

    def quantile(self, share: np.ndarray) -> np.ndarray:
        """Smallest values x (N,) with cdf(x) >= share."""
        share = np.asarray(share, float)
        low, high = (np.full(share.shape, bound) for bound in self.span())
        if self.discrete:
            values, parts = zip(*self.atoms(), strict=True)
            place = np.searchsorted(np.cumsum(parts), share - 1e-12)
            return np.asarray(values)[np.minimum(place, len(values) - 1)]
        for _ in range(_STEPS):
            middle = (low + high) / 2
            enough = self.cdf(middle) >= share
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def to_json(self) -> dict[str, Any]:
        """As in the manifest: defaults are left out, so no infinity remains."""
        defaults = {item.name: item.default for item in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if value != defaults[name]
        }

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Factor:
        """The factor that a manifest describes. Raises TypeError or ValueError for an invalid description."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return Factor(**values)


@dataclass(frozen=True)
class Sweep:
    """One cause that `synthforge probe` can set: keys of the generator's configuration that take each level in turn.

    keys: dotted, as in YAML; every one takes the level. levels, base: as in YAML; differences are paired with base.
    fixed: other keys set for every level, such as shares that would otherwise override it. doc: what the level means.
    """

    name: str
    keys: tuple[str, ...]
    levels: tuple[float | str, ...]
    base: float | str
    unit: str = ""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    doc: str = ""


def chance(name: str, path: str, probability: float, source: str = "") -> Factor:
    """A factor that is present or absent."""
    return Factor(
        name,
        (path,),
        "choice",
        values=(0.0, 1.0),
        weights=(1 - probability, probability),
        labels=("no", "yes"),
        source=source,
    )


def read(record: Mapping[str, Any], factor: Factor, rendered: bool = False) -> list[float]:
    """The values of a factor in a sample's `scene` record, as drawn or as rendered; empty when the sample has none."""
    parts = [_at(record, path.split("."), rendered) for path in factor.paths]
    if any(part is None for part in parts):
        return []
    if len(parts) == 1 and isinstance(parts[0], (int, float)):  # most factors, without the cost of an array
        return [float(parts[0])]
    arrays = [np.atleast_1d(np.asarray(part, float)).ravel() for part in parts]
    return [float(value) for value in np.mean(arrays, axis=0)]


def seen(record: Mapping[str, Any], factor: Factor) -> float | str | None:
    """A factor's value in the picture of a scene: a number, its label if it has one, or None if not shown."""
    values = read(record, factor, rendered=True)
    if not values:
        return None
    return factor.label(values[0]) if factor.labels else values[0]


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted paths: {"skin": {"tone": [1]}} -> {"skin.tone.0": 1}."""
    if isinstance(values, Mapping):
        pairs = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, (list, tuple, np.ndarray)):
        pairs = [(str(key), value) for key, value in enumerate(values)]
    else:
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found |= flat(value, f"{prefix}.{key}" if prefix else key)
    return found


def _at(record: Any, steps: Sequence[str], rendered: bool = False) -> Any:
    if rendered and steps[0] == "drawn" and record.get("rendered"):
        drawn, changed = _at(record, steps), record["rendered"]
        for step in steps[1:]:
            if changed is None or step not in changed:
                return drawn if changed is not None else None
            changed = changed[step]
        return changed
    for step in steps:
        if isinstance(record, Mapping) and step in record:
            record = record[step]
        elif isinstance(record, (list, tuple, np.ndarray)) and step.isdigit() and int(step) < len(record):
            record = record[int(step)]
        else:
            return None
    return record
