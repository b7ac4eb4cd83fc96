"""`synthforge export`: a model ready to hand out."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PLACE, say, write_json_to


@click.command(
    epilog="Example: synthforge export runs/shipped/model --out models/mine --evaluation runs/shipped/zero_shot"
)
@click.argument("model", type=PLACE)
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    type=PLACE,
    help="Folder of an evaluation whose figures the card shows; repeatable.",
)
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16", show_default=True)
@click.option("--title", default="SynthForge face model", show_default=True, help="Of the card.")
@click.option("--summary", default="", help="First paragraph of the card.")
@click.option("--limit", "limits", multiple=True, help="A sentence on what the model cannot do; repeatable.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write size and checksum as JSON; - is stdout."
)
def command(
    model: Path,
    out: Path,
    evaluations: tuple[Path, ...],
    dtype: str,
    title: str,
    summary: str,
    limits: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Write MODEL, trained on synthetic samples alone, as half-precision weights with a model card.

    A model that has seen real photographs is refused: its weights may be bound to the terms of their owners.
    """
    from ..core.plugins import load_plugins
    from ..evaluation.card import MEGABYTE, CardText
    from ..stages.export import write
    from ..stages.report import collect

    plugins = load_plugins()
    found = collect(evaluations, plugins, where="--evaluation")
    facts = write(model, out, found, CardText(title, summary, limits), dtype=dtype, plugins=plugins)
    say(f"{out}: {facts['bytes'] / MEGABYTE:.1f} MB, {facts['parameters']:,} parameters")
    write_json_to(facts, json_file)
