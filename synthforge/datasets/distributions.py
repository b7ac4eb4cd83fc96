"""What was realised of each factor, held against what the generator declares: figures, a page and a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import SynthForgeError
from ..core.factors import Factor, read
from ..core.files import write_json, write_text
from ..core.pages import page
from ..core.progress import progress_bar
from .drawing import SIGNATURE

if TYPE_CHECKING:
    from ..core.plugins import Plugins
    from .reader import ShardDataset

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 24
#: Kolmogorov's 0.1 % bound, in units of 1 / sqrt(n): of a hundred factors drawn as declared hardly one lies beyond
BEYOND_CHANCE = 1.95
_SHARES = 3  # of a choice that a line of text names
_REFERENCE = (np.arange(4000) + 0.5) / 4000  # shares at which a declared distribution is read off


@dataclass(frozen=True)
class Values:
    """The values of every factor, one list a sample (a factor that is an array has several)."""

    rows: Mapping[str, Sequence[Sequence[float]]]
    count: int

    def of(self, name: str) -> np.ndarray:
        """All values of a factor (N,)."""
        return np.array([value for row in self.rows[name] for value in row], float)

    def take(self, indices: Sequence[int]) -> Values:
        """Those of some samples, one as often as it is named."""
        return Values({name: [rows[i] for i in indices] for name, rows in self.rows.items()}, len(indices))


def factors_of(manifest: Mapping[str, Any], plugins: Plugins | None = None) -> tuple[tuple[Factor, ...], str]:
    """The factors of a dataset, and a note where they are not its own.

    From its manifest; for one made before manifests held them, from the generator as it is now.
    """
    if manifest.get("factors"):
        return tuple(Factor.from_json(record) for record in manifest["factors"]), ""
    config = manifest.get("config", {})
    if plugins is not None and "generator_config" in config:
        try:
            built = plugins.build("generator", {**config["generator_config"], "name": config["generator"]})
            found = tuple(built.factors())
        except SynthForgeError as error:
            return (), f"The dataset declares no factors, and its generator cannot be asked: {error.message}"
        return found, "The dataset was made before factors were stored: what is declared is the generator's of today."
    return (), "The dataset declares no factors."


def read_values(dataset: ShardDataset, factors: Sequence[Factor]) -> dict[str, Values]:
    """Values of every factor in every sample of a dataset (opened with the field `scene`): `drawn` and `rendered`."""
    with progress_bar("read scenes", len(dataset), unit="samples") as advance:

        def scenes() -> Iterator[Mapping[str, Any]]:
            for sample in dataset:
                yield sample["scene"] or {}
                advance(1)

        return values_of(scenes(), factors)


def values_of(scenes: Iterable[Mapping[str, Any]], factors: Sequence[Factor]) -> dict[str, Values]:
    """Values of every factor in every scene, as samples hold them: `drawn` and `rendered`."""
    rows: dict[str, dict[str, list[list[float]]]] = {
        view: {factor.name: [] for factor in factors} for view in ("drawn", "rendered")
    }
    count = 0
    for scene in scenes:
        count += 1
        for view, found in rows.items():
            for factor in factors:
                found[factor.name].append(read(scene, factor, view == "rendered"))
    return {view: Values(found, count) for view, found in rows.items()}


def compare(factors: Sequence[Factor], groups: Mapping[str, Values]) -> list[dict[str, Any]]:
    """One record a factor, as JSON holds it: what is declared, and what each group of samples realised.

    Each has `mean`, `std`, `quantiles` (at `QUANTILES`) and, for choices, `shares`. Groups also have `count` and, if
    something is declared, `distance` (Kolmogorov-Smirnov) and `beyond_chance` (whether it is larger than chance
    explains). `histogram` has bins of equal width, or one per choice, with shares for `declared` and each group.
    """
    return [_compare(factor, {name: values.of(factor.name) for name, values in groups.items()}) for factor in factors]


def _compare(factor: Factor, groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    declared = factor.kind != "observed"
    record: dict[str, Any] = {
        "name": factor.name,
        "kind": factor.kind,
        "unit": factor.unit,
        "source": factor.source,
        "declared": _summary(factor, factor.quantile(_REFERENCE)) if declared else None,
        "realised": {},
        "histogram": _histogram(factor, groups),
    }
    if declared and factor.discrete:
        record["declared"]["shares"] = {factor.label(value): share for value, share in factor.atoms()}
    for name, values in groups.items():
        found = _summary(factor, values) | {"count": len(values)}
        if declared and len(values):
            found["distance"] = distance(factor, values)
            found["beyond_chance"] = bool(found["distance"] > BEYOND_CHANCE / math.sqrt(len(values)))
        record["realised"][name] = found
    return record


def distance(factor: Factor, values: np.ndarray) -> float:
    """Kolmogorov-Smirnov's distance of values (N,) from what is declared, steps included."""
    values, n = np.sort(values), len(values)
    above = np.searchsorted(values, values, "right") / n - factor.cdf(values)
    # as low as rounding to seven digits may put a value that stands for a step
    below = factor.cdf(np.nextafter(values, -np.inf)) - np.searchsorted(values, values, "left") / n
    return float(max(above.max(), below.max(), 0.0))


def _summary(factor: Factor, values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"mean": None, "std": None, "quantiles": None}
    quantiles = np.quantile(values, QUANTILES)
    found: dict[str, Any] = {"mean": float(values.mean()), "std": float(values.std())}
    found["quantiles"] = {f"{share:g}": float(value) for share, value in zip(QUANTILES, quantiles, strict=True)}
    if factor.discrete:
        kinds, counts = np.unique(values, return_counts=True)
        found["shares"] = {factor.label(k): int(c) / len(values) for k, c in zip(kinds, counts, strict=True)}
    return found


def _histogram(factor: Factor, groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if factor.discrete:
        atoms = dict(factor.atoms())
        kinds = sorted({*atoms, *(float(v) for values in groups.values() for v in np.unique(values))})
        shares = {
            name: [float((values == k).mean()) if len(values) else 0.0 for k in kinds]
            for name, values in groups.items()
        }
        bars = None if factor.kind == "observed" else [atoms.get(k, 0.0) for k in kinds]
        return {"labels": [factor.label(k) for k in kinds], "declared": bars, **shares}
    everything = np.concatenate([np.zeros(0), *groups.values()])
    observed = factor.kind == "observed"
    ends = np.r_[everything, [] if observed else factor.quantile(np.array([0.002, 0.998]))]
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    declared = None if observed else np.diff(factor.cdf(np.r_[-np.inf, edges[1:-1], np.inf])).tolist()
    shares = {name: (np.histogram(values, edges)[0] / max(len(values), 1)).tolist() for name, values in groups.items()}
    return {"low": float(edges[0]), "high": float(edges[-1]), "declared": declared, **shares}


def write_page(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    *,
    title: str,
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write `path` (HTML, with its pictures inside) and the same figures as JSON beside it; returns the page."""
    groups = list(records[0]["realised"]) if records else []
    panels = [panel(record, groups) for record in records]
    data = {"title": title, "facts": {k: str(v) for k, v in (facts or {}).items()}, "notes": list(notes)}
    write_text(path, page(__package__, "distributions.html", maker=SIGNATURE, **data, groups=groups, panels=panels))
    write_json(path.with_suffix(".json"), {**data, "groups": groups, "factors": list(records)})
    return path


_WIDE, _HIGH = 236.0, 84.0


def panel(record: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    """What the page shows of a factor: an outline for each group over the declared shares as bars."""
    histogram = record["histogram"]
    lines = {name: histogram[name] for name in groups}
    declared = histogram["declared"]
    bins = len(declared if declared is not None else next(iter(lines.values()), [0.0]))
    top = max([1e-9, *(declared or []), *(v for values in lines.values() for v in values)])
    step = _WIDE / max(bins, 1)

    def outline(values: Sequence[float]) -> str:
        points = []
        for number, value in enumerate(values):
            y = _HIGH * (1 - value / top)
            points += [f"{number * step:.1f},{y:.1f}", f"{(number + 1) * step:.1f},{y:.1f}"]
        return " ".join(points)

    bars = [
        {"x": f"{n * step:.1f}", "y": f"{_HIGH * (1 - v / top):.1f}", "w": f"{step:.2f}", "h": f"{_HIGH * v / top:.1f}"}
        for n, v in enumerate(declared or [])
    ]
    labels = histogram.get("labels") or [f"{histogram['low']:.4g}", f"{histogram['high']:.4g}"]
    return {
        "name": record["name"],
        "kind": record["kind"],
        "unit": record["unit"],
        "source": record["source"],
        "bars": bars,
        "lines": [outline(lines[name]) for name in groups],
        "labels": labels,
        "declared": words(record["declared"]),
        "realised": [
            (name, _with_distance(found), found.get("beyond_chance", False))
            for name, found in record["realised"].items()
        ],
    }


def words(found: Mapping[str, Any] | None) -> str:
    """A summary in short: the largest shares of a choice, else mean and standard deviation; a mean that is only what
    rounding leaves of 0 is 0."""
    if found is None or found["mean"] is None:
        return "–"
    if "shares" in found:
        shares = sorted(((share, name) for name, share in found["shares"].items() if share > 0), reverse=True)
        text = ", ".join(f"{name} {100 * share:.3g} %" for share, name in shares[:_SHARES])
        return f"{text} ..." if len(shares) > _SHARES else text
    mean = 0.0 if abs(found["mean"]) < 1e-9 * found["std"] else found["mean"]
    return f"{mean:.4g} ± {found['std']:.3g}"


def _with_distance(found: Mapping[str, Any]) -> str:
    return words(found) + (f", distance {found['distance']:.3f}" if "distance" in found else "")
