"""Curves of a report as SVG polylines: how errors are distributed over faces, and how trainings went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .report_tables import Labelled
from .scoring import METRICS

_BOX = {"width": 460, "height": 240, "left": 44, "bottom": 34, "top": 10, "right": 22}
_MOST = 98  # percent of the faces that a curve without a limit of its own shows


def errors(rows: Sequence[Labelled]) -> dict[str, Any] | None:
    """Cumulative distributions of the error of a face, as far as the task says or all but 2 % of the faces go.

    None where no face has an error.
    """
    known = [(label, np.sort([e for e in each.scores.per_item.values() if np.isfinite(e)])) for label, each in rows]
    known = [(label, found) for label, found in known if len(found)]
    if not known:
        return None
    error = rows[0][1].task.error
    limit = error.limit or _rounded(float(np.percentile(np.concatenate([found for _, found in known]), _MOST)))
    grid = np.linspace(0, limit, 201)
    lines = [(label, grid, np.searchsorted(found, grid, side="right") / len(found) * 100) for label, found in known]
    return _chart(f"Share of faces below an error ({error.title})", lines, (0.0, limit), (0.0, 100.0), " %")


def _rounded(value: float) -> float:
    """The next half of a power of ten above a value, so that ticks are short: 60 for 57.7."""
    step = 10.0 ** math.floor(math.log10(value)) / 2 if value > 0 else 1.0
    return step * max(1, math.ceil(value / step))


def training(rows: Sequence[Labelled]) -> list[dict[str, Any]]:
    """A chart for each figure that trainings wrote while they went, over the share of their steps."""
    found: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for label, each in rows:
        history = each.details.get("training", {})
        steps = np.array(history.get("step", ()), np.float64)
        for name, values in history.items():
            if name != "step" and len(values) == len(steps) > 1 and np.isfinite(steps).all():
                line = (
                    f"{label} ({int(steps[-1]):,} steps)",
                    100 * steps / max(steps[-1], 1.0),
                    np.array(values, float),
                )
                found.setdefault(name, []).append(line)
    charts = []
    for name, lines in found.items():
        values = np.concatenate([ys[np.isfinite(ys)] for _, _, ys in lines])
        if len(values):
            title = METRICS[name].name if name in METRICS else name.replace("_", " ")
            span = (min(0.0, float(values.min())), float(values.max()) or 1.0)
            charts.append(_chart(f"{title} by share of the steps", lines, (0.0, 100.0), span, "", " %"))
    return charts


def _chart(
    title: str,
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]],
    x_span: tuple[float, float],
    y_span: tuple[float, float],
    y_unit: str,
    x_unit: str = "",
) -> dict[str, Any]:
    box = _BOX
    width = box["width"] - box["left"] - box["right"]
    height = box["height"] - box["top"] - box["bottom"]

    def x(value: float) -> str:
        return f"{box['left'] + width * (value - x_span[0]) / (x_span[1] - x_span[0]):.1f}"

    def y(value: float) -> str:
        return f"{box['top'] + height * (y_span[1] - value) / max(y_span[1] - y_span[0], 1e-9):.1f}"

    def points(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{x(a)},{y(b)}" for a, b in zip(xs, ys, strict=True) if np.isfinite(b))

    return {
        **box,
        "title": title,
        "x_ticks": [(x(value), f"{value:.3g}{x_unit}") for value in np.linspace(*x_span, 6)],
        "y_ticks": [(y(value), f"{value:.3g}{y_unit}") for value in np.linspace(*y_span, 5)],
        "lines": [{"label": label, "points": points(xs, ys)} for label, xs, ys in lines],
    }
