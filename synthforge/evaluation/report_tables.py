"""The tables of a report as plain data, the same for the page, the Markdown and the tests.

A cell is {"text", "best"}. `best` marks the best figure of its column among the published rows, and among ours. Between
the two the reader compares, who also sees how they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ..core.records import Metric
from .protocol import Evaluation
from .scoring import METRICS

Labelled = tuple[str, Evaluation]
Cell = dict[str, Any]

Known = Mapping[str, Metric]

_NONE = "–"  # where there is no figure


def known_metrics(rows: Sequence[Labelled]) -> Known:
    """How the figures of evaluations are called: as their benchmarks say, else as `scoring` does."""
    return {**METRICS, **{name: metric for _, each in rows for name, metric in each.scores.metrics.items()}}


def metric_name(metric: str, known: Known) -> str:
    """A metric as a heading: `common/nme` -> `common NME ↓`, `fr@8` -> `failures over 8 % ↓`."""
    found = _parsed(metric, known)
    if found is None:
        return metric
    before, text, after, known_as = found
    return " ".join([*before, text, *after, _arrow(known_as)])


def _parsed(metric: str, known: Known) -> tuple[list[str], str, list[str], Metric] | None:
    """What stands before a figure's name, the name, what comes after it, and what it is; None for an unknown one."""
    parts = metric.split("/")
    # From the right: a set of faces may be called like a figure (`detected/nme`).
    for position in range(len(parts) - 1, -1, -1):
        stem, _, threshold = parts[position].partition("@")
        if stem in known:
            found = known[stem]
            text = found.name + (f" {threshold}{found.threshold}" if threshold else "")
            after = [each.replace("_", " ") for each in parts[position + 1 :]]
            return parts[:position], text, [*after, found.over] if found.over else after, found
    return None


def _arrow(metric: Metric) -> str:
    return "↑" if metric.higher_is_better else "↓"


def _is_mean(metric: str, known: Known) -> bool:
    found = _parsed(metric, known)
    return found is not None and bool(found[3].over)


def shown(value: float | None, unit: str) -> str:
    """A figure as tables print it; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _NONE
    return f"{value:.2f}" if unit == "%" or abs(value) >= 1 else f"{value:.3f}"


def section_key(labelled: Labelled) -> tuple[str, str, str, str]:
    """Evaluations with the same key share a section: benchmark, split, task, and what stands in for the real one."""
    evaluation = labelled[1]
    return evaluation.benchmark, evaluation.split, evaluation.task.name, evaluation.stand_in


def titles(sections: Sequence[Sequence[Labelled]]) -> list[str]:
    """What sections are called: benchmark and split, with the task where a benchmark was scored for several."""
    keys = [section_key(rows[0]) for rows in sections]
    several = {key[:2] for key in keys if len({other[2] for other in keys if other[:2] == key[:2]}) > 1}
    return [f"{name}, {split}" + (f", {task}" if (name, split) in several else "") for name, split, task, _ in keys]


def summary(sections: Sequence[Sequence[Labelled]]) -> dict[str, Any] | None:
    """One row a label over all benchmarks, main figures only; None when there is only one benchmark."""
    if len(sections) < 2:
        return None
    parts = [(rows, _main_figures([each for _, each in rows])) for rows in sections]
    columns = [(rows, metric) for rows, metrics in parts for metric in metrics]
    known = known_metrics([each for rows in sections for each in rows])
    labels = list(dict.fromkeys(label for rows in sections for label, _ in rows))

    def value(label: str, rows: Sequence[Labelled], metric: str) -> float | None:
        # Where two rows of one section carry the same label, the section itself lists both.
        return next((each.scores.values.get(metric) for name, each in rows if name == label), None)

    columns = _differing(columns, [[value(label, *column) for label in labels] for column in columns])
    metrics = [metric for _, metric in columns]
    units = [rows[0][1].scores.units.get(metric, "") for rows, metric in columns]
    cells = _marked([[value(label, *column) for column in columns] for label in labels], metrics, units, known)
    return {
        "groups": [
            {
                "title": title + (" (stand-in)" if rows[0][1].stand_in else ""),
                "span": sum(each is rows for each, _ in columns),
            }
            for title, (rows, _) in zip(titles(sections), parts, strict=True)
        ],
        "columns": [metric_name(metric, known) for metric in metrics],
        "rows": [{"label": label, "ours": False, "cells": row} for label, row in zip(labels, cells, strict=True)],
    }


def _main_figures(evaluations: Sequence[Evaluation]) -> list[str]:
    """The figure that ranks, that of groups with published rows (`common/nme`), and every mean over classes."""
    first = evaluations[0]
    primary = first.scores.primary
    published = dict.fromkeys(name for row in first.published for name in row.values)
    measured = dict.fromkeys(name for each in evaluations for name in each.scores.values)
    groups = [name for name in published if name.endswith(f"/{primary}") and name in measured]
    known = known_metrics([("", each) for each in evaluations])
    means = [name for name in measured if _is_mean(name, known)]
    return list(dict.fromkeys([primary, *groups, *means]))


def comparison(rows: Sequence[Labelled]) -> dict[str, Any] | None:
    """Published rows and ours in the figures that both have; where there are none, theirs stay alone as orientation.

    A row of ours that is called like a published one follows it.
    """
    first = rows[0][1]
    if not first.published:
        return None
    named = list(dict.fromkeys(name for row in first.published for name in row.values))
    elsewhere = {name for row in first.published if row.split not in ("", first.split) for name in row.values}
    measured = list(dict.fromkeys(name for _, each in rows for name in each.scores.values))
    shared = [name for name in named if name not in elsewhere and name in measured]
    columns = shared or named
    known = known_metrics(rows)
    columns.sort(key=lambda name: not _is_mean(name, known))  # means first: tables of classes are wide
    units = [first.scores.units.get(name, "%") for name in columns]

    def cells(values: Sequence[Mapping[str, float]]) -> list[list[Cell]]:
        return _marked([[row.get(name) for name in columns] for row in values], columns, units, known)

    published = [row for row in first.published if row.values.keys() & {*columns}]
    theirs = [
        {"label": row.method, "source": row.source, "ours": False, "cells": line}
        for row, line in zip(published, cells([row.values for row in published]), strict=True)
    ]
    mine = rows if shared else []
    own = [
        {"label": label, "source": "this report", "ours": True, "cells": line}
        for (label, _), line in zip(mine, cells([each.scores.values for _, each in mine]), strict=True)
    ]
    names = {row["label"] for row in theirs}
    ordered = [each for row in theirs for each in [row, *(mine for mine in own if mine["label"] == row["label"])]]
    return {
        "groups": _groups(columns, units, known),
        "columns": [_short(name, first.split, known) for name in columns],
        "source": published[0].source if len({row.source for row in published}) == 1 else "",
        "same_faces": bool(shared) and not first.stand_in and first.count == first.available,
        "shared": bool(shared),
        "rows": [*ordered, *(mine for mine in own if mine["label"] not in names)],
    }


def _groups(metrics: Sequence[str], units: Sequence[str], known: Known) -> list[dict[str, Any]]:
    """Headings over neighbouring columns of one kind of figure."""

    def heading(pair: tuple[str, str]) -> str:
        found = _parsed(pair[0], known)
        if found is None:
            return pair[0]
        _, text, after, metric = found
        text = f"{text} per {metric.each}" if metric.each and after else text.removesuffix(" over")
        return f"{text}{', ' + pair[1] if pair[1] else ''} {_arrow(metric)}"

    pairs = list(zip(metrics, units, strict=True))
    return [{"title": title, "span": len(list(group))} for title, group in groupby(pairs, key=heading)]


def _short(metric: str, split: str, known: Known) -> str:
    """The name of a column under its heading: the class, the set of faces, or the split."""
    found = _parsed(metric, known)
    if found is None:
        return ""
    before, _, after, _ = found
    return " ".join([*before, *after]) or split


def figures(rows: Sequence[Labelled]) -> dict[str, Any]:
    """Every figure of every row of a section, a line a figure."""
    primary = rows[0][1].scores.primary
    names = list(dict.fromkeys([primary, *(name for _, each in rows for name in each.scores.values)]))
    units = {name: unit for _, each in rows for name, unit in each.scores.units.items()}
    known, lines = known_metrics(rows), []
    for name in _differing(names, [[each.scores.values.get(name) for _, each in rows] for name in names]):
        unit = units.get(name, "")
        column = [[each.scores.values.get(name)] for _, each in rows]
        lines.append(
            {
                "name": metric_name(name, known),
                "unit": unit,
                "cells": [cell for (cell,) in _marked(column, [name], [unit], known)],
            }
        )
    return {"columns": [label for label, _ in rows], "rows": lines}


def breakdowns(rows: Sequence[Labelled]) -> list[dict[str, Any]]:
    """Figures by region or class, and the mean error of a face by every attribute that evaluations grouped by.

    A row a part, a cell a model: {"text", "width"}, the width of its bar in percent of the largest of the table.
    """
    known = known_metrics(rows)
    parts: dict[str, dict[str, list[float | None]]] = {}
    for name in dict.fromkeys(name for _, each in rows for name in each.scores.values):
        parsed = _parsed(name, known)
        if parsed is not None and "/" in name and not parsed[0] and not parsed[3].over:
            by = parsed[3].each or "region"
            unit = rows[0][1].scores.units.get(name, "")
            title = f"{parsed[3].name} by {by}{', ' + unit if unit else ''} {_arrow(parsed[3])}"
            parts.setdefault(title, {})[" ".join(parsed[2])] = [each.scores.values.get(name) for _, each in rows]
    tables = [_bars(title, rows, found) for title, found in parts.items() if len(found) > 1]
    for attribute in dict.fromkeys(name for _, each in rows for name in each.details.get("groups", {})):
        grouped = [{row["group"]: row for row in each.details.get("groups", {}).get(attribute, ())} for _, each in rows]
        names = dict.fromkeys(name for each in grouped for name in each)
        means = {
            f"{name} ({max(each[name]['faces'] for each in grouped if name in each):,} faces)": [
                each.get(name, {}).get("mean") for each in grouped
            ]
            for name in names
        }
        tables.append(_bars(f"{rows[0][1].task.error.title} by {attribute.replace('.', ' ')} ↓", rows, means))
    return tables


def _bars(title: str, rows: Sequence[Labelled], parts: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    numbers = [value for values in parts.values() for value in values if value is not None and math.isfinite(value)]
    largest = max(numbers, default=0.0) or 1.0

    def cell(value: float | None) -> Cell:
        part = max(value, 0.0) / largest if value is not None and math.isfinite(value) else 0.0
        return {"text": shown(value, "%"), "width": round(100 * part, 1), "best": False}

    known = {name: [cell(value) for value in values] for name, values in parts.items()}
    lines = [{"name": name, "cells": cells} for name, cells in known.items() if any(c["text"] != _NONE for c in cells)]
    return {"title": title, "columns": [label for label, _ in rows], "rows": lines}


def _differing(columns: Sequence[Any], values: Sequence[Sequence[float | None]]) -> list[Any]:
    """Columns without those that repeat an earlier one of the same benchmark: `common/nme` of the split `common`."""

    def key(column: Any) -> tuple[Any, str]:
        section, metric = column if isinstance(column, tuple) else (None, column)
        return id(section), metric.rpartition("/")[2]

    found: dict[Any, Any] = {}
    for column, each in zip(columns, values, strict=True):
        found.setdefault((*key(column), tuple(each)), column)
    return list(found.values())


def _marked(
    values: Sequence[Sequence[float | None]], metrics: Sequence[str], units: Sequence[str], known: Known
) -> list[list[Cell]]:
    """Rows of figures as cells; the best of each column is marked where its figures differ as printed."""
    texts = [[shown(value, unit) for value, unit in zip(row, units, strict=True)] for row in values]
    best: list[str | None] = []
    for index, metric in enumerate(metrics):
        numbers = [
            (value, text[index])
            for row, text in zip(values, texts, strict=True)
            if (value := row[index]) is not None and math.isfinite(value)
        ]
        found = _parsed(metric, known)
        telling = found is not None and len({text for _, text in numbers}) > 1
        best.append((max if not found or found[3].higher_is_better else min)(numbers)[1] if telling else None)
    return [[{"text": text, "best": text == best[index]} for index, text in enumerate(row)] for row in texts]
