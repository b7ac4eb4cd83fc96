"""`synthforge evaluate`: a model, or another tool's files, on a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import LOCAL_PATH, PATH_OR_URL, say, write_json_to

#: faces on a contact sheet
SHEET_FACES = 24


@click.command(
    epilog="Example: synthforge evaluate runs/quickstart/adapted --benchmark 300w --root DIR --split val --json -"
)
@click.argument("model", required=False, type=PATH_OR_URL)
@click.option("--benchmark", required=True, help="Registered name, e.g. 300w.")
@click.option("--root", required=True, help="Folder of the benchmark's official tree.")
@click.option("--split", "splits", multiple=True, required=True, help="Which split to score; repeatable.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of the benchmark; repeatable.")
@click.option("--predictions", type=LOCAL_PATH, help="Score files any tool wrote, instead of a model.")
@click.option(
    "--pixel-centre",
    type=float,
    default=0.5,
    show_default=True,
    help="Coordinate of the first pixel's centre in the other tool, for --predictions.",
)
@click.option(
    "--box",
    type=click.Choice(["truth", "jitter", "detector"]),
    default="truth",
    show_default=True,
    help="Where the face box comes from: the annotation, up to 10 % shifted and 20 % scaled, or a detector.",
)
@click.option(
    "--detector",
    default="",
    help="Face detector for --box detector [default: the one of the highest rank, see "
    "`synthforge plugins --kind detectors`].",
)
@click.option(
    "--passes",
    type=click.IntRange(1, 3),
    help="Number of crops, each further one around the face found [default: as predict; 1 for a benchmark that defines "
    "its own crop].",
)
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Mean of the predictions for the crop and its mirror image [default: set by the model].",
)
@click.option(
    "--input-size", type=click.IntRange(min=16), help="Pixels of a crop; default: the model's size for the task."
)
@click.option("--align", type=click.IntRange(min=0), default=0, help="Faces to fit one map per landmark on; 0: none.")
@click.option("--align-kind", type=click.Choice(["affine", "offset"]), default="affine", show_default=True)
@click.option("--align-split", default="", help="Split to fit the maps on; else a part of the scored faces.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME[=A,B,...]",
    help="Figures by an attribute, e.g. yaw=-30,-10,10,30, or by value: hair.style; repeatable [default: yaw and skin "
    "tone, where known].",
)
@click.option(
    "--worst", type=click.IntRange(min=0), default=20, show_default=True, help="Number of the worst faces to list."
)
@click.option("--limit", type=click.IntRange(min=1), help="Score the first N faces only.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--report", type=PATH_OR_URL, help="Write report.html and report.json here as well.")
@click.option("--sheet", type=PATH_OR_URL, help="Draw the worst faces into this JPEG, one a split.")
@click.option("--markdown", type=PATH_OR_URL, help="Write the figures as Markdown.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the figures as JSON; - is stdout.")
def command(
    model: Path | None,
    benchmark: str,
    root: str,
    splits: tuple[str, ...],
    overrides: tuple[str, ...],
    predictions: Path | None,
    pixel_centre: float,
    box: str,
    detector: str,
    passes: int | None,
    flip: bool | None,
    input_size: int | None,
    align: int,
    align_kind: str,
    align_split: str,
    groups: tuple[str, ...],
    worst: int,
    limit: int | None,
    extra: tuple[str, ...],
    report: Path | None,
    sheet: Path | None,
    markdown: Path | None,
    json_file: Path | None,
) -> None:
    """Score MODEL on a benchmark, by the benchmark's own crop protocol and metrics.

    MODEL is a folder with model.json, or the name of a shipped one.
    """
    if (model is None) == (predictions is None):
        raise click.UsageError("give either a MODEL folder or --predictions DIR")
    if predictions is not None and (box != "truth" or passes or flip or input_size):
        raise click.UsageError(
            "--box, --passes, --flip, --input-size are for a MODEL: they do not apply to predictions in files"
        )
    from ..core.config import apply_overrides, resolve
    from ..core.errors import UserError
    from ..core.plugins import load_plugins
    from ..core.shipped import find_model
    from ..core.storage import here
    from ..evaluation.analysis import Analysis
    from ..evaluation.protocol import ScoringOptions
    from ..stages.predictor import evaluate_model

    drawn = SHEET_FACES if sheet is not None else 0
    look = Analysis(align, align_kind, align_split, _edges(groups), worst, drawn)
    options = ScoringOptions(box=box, look=look, limit=limit)
    plugins = load_plugins(extra)
    keys = resolve(apply_overrides({"root": str(here(root))}, overrides), source="--set")
    built = plugins.build("benchmark", {"name": benchmark, **keys}, where="--benchmark")
    for split in splits:
        if split not in built.splits:
            raise UserError(
                f"--split {split}: {benchmark} has no such split", hint=f"Known: {', '.join(built.splits)}."
            )
    done: list[tuple[str, Any]] = []
    for split in splits:
        if predictions is not None:
            from ..evaluation.predictions import evaluate_files

            task = plugins.build("task", built.task, where=f"the benchmark {benchmark}")
            evaluation = evaluate_files(
                predictions, task, built, split, options, name=benchmark, pixel_centre=pixel_centre
            )
        else:
            assert model is not None
            evaluation = evaluate_model(
                find_model(model),
                built,
                split,
                options,
                plugins=plugins,
                name=benchmark,
                passes=passes,
                detector=detector,
                flip=flip,
                input_size=input_size or 0,
            )
        done.append((str(model or predictions), evaluation))
        _print(evaluation)
        if sheet is not None:
            _draw(evaluation, sheet if len(splits) == 1 else sheet.with_name(f"{sheet.stem}-{split}{sheet.suffix}"))
    if markdown is not None:
        from ..core.files import write_text
        from ..evaluation.summary import to_markdown

        write_text(markdown, "\n".join(to_markdown(each, label) for label, each in done))
        say(f"figures: {markdown}")
    write_json_to({"evaluations": [{"label": label, **e.to_json()} for label, e in done]}, json_file)
    if report is not None:
        from ..evaluation.report import write_report

        say(f"report: {write_report(done, report, title=f'{benchmark}: {model or predictions}')}")


def _edges(groups: tuple[str, ...]) -> dict[str, list[float]]:
    """`yaw=-30,0,30` and `hair.style` as attributes with their edges."""
    from ..evaluation.groups import check_edges

    found: dict[str, list[float]] = {}
    for text in groups:
        name, _, edges = text.partition("=")
        try:
            found |= check_edges({name: [float(edge) for edge in edges.split(",") if edge.strip()]})
        except ValueError as error:
            raise click.UsageError(f"--group {text}: {error}") from None
    return found


def _draw(evaluation: Any, path: Path) -> None:
    from ..core.files import write_bytes
    from ..evaluation.pictures import contact_sheet, jpeg

    write_bytes(path, jpeg(contact_sheet(evaluation.sheet, evaluation.task, evaluation.schema)))
    say(f"worst faces: {path}")


def _print(evaluation: Any) -> None:
    from rich.table import Table

    from ..core.progress import console

    table = Table(title=f"{evaluation.benchmark} {evaluation.split}: {evaluation.count} faces", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in evaluation.scores.values.items():
        table.add_row(name, f"{value:.3f} {evaluation.scores.units[name]}")
    terminal = console(stderr=True)
    terminal.print(table)
    align = evaluation.details.get("align")
    if align:
        terminal.print(
            f"with one {align['kind']} map for each landmark, fitted on {align['fitted_on']} faces: "
            f"NME {align['with']['nme']:.3f} %, without {align['without']['nme']:.3f} % "
            f"(over {align['without']['faces']} other faces)"
        )
    for name, rows in evaluation.details.get("groups", {}).items():
        grouped = Table(title=f"by {name}", title_justify="left")
        for head in rows[0]:
            if head != "regions":
                grouped.add_column(head, justify="left" if head == "group" else "right")
        for row in rows:
            grouped.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items() if k != "regions"))
        terminal.print(grouped)
    for note in ([evaluation.stand_in] if evaluation.stand_in else []) + list(evaluation.notes):
        terminal.print(f"note: {note}")
