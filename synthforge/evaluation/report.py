"""One page about one or more evaluations: figures beside the published rows, error curves and pictures.

`report.html` holds its pictures and needs no other file; `report.json` holds the same figures for programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ..core.files import write_json, write_text
from ..core.versions import versions
from .pictures import draw_case, embed
from .protocol import CASES, Evaluation

HTML, JSON = "report.html", "report.json"
Labelled = tuple[str, Evaluation]

# How figures are called in tables; the arrow says which way is better.
_NAMES = {
    "nme": ("NME", "↓"),
    "auc": ("AUC", "↑"),
    "fr": ("failures over", "↓"),
    "f1": ("F1", "↑"),
    "mean_f1": ("mean F1 over", "↑"),
    "miou": ("mean IoU", "↑"),
    "accuracy": ("pixel accuracy", "↑"),
    "absrel": ("AbsRel", "↓"),
    "rmse": ("RMSE", "↓"),
    "delta": ("δ <", "↑"),
}
# The error of one face, as `Scores.per_item` gives it, by task.
_ERRORS = {"keypoints": ("NME", "%"), "segmentation": ("100 − mean F1:", "%"), "depth": ("AbsRel", "")}
_CURVE = {"width": 460, "height": 240, "left": 44, "bottom": 34, "top": 10, "right": 12}


def write_report(
    evaluations: Sequence[Labelled],
    out_dir: Path,
    *,
    title: str = "SynthForge report",
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    pictures: bool = True,
) -> Path:
    """Write report.html and report.json into `out_dir` and return the path of the page.

    evaluations: (label of the row, evaluation) in the order of the rows; those of one benchmark and split share a
    section. facts: what was trained on what, for how long ..., shown as a list. notes: what a reader must know first.
    """
    order = {key: number for number, key in reversed(list(enumerate(map(_section_key, evaluations))))}
    ranked = sorted(evaluations, key=lambda each: order[_section_key(each)])
    sections = [_section(list(group), pictures) for _, group in groupby(ranked, key=_section_key)]
    shown = {name: str(value) for name, value in (facts or {}).items()}
    # A built page with autoescaping: keys and labels come from file names and YAML.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((files(__package__) / "templates" / HTML).read_text(encoding="utf-8"))
    page = template.render(title=title, facts=shown, notes=list(notes), sections=sections, versions=versions())
    write_text(out_dir / HTML, page)
    data = {
        "title": title,
        "facts": shown,
        "notes": list(notes),
        "versions": versions(),
        "evaluations": [{"label": label, **evaluation.to_json()} for label, evaluation in evaluations],
    }
    write_json(out_dir / JSON, data)
    return out_dir / HTML


def metric_name(metric: str) -> str:
    """A metric as a heading: `common/nme` -> `common NME ↓`, `fr@8` -> `failures over 8 % ↓`."""
    parts = metric.split("/")
    for position, part in enumerate(parts):
        stem, _, threshold = part.partition("@")
        if stem in _NAMES:
            text, arrow = _NAMES[stem]
            if threshold:
                text += f" {threshold}" if stem == "delta" else f" {threshold} %"
            before, after = parts[:position], [each.replace("_", " ") for each in parts[position + 1 :]]
            if stem == "mean_f1":
                after = [f"{' '.join(after)} classes"]
            return " ".join([*before, text, *after, arrow])
    return metric


def _section_key(labelled: Labelled) -> tuple[str, str, str]:
    evaluation = labelled[1]
    return evaluation.benchmark, evaluation.split, evaluation.stand_in


def _section(rows: Sequence[Labelled], pictures: bool) -> dict[str, Any]:
    first = rows[0][1]
    return {
        "title": f"{first.benchmark}, {first.split}",
        "stand_in": first.stand_in,
        "notes": list(dict.fromkeys(note for _, each in rows for note in [*_limits(each), *each.notes])),
        "tiles": [_tile(label, each) for label, each in rows],
        "comparison": _comparison(rows),
        "figures": _figures(rows),
        "curve": _curve(rows) if first.task == "keypoints" else None,
        "models": [
            {"label": label, "protocol": _protocol(each), "cases": _cases(each) if pictures else []}
            for label, each in rows
        ],
    }


def _limits(evaluation: Evaluation) -> list[str]:
    if evaluation.count < evaluation.available:
        return [f"only the first {evaluation.count:,} of {evaluation.available:,} faces were scored"]
    return []


def _tile(label: str, evaluation: Evaluation) -> dict[str, str]:
    primary = evaluation.scores.primary
    value, unit = evaluation.scores.values[primary], evaluation.scores.units.get(primary, "")
    return {
        "label": label,
        "value": _shown(value, unit),
        "unit": unit,
        "metric": metric_name(primary),
        "faces": f"{evaluation.count:,} faces",
    }


def _protocol(evaluation: Evaluation) -> str:
    words = [f"{name.replace('_', ' ')}: {value}" for name, value in evaluation.protocol.items()]
    rate = evaluation.count / evaluation.seconds if evaluation.seconds > 0 else 0.0
    return ", ".join([*words, f"{evaluation.seconds:.1f} s ({rate:.1f} faces/s)"])


def _comparison(rows: Sequence[Labelled]) -> dict[str, Any] | None:
    """Published rows and ours; where no figure is shared, theirs stay as orientation and ours is the primary one."""
    first = rows[0][1]
    if not first.published:
        return None
    named = list(dict.fromkeys(name for row in first.published for name in row.values))
    elsewhere = {name for row in first.published if row.split not in ("", first.split) for name in row.values}
    shared = [name for name in named if name not in elsewhere and any(name in each.scores.values for _, each in rows)]
    columns = shared or list(dict.fromkeys([*named, first.scores.primary]))
    columns.sort(key=lambda name: not name.startswith("mean"))  # means first: tables of classes are wide
    units = [first.scores.units.get(name, "%") for name in columns]
    return {
        "columns": [metric_name(name) for name in columns],
        "same_faces": bool(shared) and not first.stand_in and first.count == first.available,
        "shared": bool(shared),
        "published": [
            {
                "label": row.method,
                "source": row.source,
                "values": list(map(_shown, map(row.values.get, columns), units)),
            }
            for row in first.published
        ],
        "ours": [
            {"label": label, "values": list(map(_shown, map(each.scores.values.get, columns), units))}
            for label, each in rows
        ],
    }


def _figures(rows: Sequence[Labelled]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for _, each in rows for name in each.scores.values))
    units = {name: unit for _, each in rows for name, unit in each.scores.units.items()}
    return {
        "columns": [label for label, _ in rows],
        "rows": [
            {
                "name": metric_name(name),
                "unit": units.get(name, ""),
                "values": [_shown(each.scores.values.get(name), units.get(name, "")) for _, each in rows],
            }
            for name in names
        ],
    }


def _shown(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.2f}" if unit == "%" or abs(value) >= 1 else f"{value:.3f}"


def _curve(rows: Sequence[Labelled], limit: float = 10.0) -> dict[str, Any]:
    """Cumulative error distributions up to `limit` percent as SVG polylines."""
    box = _CURVE
    width = box["width"] - box["left"] - box["right"]
    height = box["height"] - box["top"] - box["bottom"]

    def place(error: float, share: float) -> str:
        return f"{box['left'] + width * error / limit:.1f},{box['top'] + height * (1 - share):.1f}"

    lines = []
    for label, evaluation in rows:
        errors = np.sort(list(evaluation.scores.per_item.values()))
        grid = np.linspace(0, limit, 201)
        share = np.searchsorted(errors, grid, side="right") / len(errors)
        lines.append({"label": label, "points": " ".join(map(place, grid, share))})
    return {
        **box,
        "x_ticks": [(place(error, 0).split(",")[0], f"{error:g}") for error in range(0, int(limit) + 1, 2)],
        "y_ticks": [(place(0, share / 100).split(",")[1], f"{share} %") for share in (0, 25, 50, 75, 100)],
        "lines": lines,
    }


def _cases(evaluation: Evaluation) -> list[dict[str, Any]]:
    error_name, unit = _ERRORS[evaluation.task]
    groups = []
    for kind in CASES:
        faces = [
            {
                "key": case.sample.item.key,
                "error": f"{error_name} {case.error:.3g} {unit}".strip(),
                "panels": [
                    {"caption": caption, "data": embed(panel)}
                    for caption, panel in draw_case(case, evaluation.task, evaluation.schema)
                ],
            }
            for case in evaluation.cases
            if case.kind == kind
        ]
        if faces:
            groups.append({"kind": kind, "faces": faces})
    return groups
