"""Figures of a probe: error curves over the levels of a factor, with bootstrap intervals over persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import write_json, write_text
from ..core.pages import page

RESAMPLES = 1000
CONFIDENCE = 0.95
_PLOT = {"width": 460, "height": 250, "left": 48, "right": 14, "top": 26, "bottom": 44}


def interval(values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % bootstrap-t interval of the mean of values (N,), drawn over persons; NaNs for fewer than two.

    Studentised (Efron & Tibshirani 1993, section 12.5), since errors are skewed and persons few: percentiles of the
    resampled means alone cover too rarely.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(count)
    if error < 1e-12 * max(abs(mean), 1.0):
        return float(mean), float(mean)
    drawn = values[np.random.default_rng(seed).integers(0, count, (resamples, count))]
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(count)
    there = errors > 1e-12 * error  # a resample of one person alone has no spread
    t = (drawn.mean(axis=1)[there] - mean) / errors[there]
    low, high = np.quantile(t, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(mean - high * error), float(mean - low * error)


def curve(levels: Sequence[Any], base: Any, errors: Sequence[Sequence[float | None]]) -> list[dict[str, Any]]:
    """A row for each level: mean error and its paired difference to the base level, each with its interval.

    errors: for each level those of the same persons in the same order; None where a person has none.
    """
    table = np.array([[np.nan if e is None else e for e in row] for row in errors], np.float64)
    start = table[list(levels).index(base)]
    rows = []
    for level, row in zip(levels, table, strict=True):
        own, both = row[np.isfinite(row)], (row - start)[np.isfinite(row - start)]
        rows.append(
            {
                "level": level,
                "persons": len(own),
                "mean": float(own.mean()) if len(own) else float("nan"),
                "interval": interval(own),
                "difference": float(both.mean()) if len(both) else float("nan"),
                "difference_interval": interval(both),
                "base": level == base,
            }
        )
    return rows


def write_page(path: Path, data: Mapping[str, Any]) -> None:
    """The page of a probe (`stages.probe.probe`): one file that needs no other. JSON goes beside it."""
    plots = [{**sweep, "plot": plot(sweep)} for sweep in data["sweeps"]]
    lost = any(row.get("not_found") for sweep in plots for line in sweep["lines"] for row in line["rows"])
    write_text(path, page(__package__, "probe.html", **{**data, "sweeps": plots, "lost": lost}))
    write_json(path.with_suffix(".json"), data)


def plot(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Coordinates of a sweep's curves in its SVG: bands of the intervals, lines of the means, ticks of both axes."""
    p = _PLOT
    levels = sweep["levels"]
    numbers = [each for each in levels if isinstance(each, (int, float)) and not isinstance(each, bool)]
    at = numbers if len(numbers) == len(levels) and len(set(numbers)) > 1 else list(range(len(levels)))
    rows = [row for line in sweep["lines"] for row in line["rows"] if np.isfinite(row["mean"])]
    highest = max((row["mean"] for row in rows), default=0.0) or 1.0
    # Intervals of few persons may reach far: bands are cut, tables say their ends.
    reach = max((row["interval"][1] for row in rows if np.isfinite(row["interval"][1])), default=highest)
    wanted = min(max(reach, highest), 1.6 * highest)
    step = _nice(wanted / 4)
    top = step * np.ceil(wanted / step)

    def x(value: float) -> float:
        share = (value - min(at)) / ((max(at) - min(at)) or 1)
        return round(p["left"] + share * (p["width"] - p["left"] - p["right"]), 1)

    def y(value: float) -> float:
        return round(
            p["height"] - p["bottom"] - min(max(value / top, 0.0), 1.0) * (p["height"] - p["bottom"] - p["top"]), 1
        )

    lines = []
    for line in sweep["lines"]:
        pairs = sorted(zip(at, line["rows"], strict=True), key=lambda pair: pair[0])
        there = [(v, row) for v, row in pairs if np.isfinite(row["mean"])]
        band = [(v, row["interval"]) for v, row in there if np.isfinite(row["interval"][0])]
        edge = [f"{x(v)},{y(high)}" for v, (_, high) in band] + [f"{x(v)},{y(low)}" for v, (low, _) in reversed(band)]
        dots = [(x(v), y(row["mean"]), row.get("not_found", 0)) for v, row in there]
        none = [x(v) for v, row in pairs if row.get("not_found") and not row["persons"]]
        lines.append({"label": line["label"], "band": " ".join(edge), "dots": dots, "none": none})
    ticks = [{"x": x(v), "label": str(level)} for v, level in zip(at, levels, strict=True)]
    marks = np.arange(0, top + step / 2, step)
    return {**p, "lines": lines, "x": ticks, "y": [{"y": y(float(v)), "label": f"{v:.4g}"} for v in marks]}


def _nice(step: float) -> float:
    size = 10.0 ** np.floor(np.log10(max(step, 1e-9)))
    return float(size * next(each for each in (1, 2, 5, 10) if each * size >= step))
