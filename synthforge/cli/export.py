"""`synthforge export`: a model ready to hand out."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import UserError
from .common import PLACE, say, write_json_to


@click.command(
    epilog="Example: synthforge export runs/shipped/model --out models/mine --evaluation runs/shipped/zero_shot, or: "
    "synthforge export face --onnx face.onnx"
)
@click.argument("model")
@click.option("--out", type=PLACE, help="Folder to write: weights, description, card.")
@click.option("--onnx", "onnx_file", type=PLACE, help="ONNX file to write, for onnxruntime without torch.")
@click.option("--task", "tasks", multiple=True, help="Of the ONNX file [default: all]; repeatable.")
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
@click.option("--json", "json_file", type=PLACE, help="Write size and checksum as JSON; - is stdout.")
def command(
    model: str,
    out: Path | None,
    onnx_file: Path | None,
    tasks: tuple[str, ...],
    evaluations: tuple[Path, ...],
    dtype: str,
    title: str,
    summary: str,
    limits: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Write MODEL, a folder or a shipped name, ready to hand out: weights with a card, or one ONNX file.

    --out takes half-precision weights of a model trained on synthetic samples alone. One that has seen real photographs
    is refused: its weights may be bound to the terms of their owners. --onnx takes it, and the file names them.
    """
    from ..core.plugins import load_plugins
    from ..core.shipped import find_model
    from ..evaluation.card import MEGABYTE, CardText

    if out is None and onnx_file is None:
        raise UserError("nothing to write", hint="Give --out FOLDER, --onnx FILE or both.")
    if tasks and onnx_file is None:
        raise UserError("--task chooses what an ONNX file answers", hint="Give --onnx FILE as well.")
    plugins, folder = load_plugins(), find_model(model)
    facts = {}
    if out is not None:
        from ..stages.export import write
        from ..stages.report import collect

        found = collect(evaluations, plugins, where="--evaluation")
        facts = write(folder, out, found, CardText(title, summary, limits), dtype=dtype, plugins=plugins)
        say(f"{out}: {facts['bytes'] / MEGABYTE:.1f} MB, {facts['parameters']:,} parameters")
    if onnx_file is not None:
        from ..learning.onnx_file import export_onnx

        say("ONNX: translating the network takes up to a minute")
        made = export_onnx(folder, onnx_file, tasks=tasks, plugins=plugins)
        facts["onnx"] = made
        size = f"{made['bytes'] / MEGABYTE:.1f} MB"
        say(f"{onnx_file}: {size}, {', '.join(made['metadata']['tasks'])}, within {made['difference']:.0e} of torch")
        if seen := made["metadata"]["photographs_seen"]:
            say(f"  it has learned from photographs of {', '.join(seen)}: their owners' terms may bind the file")
    write_json_to(facts, json_file)
