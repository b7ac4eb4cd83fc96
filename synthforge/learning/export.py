"""A trained model made ready to hand out: half the bytes, a model card, and no trace of research-only data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.errors import DataError
from ..core.files import write_json, write_text
from ..core.plugins import Plugins
from .model import WEIGHTS, FaceModel, load_model

CARD, FIGURES = "README.md", "figures.json"
DTYPES = {"float16": torch.float16, "float32": torch.float32}
MEGABYTE = 1e6


@dataclass(frozen=True)
class CardText:
    """What a card says that no figure can: title, summary and limits (one sentence each)."""

    title: str = "SynthForge face model"
    summary: str = ""
    limits: Sequence[str] = ()


def export_model(
    model_dir: Path | str,
    out: Path | str,
    evaluations: Sequence[Mapping[str, Any]] = (),
    text: CardText | None = None,
    *,
    dtype: str = "float16",
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Write `model.safetensors`, `model.json`, `README.md` (the card) and `figures.json` to `out`.

    evaluations: what `evaluation.json` files hold, in the order of the card; pictures and faces' names stay behind.
    dtype: `float16` or `float32`, of the weights on disk; a model is always computed in float32. Returns
    {"parameters", "bytes", "sha256"}. Raises DataError for a model that has seen real photographs, whose weights may be
    bound to the terms of their owners, and for weights that the smaller type cannot hold.
    """
    model = load_model(model_dir, plugins=plugins)
    if model.adapter_info or model.info.get("real_data"):
        seen = ", ".join(str(item.get("benchmark", "?")) for item in model.info.get("real_data", [])) or "unknown data"
        raise DataError(
            f"{model_dir} has seen real photographs ({seen}) and is not exported",
            hint="Export the model that was trained on synthetic samples alone, before label fine-tuning.",
        )
    weights = model.state_dict()
    kept = {name: _as(value, DTYPES[dtype], name, Path(model_dir)) for name, value in weights.items()}
    folder = Path(out)
    model.info.pop("adapters", None)
    model.save(folder, weights=kept)
    data = (folder / WEIGHTS).read_bytes()
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    figures = [_figures(evaluation) for evaluation in evaluations]
    write_json(folder / FIGURES, {"model": facts, "evaluations": figures})
    write_text(folder / CARD, card(model, facts, figures, text or CardText()))
    return facts


def _as(value: torch.Tensor, dtype: torch.dtype, name: str, folder: Path) -> torch.Tensor:
    if not torch.is_floating_point(value):
        return value
    small = value.to(dtype)
    if bool(torch.isfinite(value).all()) and not bool(torch.isfinite(small).all()):
        raise DataError(f"{folder}: {name} holds numbers that {dtype} cannot", hint="Export with dtype float32.")
    return small


def _figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What of an evaluation is handed out: figures, never faces or their names."""
    kept = (
        "label",
        "benchmark",
        "split",
        "task",
        "primary",
        "values",
        "units",
        "count",
        "protocol",
        "stand_in",
        "notes",
    )
    details = dict(evaluation.get("details", {}))
    told = {key: details[key] for key in ("sets", "groups") if key in details}
    if "boxes" in details:
        told["boxes"] = {k: v for k, v in details["boxes"].items() if k != "missed_faces"}
    if "align" in details:
        told["align"] = {k: v for k, v in details["align"].items() if k != "by_set"}
    return {**{key: evaluation[key] for key in kept if key in evaluation}, "details": told}


def card(model: FaceModel, facts: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], text: CardText) -> str:
    """The model card, Markdown."""
    training = model.info.get("training", {})
    lines = [
        f"# {text.title}",
        "",
        text.summary,
        "",
        "## What it does",
        "",
        f"Input: a square crop around one face, {model.input_size} pixels, `crop_scale` {model.crop_scale:g} times the "
        "larger side of the tight box of its landmarks. `synthforge predict` makes the crops.",
        "",
        *(f"- `{name}`: {_output(model, name)}" for name in model.tasks),
        "",
        "## How it was made",
        "",
        *_history(training),
        f"- Weights: {facts['parameters']:,} parameters, {facts['bytes'] / MEGABYTE:.1f} MB, "
        f"SHA-256 `{facts['sha256']}`.",
        "- Real photographs, outputs of detectors, weights of others: none in training.",
        *(f"- Licence of {name}: {value}." for name, value in sorted(dict(model.info.get("licences", {})).items())),
        "",
        "## Figures",
        "",
        *_tables(figures),
    ]
    if text.limits:
        lines += ["## Limits", "", *(f"- {limit}" for limit in text.limits), ""]
    return "\n".join(lines).rstrip() + "\n"


def _output(model: FaceModel, name: str) -> str:
    schema = model.schema(name)
    return f"schema `{schema}`" if schema else "camera z relative to the median of the head, metres"


def _history(training: Mapping[str, Any]) -> list[str]:
    rounds, step = [], dict(training)
    while step:
        rounds.append(step)
        step = dict(step.get("initial") or {})
    return [
        f"- Round {number}: {item.get('samples', '?')} synthetic samples, {item.get('samples_seen', '?')} seen"
        + (f"; {item['note']}" if item.get("note") else "")
        + "."
        for number, item in enumerate(reversed(rounds), start=1)
    ]


def _tables(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for item in figures:
        values, units = item["values"], item.get("units", {})
        protocol = item.get("protocol", {})
        said = ", ".join(f"{k} {protocol[k]}" for k in ("box", "passes", "flip") if k in protocol)
        stand_in = f" (stand-in: {item['stand_in']})" if item.get("stand_in") else ""
        lines += [
            f"### {item.get('label') or item['benchmark']}: {item['benchmark']} `{item['split']}`, "
            f"{item['count']} faces{stand_in}",
            "",
            *([f"Protocol: {said}.", ""] if said else []),
            "| figure | value |",
            "|---|---|",
            *(f"| {name} | {_number(value, units.get(name, ''))} |" for name, value in values.items()),
            "",
        ]
        sets = item["details"].get("sets", {})
        if len(sets) > 2:  # more than one and `all`
            lines += _rows("set", [{"group": name, **row} for name, row in sets.items()])
        for attribute, rows in dict(item["details"].get("groups", {})).items():
            lines += _rows(attribute, rows)
    return lines or ["None was given.", ""]


def _rows(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One table of groups: every figure that is a number becomes a column."""
    columns = list(dict.fromkeys(k for row in rows for k, v in row.items() if isinstance(v, int | float)))
    return [
        f"| {title} | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(f"| {row['group']} | " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows),
        "",
    ]


def _cell(value: Any) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def _number(value: Any, unit: str) -> str:
    return f"{_cell(value)} {unit}".strip()
