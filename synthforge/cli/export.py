"""`synthforge export`: a model prepared for distribution, or a dataset in another tool's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..core.errors import UserError
from .common import PATH_OR_URL, say, write_json_to, write_results


@click.command(
    epilog="Example: synthforge export runs/faces/dataset --to coco --out faces-coco, or: "
    "synthforge export runs/shipped/model --out models/mine --evaluation runs/shipped/zero_shot, or: "
    "synthforge export face --onnx face.onnx"
)
@click.argument("source")
@click.option("--out", type=PATH_OR_URL, help="Folder to write.")
@click.option(
    "--to", "to", metavar="FORMAT", help="Format of a dataset; `synthforge plugins --kind formats` lists them."
)
@click.option("--val", type=click.FloatRange(0, 1, max_open=True), help="Share of the dataset for validation.")
@click.option("--mark/--no-mark", default=None, help="Say in each picture's metadata what made it [default: yes].")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that write a dataset; 0 is one a core.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module that offers the format; repeatable.")
@click.option(
    "--onnx", "onnx_file", type=PATH_OR_URL, help="ONNX file of a model to write, for onnxruntime without torch."
)
@click.option("--second-look", type=PATH_OR_URL, help="ONNX file to write, of the networks of a second look.")
@click.option(
    "--int8", is_flag=True, help="8-bit integers in the ONNX files, calibrated on faces that are rendered for it."
)
@click.option("--task", "tasks", multiple=True, help="Of the ONNX file [default: all]; repeatable.")
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    type=PATH_OR_URL,
    help="Folder of an evaluation whose figures the model's card shows; repeatable.",
)
@click.option(
    "--heads",
    multiple=True,
    help="Model trained on the frozen encoder of SOURCE, whose output heads are added to it; repeatable.",
)
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16", show_default=True)
@click.option("--title", default="SynthForge face model", show_default=True, help="Of the model's card.")
@click.option("--summary", default="", help="First paragraph of the model's card.")
@click.option("--limit", "limits", multiple=True, help="A sentence on a limit of the model; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done as JSON; - is stdout.")
def command(
    source: str,
    out: Path | None,
    to: str | None,
    val: float | None,
    mark: bool | None,
    workers: int | None,
    extra: tuple[str, ...],
    onnx_file: Path | None,
    second_look: Path | None,
    int8: bool,
    tasks: tuple[str, ...],
    evaluations: tuple[Path, ...],
    heads: tuple[str, ...],
    dtype: str,
    title: str,
    summary: str,
    limits: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Write SOURCE, a model or a dataset, for distribution.

    A dataset needs --to and --out: its samples in the format of another tool, with a dataset card, a Croissant file and
    a recipe. If it was interrupted, the same command continues it.

    Of a model, a folder or a shipped name, --out writes half-precision weights with a card. A model trained on real
    photographs is refused: its weights may be subject to the terms of their owners. --onnx accepts it, and the file
    lists their datasets.
    """
    from ..core.storage import place
    from ..datasets.layout import MANIFEST

    given = {"val": val, "mark": mark, "workers": workers}
    chosen = {name: value for name, value in given.items() if value is not None}
    is_dataset = (place(source) / MANIFEST).is_file()
    if to is not None:
        _dataset(source, to, out, chosen, extra, json_file)
        return
    if is_dataset:
        raise UserError(
            f"{source} is a dataset: --to names its format", hint="`synthforge plugins --kind formats` lists them."
        )
    if chosen:
        raise UserError(f"--{next(iter(chosen))} is for datasets", hint="Give --to FORMAT as well.")
    files = {"onnx": onnx_file, "second_look": second_look}
    if out is None and not any(files.values()):
        raise UserError("nothing to write", hint="Give --out FOLDER, --onnx FILE or both.")
    if tasks and onnx_file is None:
        raise UserError("--task selects the outputs of an ONNX file", hint="Give --onnx FILE as well.")
    texts = {"title": title, "summary": summary, "limits": limits}
    if int8 and not any(files.values()):
        raise UserError("--int8 is for ONNX files", hint="Give --onnx FILE as well.")
    if heads and out is None:
        raise UserError("--heads adds to a model folder", hint="Give --out FOLDER as well.")
    _model(source, out, files, int8, tasks, evaluations, heads, dtype, texts, json_file)


def _dataset(
    source: str, to: str, out: Path | None, chosen: dict[str, Any], extra: tuple[str, ...], json_file: Path | None
) -> None:
    from ..core.pipeline import make_pipeline, run_pipeline
    from ..stages import KINDS

    if out is None:
        raise UserError("--out is missing: where the exported files go", hint="Give --out FOLDER.")
    stage = {"run": "convert", "dataset": source, "to": to, **chosen}
    data = {"plugins": list(extra), "stages": {"export": stage}}
    pipeline = make_pipeline(data, KINDS, source="export", base=Path.cwd())
    write_results(run_pipeline(pipeline, out, say=say, folders={"export": out}), json_file)


def _model(
    model: str,
    out: Path | None,
    files: Mapping[str, Path | None],
    int8: bool,
    tasks: tuple[str, ...],
    evaluations: tuple[Path, ...],
    heads: tuple[str, ...],
    dtype: str,
    texts: dict[str, Any],
    json_file: Path | None,
) -> None:
    from ..core.plugins import load_plugins
    from ..core.shipped import find_model
    from ..evaluation.card import MEGABYTE, CardText

    plugins, folder = load_plugins(), find_model(model)
    facts = {}
    if out is not None:
        from ..stages.export import write
        from ..stages.report import collect

        found = collect(evaluations, plugins, where="--evaluation")
        more = [find_model(each) for each in heads]
        facts = write(folder, out, found, CardText(**texts), dtype=dtype, heads=more, plugins=plugins)
        say(f"{out}: {facts['bytes'] / MEGABYTE:.1f} MB, {facts['parameters']:,} parameters")
    faces: Sequence[Any] = ()
    if int8:
        from ..stages.export import rendered_faces

        say("ONNX: rendering faces to calibrate on takes some seconds")
        faces = rendered_faces(folder, plugins)
    for key, file in files.items():
        if file is None:
            continue
        from ..learning.onnx_file import export_onnx

        say("ONNX: translating the network takes up to a minute")
        again = key == "second_look"
        made = export_onnx(folder, file, tasks=() if again else tasks, second_look=again, faces=faces, plugins=plugins)
        facts[key] = made
        answers = "second look" if again else ", ".join(made["metadata"]["tasks"])
        say(f"{file}: {made['bytes'] / MEGABYTE:.1f} MB, {answers}, within {made['difference']:.0e} of torch")
        if seen := made["metadata"]["photographs_seen"]:
            say(f"  it was trained on photographs of {', '.join(seen)}: their owners' terms may apply to the file")
    write_json_to(facts, json_file)
