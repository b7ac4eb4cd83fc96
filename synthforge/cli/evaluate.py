"""`synthforge evaluate`: a model, or another tool's files, on a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import say, write_json_to


@click.command(
    epilog="Example: synthforge evaluate runs/quickstart/adapted --benchmark 300w --root DIR --split common --json -"
)
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--benchmark", required=True, help="Registered name, e.g. 300w.")
@click.option("--root", required=True, help="Folder of the benchmark's official tree.")
@click.option("--split", "splits", multiple=True, required=True, help="Which split to score; repeatable.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of the benchmark; repeatable.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Score files any tool wrote, instead of a model.")
@click.option(
    "--pixel-centre",
    type=float,
    default=0.5,
    show_default=True,
    help="What the other tool calls the centre of the first pixel, for --predictions.",
)
@click.option("--second-pass", is_flag=True, help="Crop again from the predicted points.")
@click.option(
    "--box",
    type=click.Choice(["ground-truth", "jitter"]),
    default="ground-truth",
    show_default=True,
    help="Where the face box comes from.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many faces.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--report", type=click.Path(path_type=Path), help="Write report.html and report.json here as well.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures as JSON; - is stdout.")
def command(
    model: Path | None,
    benchmark: str,
    root: str,
    splits: tuple[str, ...],
    overrides: tuple[str, ...],
    predictions: Path | None,
    pixel_centre: float,
    second_pass: bool,
    box: str,
    limit: int | None,
    extra: tuple[str, ...],
    report: Path | None,
    json_file: Path | None,
) -> None:
    """Score MODEL (a folder with model.json) on a benchmark, by the benchmark's own crop protocol and metrics."""
    if (model is None) == (predictions is None):
        raise click.UsageError("give a MODEL folder or --predictions DIR, one of the two")
    from ..core.config import apply_overrides, resolve
    from ..core.errors import UserError
    from ..core.plugins import load_plugins
    from ..stages.predictor import evaluate_model

    plugins = load_plugins(extra)
    keys = resolve(apply_overrides({"root": root}, overrides), source="--set")
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

            evaluation = evaluate_files(
                predictions, built, split, name=benchmark, pixel_centre=pixel_centre, limit=limit
            )
        else:
            assert model is not None
            evaluation = evaluate_model(
                model, built, split, plugins=plugins, name=benchmark, second_pass=second_pass, box=box, limit=limit
            )
        done.append((str(model or predictions), evaluation))
        _print(evaluation)
    write_json_to({"evaluations": [{"label": label, **e.to_json()} for label, e in done]}, json_file)
    if report is not None:
        from ..evaluation.report import write_report

        say(f"report: {write_report(done, report, title=f'{benchmark}: {model or predictions}')}")


def _print(evaluation: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{evaluation.benchmark} {evaluation.split}: {evaluation.count} faces", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in evaluation.scores.values.items():
        table.add_row(name, f"{value:.3f} {evaluation.scores.units[name]}")
    console = Console(stderr=True)
    console.print(table)
    for note in ([evaluation.stand_in] if evaluation.stand_in else []) + list(evaluation.notes):
        console.print(f"note: {note}", highlight=False)
