"""One page about one or more evaluations: figures beside the published rows, error curves and pictures.

`report.html` holds its pictures and needs no other file; `report.md` holds the same tables for a README or a pull
request, `report.json` the same figures for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..core.files import write_json, write_text
from ..core.pages import page
from ..core.versions import versions
from . import curves
from .pictures import draw_case, embed
from .protocol import CASES, Evaluation
from .report_markdown import markdown
from .report_tables import (
    Labelled,
    breakdowns,
    comparison,
    figures,
    known_metrics,
    metric_name,
    section_key,
    shown,
    summary,
    titles,
)
from .summary import protocol_of

HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"


def write_report(
    evaluations: Sequence[Labelled],
    out_dir: Path,
    *,
    title: str = "SynthForge report",
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    pictures: bool = True,
) -> Path:
    """Write report.html, report.md and report.json into `out_dir` and return the path of the page.

    evaluations: (label of the row, evaluation) in the order of the rows; those of one benchmark, split and task share
    a section. facts: what was trained on what, for how long ..., shown as a list. notes: what a reader must know first.
    """
    order = {key: number for number, key in reversed(list(enumerate(map(section_key, evaluations))))}
    ranked = sorted(evaluations, key=lambda each: order[section_key(each)])
    grouped = [list(group) for _, group in groupby(ranked, key=section_key)]
    content = {
        "title": title,
        "facts": {name: str(value) for name, value in (facts or {}).items()},
        "notes": list(notes),
        "summary": summary(grouped),
        "sections": [_section(title, rows, pictures) for title, rows in zip(titles(grouped), grouped, strict=True)],
        "versions": versions(),
    }
    write_text(out_dir / HTML, page(__package__, HTML, **content))
    write_text(out_dir / MARKDOWN, markdown(content))
    data = {name: content[name] for name in ("title", "facts", "notes", "versions")}
    data["evaluations"] = [{"label": label, **evaluation.to_json()} for label, evaluation in evaluations]
    write_json(out_dir / JSON, data)
    return out_dir / HTML


def _section(title: str, rows: Sequence[Labelled], pictures: bool) -> dict[str, Any]:
    first = rows[0][1]
    compared = comparison(rows)
    return {
        "title": title,
        "stand_in": first.stand_in,
        "notes": list(dict.fromkeys(note for _, each in rows for note in [*_limits(each), *each.notes])),
        "tiles": [tile(label, each) for label, each in rows],
        "comparison": compared,
        "remark": _remark(first, compared),
        "figures": figures(rows),
        "breakdowns": breakdowns(rows),
        "curve": curves.errors(rows),
        "training": curves.training(rows),
        "error": first.task.error.title,
        "models": [
            {
                "label": label,
                "protocol": _told(each),
                "cases": _cases(each) if pictures else [],
                "worst": [{**face, "error": shown(face["error"], "")} for face in each.details.get("worst", ())],
            }
            for label, each in rows
        ],
    }


def _remark(first: Evaluation, compared: Mapping[str, Any] | None) -> str:
    """What keeps the rows from being compared, empty where nothing does."""
    if compared is None:
        return "No published figures are known for this benchmark."
    if first.stand_in:
        return "Ours was measured on the stand-in: the rows are not comparable."
    if not compared["shared"]:
        return f"No published figure is on the split {first.split}: the published rows are for orientation only."
    return "" if compared["same_faces"] else "Ours was measured on a part of the faces only."


def _limits(evaluation: Evaluation) -> list[str]:
    if evaluation.count < evaluation.available:
        return [f"only the first {evaluation.count:,} of {evaluation.available:,} faces were scored"]
    return []


def tile(label: str, evaluation: Evaluation) -> dict[str, str]:
    """The main figure of an evaluation in words: label, value, unit, metric, faces."""
    primary = evaluation.scores.primary
    value, unit = evaluation.scores.values[primary], evaluation.scores.units.get(primary, "")
    return {
        "label": label,
        "value": shown(value, unit),
        "unit": unit,
        "metric": metric_name(primary, known_metrics([(label, evaluation)])),
        "faces": f"{evaluation.count:,} faces",
    }


def _told(evaluation: Evaluation) -> str:
    rate = evaluation.count / evaluation.seconds if evaluation.seconds > 0 else 0.0
    return f"{protocol_of(evaluation)}, {evaluation.seconds:.1f} s ({rate:.1f} faces/s)"


def _cases(evaluation: Evaluation) -> list[dict[str, Any]]:
    error = evaluation.task.error
    groups = []
    for kind in CASES:
        faces = [
            {
                "key": case.sample.item.key,
                "error": f"{error.name}: {case.error:.3g} {error.unit}".strip(),
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
