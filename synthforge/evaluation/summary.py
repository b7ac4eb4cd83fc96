"""An evaluation as Markdown, for model cards: figures, sets and regions, groups, label maps, bias, worst faces."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .protocol import Evaluation

_SHOWN_WORST = 10


def to_markdown(evaluation: Evaluation, label: str = "", *, level: int = 2) -> str:
    """Everything but pictures and per-face errors; level: of its heading. Ends with a newline."""
    e, details = evaluation, evaluation.details
    error = e.task.error.title
    top, below = "#" * level, "#" * (level + 1)
    lines = [f"{top} {label + ': ' if label else ''}{e.benchmark}, {e.split}", ""]
    lines += [
        f"{e.count:,} faces" + (f" of {e.available:,}" if e.count < e.available else "") + "; " + protocol_of(e),
        "",
    ]
    lines += [f"> {note}" for note in [*([e.stand_in] if e.stand_in else []), *e.notes]]
    lines += [""] if e.notes or e.stand_in else []
    units = e.scores.units
    lines += table(
        ["figure", "value"], [[name, _number(v, units.get(name, ""))] for name, v in e.scores.values.items()]
    )
    if "sets" in details:
        lines += [f"{below} By set and region", "", *_rows(details["sets"], "set")]
    for name, rows in details.get("groups", {}).items():
        named = {row["group"]: {**row, **row.get("regions", {})} for row in rows}
        lines += [f"{below} By {name} ({error} of a face)", "", *_rows(named, name)]
    if "align" in details:
        lines += [
            f"{below} With one {details['align']['kind']} map for each landmark",
            "",
            *_maps(details["align"], e.split),
        ]
    if "bias" in details:
        lines += [f"{below} Mean signed error of all points (± its standard error)", "", *_bias(details["bias"])]
    if details.get("worst"):
        lines += [f"{below} Worst faces", ""]
        rows = [[w["key"], str(w["index"]), _number(w["error"]), w["image"]] for w in details["worst"][:_SHOWN_WORST]]
        lines += table(["face", "place", error, "photograph"], rows)
    return "\n".join(lines).rstrip() + "\n"


def protocol_of(evaluation: Evaluation) -> str:
    """The protocol in one line."""
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in evaluation.protocol.items())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table and an empty one; cells may be Markdown, but no bar of theirs ends a column."""
    first, *others = [[re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row] for row in (heads, *rows)]
    ruler = "|".join(["---", *["---:"] * (len(heads) - 1)])
    return [f"| {' | '.join(first)} |", f"|{ruler}|", *(f"| {' | '.join(row)} |" for row in others), ""]


def _rows(rows: Mapping[str, Mapping[str, Any]], what: str) -> list[str]:
    """Every figure of any row becomes a column; a row without it has a dash."""
    figures = {key: None for row in rows.values() for key, value in row.items() if isinstance(value, (int, float))}
    return table([what, *figures], [[name, *(_number(row.get(key)) for key in figures)] for name, row in rows.items()])


def _maps(align: Mapping[str, Any], split: str) -> list[str]:
    where = (
        f"faces of {align['split']}"
        if align["split"]
        else f"of these faces; figures over the other {align['without']['faces']:,}"
    )
    return [
        f"Fitted on {align['fitted_on']:,} {where}: what an offset takes away was labelling convention; "
        "an affine map may also pull noise towards the mean face.",
        "",
        *_rows({"none": align["without"], "offset": align["offset"], align["kind"]: align["with"]}, "maps"),
    ]


def _bias(bias: Mapping[str, Any]) -> list[str]:
    names = {
        "mean": "% of the eye distance",
        "mean_image_px": "pixels of the photograph",
        "mean_input_px": "pixels of the network's input",
    }
    rows = [
        [unit, *(f"{value:+.3f} ± {error:.3f}" for value, error in zip(bias[name], bias[f"{name}_error"], strict=True))]
        for name, unit in names.items()
        if name in bias
    ]
    return table(["in", "x (right)", "y (down)"], rows)


def _number(value: float | None, unit: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" + (f" {unit}" if unit else "")
