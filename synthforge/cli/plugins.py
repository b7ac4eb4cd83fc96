"""`synthforge plugins`: what is registered, by whom, and what is broken."""

from __future__ import annotations

from pathlib import Path

import click

from .common import write_json_to


@click.command(epilog="Example: synthforge plugins --kind generator --json -")
@click.option("--kind", help="Only this kind: head, generator, annotator, filter, task, benchmark.")
@click.option("--file", "extra", multiple=True, help="A plugin file or module to list as well; repeatable.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the list as JSON; - is stdout.")
def command(kind: str | None, extra: tuple[str, ...], json_file: Path | None) -> None:
    """List plugins with their distribution, licence and configuration keys; broken ones with the reason."""
    from ..core.catalogue import KINDS, describe
    from ..core.plugins import load_plugins

    if kind is not None and kind not in KINDS:
        raise click.BadParameter(f"'{kind}' is none of {', '.join(KINDS)}", param_hint="--kind")
    plugins = load_plugins(extra)
    entries = [entry for name, listed in plugins.catalogues.items() if kind in (None, name) for entry in listed]
    if json_file is not None:
        broken = [vars(item) for item in plugins.broken]
        write_json_to({"plugins": [describe(entry) for entry in entries], "broken": broken}, json_file)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "what it is", "licence", "from"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(entry.kind, entry.name, entry.summary, entry.licence, entry.distribution)
    console.print(table)
    for entry in entries:
        for name, preset in entry.presets.items():
            console.print(f"preset {entry.name}: [bold]{name}[/]: {preset.summary}", soft_wrap=True)
    for item in plugins.broken:
        console.print(f"[red]not usable[/] {item.origin} ({item.distribution}): {item.reason}", soft_wrap=True)
