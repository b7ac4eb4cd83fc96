"""The model card: what a model is, from its own description, and what was measured, as `summary` tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.files import write_json, write_text
from .protocol import Evaluation
from .summary import to_markdown

CARD, FIGURES = "README.md", "figures.json"
MEGABYTE = 1e6
# Of an evaluation's JSON, what no reader of a card needs; `per_item` also names faces.
_LEFT_OUT = ("per_item", "published", "seconds")


@dataclass(frozen=True)
class CardText:
    """What a card says that no figure can: title, summary and limits (one sentence each)."""

    title: str = "SynthForge face model"
    summary: str = ""
    limits: Sequence[str] = ()


def write_card(
    folder: Path,
    description: Mapping[str, Any],
    facts: Mapping[str, Any],
    evaluations: Sequence[tuple[str, Evaluation]],
    text: CardText,
) -> None:
    """Write `figures.json` and `README.md` beside a model; pictures and names of faces stay behind.

    description: what `model.json` holds, and `meanings` of its tasks by name (`Task.meaning`); facts: {"parameters",
    "bytes", "sha256"} of the weights; evaluations: labels and evaluations in the order of the card.
    """
    shown = [(label, without_faces(evaluation)) for label, evaluation in evaluations]
    figures = [
        {"label": label, **{key: value for key, value in each.to_json().items() if key not in _LEFT_OUT}}
        for label, each in shown
    ]
    write_json(folder / FIGURES, {"model": dict(facts), "evaluations": figures})
    write_text(folder / CARD, card(description, facts, shown, text))


def without_faces(evaluation: Evaluation) -> Evaluation:
    """An evaluation without what names or shows a single face, nor its label maps by set."""
    details = {key: value for key, value in evaluation.details.items() if key != "worst"}
    for name, left_out in (("boxes", "missed_faces"), ("align", "by_set")):
        if name in details:
            details[name] = {key: value for key, value in details[name].items() if key != left_out}
    return replace(evaluation, scores=replace(evaluation.scores, per_item={}), details=details, cases=(), sheet=())


def card(
    description: Mapping[str, Any],
    facts: Mapping[str, Any],
    evaluations: Sequence[tuple[str, Evaluation]],
    text: CardText,
) -> str:
    """The card, Markdown; arguments as of `write_card`, the evaluations without faces."""
    figures = [to_markdown(evaluation, label, level=3) for label, evaluation in evaluations]
    lines = [
        f"# {text.title}",
        "",
        text.summary,
        "",
        "## What it does",
        "",
        f"Input: a square crop around one face, {description['input_size']} pixels, `crop_scale` "
        f"{description['crop_scale']:g} times the larger side of the tight box of its landmarks. "
        f"`synthforge predict` makes the crops.{_sizes(description.get('task_sizes', {}))}",
        "",
        *(
            f"- `{name}`: "
            + "; ".join(filter(None, (f"schema `{schema}`" if schema else "", description["meanings"][name])))
            for name, schema in description["schemas"].items()
        ),
        "",
        "## How it was made",
        "",
        *_history(description.get("training", {})),
        *(
            f"- Output heads of {', '.join(each['tasks'])}, added later on the same encoder: {_seen(each['training'])}."
            for each in description.get("heads", [])
        ),
        f"- Weights: {facts['parameters']:,} parameters, {facts['bytes'] / MEGABYTE:.1f} MB, "
        f"SHA-256 `{facts['sha256']}`.",
        "- Real photographs, outputs of detectors, weights of others: none in training.",
        *(f"- Licence of {name}: {value}." for name, value in sorted(dict(description.get("licences", {})).items())),
        "",
        "## Figures",
        "",
        *(figures or ["None was given.", ""]),
    ]
    if text.limits:
        lines += ["## Limits", "", *(f"- {limit}" for limit in text.limits), ""]
    return "\n".join(lines).rstrip() + "\n"


def _sizes(by_task: Mapping[str, int]) -> str:
    each = ", ".join(f"{pixels} pixels for {task}" for task, pixels in sorted(by_task.items()))
    return f" The best sizes are {each}; `predict` and `evaluate` take them by default." if each else ""


def _history(training: Mapping[str, Any]) -> list[str]:
    rounds, step = [], dict(training)
    while step:
        rounds.append(step)
        step = dict(step.get("initial") or {})
    return [f"- Round {number}: {_seen(item)}." for number, item in enumerate(reversed(rounds), start=1)]


def _seen(training: Mapping[str, Any]) -> str:
    counts = f"{training.get('samples', '?')} synthetic samples, {training.get('samples_seen', '?')} seen"
    return f"{counts}; {training['note']}" if training.get("note") else counts
