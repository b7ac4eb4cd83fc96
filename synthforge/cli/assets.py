"""`synthforge assets`: licensed files: which are needed, which are present, and how to add them."""

from __future__ import annotations

from pathlib import Path

import click

from .common import LOCAL_PATH, PATH_OR_URL, say, write_json_to


@click.group(
    invoke_without_command=True, epilog="Example: synthforge assets add flame2023-open Downloads/flame2023_Open.pkl"
)
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the list as JSON; - is stdout.")
@click.pass_context
def command(context: click.Context, json_file: Path | None) -> None:
    """List licensed files: their use, source, licence, and whether they are present."""
    if context.invoked_subcommand is not None:
        return
    from ..assets.registry import assets_folder, status

    rows = status()
    if json_file is not None:
        write_json_to(
            {"folder": assets_folder(), "assets": [{**vars(a), "check": None, "path": path} for a, path in rows]},
            json_file,
        )
        return
    from rich.table import Table
    from rich.text import Text

    from ..core.progress import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "there", "for", "licence", "commercial", "from"):
        table.add_column(column, overflow="fold")
    for asset, path in rows:
        there = Text("yes", "green") if path else "no"
        table.add_row(
            asset.name, there, asset.purpose, asset.licence, "yes" if asset.commercial else "no", asset.source
        )
    console().print(table)
    console().print(f"kept in {assets_folder()} (SYNTHFORGE_ASSETS)", soft_wrap=True)


@command.command(epilog="Example: synthforge assets add deca Downloads/deca_model.tar")
@click.argument("name")
@click.argument("path", type=LOCAL_PATH)
def add(name: str, path: Path) -> None:
    """Check the file at PATH by reading it, never running it, and keep it as the asset NAME."""
    from ..assets.registry import add_asset

    click.echo(str(add_asset(name, path)))


@command.command(epilog="Example: synthforge assets verify next3d-ffhq")
@click.argument("name")
def verify(name: str) -> None:
    """Compare an asset with the checksum recorded when it was added."""
    from ..assets.registry import verify_asset

    click.echo(f"{verify_asset(name)}  {name}")


@command.command(epilog="Example: synthforge assets convert ffhq512-128.pkl eg3d.safetensors")
@click.argument("source", type=LOCAL_PATH)
@click.argument("target", type=LOCAL_PATH)
def convert(source: Path, target: Path) -> None:
    """Turn an official Next3D or EG3D pickle SOURCE into safetensors; nothing in it is run."""
    from ..assets.stylegan_pickle import read_checkpoint, write_safetensors
    from ..core.errors import UserError

    if target.suffix != ".safetensors":
        raise UserError(f"{target}: the target's name must end in .safetensors")
    click.echo(str(write_safetensors(read_checkpoint(source), target)))


@command.command(epilog="Example: synthforge assets fake generator next3d --out fake; export SYNTHFORGE_ASSETS=fake")
@click.argument("kind")
@click.argument("plugin")
@click.option("--out", type=LOCAL_PATH, required=True, help="Folder to use as SYNTHFORGE_ASSETS.")
def fake(kind: str, plugin: str, out: Path) -> None:
    """Write made-up files in the official formats for a plugin, e.g. `generator next3d`, to try a pipeline without the
    licensed ones. Their pictures are noise; everything else is as with real ones."""
    import os
    import tempfile

    from ..assets.registry import VARIABLE, add_asset
    from ..core.catalogue import PLUGIN_KINDS
    from ..core.errors import UserError
    from ..core.plugins import load_plugins

    if kind not in PLUGIN_KINDS:
        raise UserError(f"'{kind}' is not a kind of plugin", hint=f"Kinds: {', '.join(PLUGIN_KINDS)}.")
    entry = load_plugins().entry(kind, plugin)
    if entry.fake is None:
        raise UserError(f"the {kind} '{plugin}' needs no licensed files")
    os.environ[VARIABLE] = str(out.absolute())
    with tempfile.TemporaryDirectory() as folder:
        for name, path in entry.fake(Path(folder)).items():
            say(f"  {name} -> {add_asset(name, path)}")
    say(f"made-up files are in {out}; use them with {VARIABLE}={out}")
