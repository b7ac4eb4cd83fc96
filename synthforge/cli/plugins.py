"""`synthforge plugins`: registered plugins, their origins and keys, and plugins that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from .common import PATH_OR_URL, write_json_to


@click.command(epilog="Example: synthforge plugins anny --kind generator, or: synthforge plugins train")
@click.argument("name", required=False)
@click.option(
    "--kind",
    help="Only this kind: head, generator, annotator ..., schemas, detectors ..., stage.",
)
@click.option("--file", "extra", multiple=True, help="A plugin file or module to list as well; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the list as JSON; - is stdout.")
def command(name: str | None, kind: str | None, extra: tuple[str, ...], json_file: Path | None) -> None:
    """List plugins, or every configuration key of the plugin or pipeline stage NAME: type, default, unit, range and
    meaning. Plugins that cannot be used are listed with the reason."""
    from ..core import tables
    from ..core.catalogue import describe
    from ..core.errors import UserError, did_you_mean
    from ..core.keys import describe_keys
    from ..core.plugins import load_plugins
    from ..stages import KINDS

    plugins = load_plugins(extra)
    kinds = [*plugins.catalogues, *tables.HOOKS, "stage"]
    if kind is not None and kind not in kinds:
        raise click.BadParameter(f"there is no kind '{kind}'. {did_you_mean(kind, kinds)}", param_hint="--kind")
    listed = [dict(describe(entry)) for catalogue in plugins.catalogues.values() for entry in catalogue]
    listed += tables.describe()
    if name is not None or kind == "stage":
        listed += [
            {
                "kind": "stage",
                "name": each.name,
                "summary": _summary(each.config),
                "keys": [*describe_keys(each.config)],
            }
            for each in KINDS.values()
        ]
    chosen = [row for row in listed if kind in (None, row["kind"]) and name in (None, row["name"])]
    if not chosen and name is not None:
        known = {row["name"]: None for row in listed if kind in (None, row["kind"])}
        raise UserError(f"there is no plugin or stage '{name}'", hint=did_you_mean(name, known))
    broken = [vars(item) for item in plugins.broken]
    if json_file is not None:
        write_json_to({"plugins": chosen, "broken": broken}, json_file)
    elif name is not None:
        for row in chosen:
            _print_keys(row)
    else:
        _print_list(chosen, broken)


def _summary(config: type) -> str:
    return " ".join((config.__doc__ or "").split("\n\n")[0].split())


def _print_list(rows: Iterable[Mapping[str, Any]], broken: Iterable[Mapping[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..core.progress import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "what it is", "licence", "from"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row["kind"], row["name"], row["summary"], row.get("licence", ""), row.get("distribution", ""))
    console().print(table)
    for row in rows:
        for name, summary in row.get("presets", {}).items():
            console().print(f"preset {row['name']}: {name}: {summary}", soft_wrap=True)
    for item in broken:
        line = Text.assemble(("not usable", "red"), f" {item['origin']} ({item['distribution']}): {item['reason']}")
        console().print(line, soft_wrap=True)


def _print_keys(row: Mapping[str, Any]) -> None:
    from rich.table import Table

    from ..core.progress import console

    console().print(f"{row['kind']} {row['name']}: {row['summary']}", style="bold", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("key", no_wrap=True)
    for column in ("type", "default", "unit", "range", "meaning"):
        table.add_column(column, overflow="fold")
    for key in row["keys"]:
        meaning = f"{key['doc']} ({key['source']})" if key.get("source") else key["doc"]
        table.add_row(
            key["key"], *(_short(key.get(name, "")) for name in ("type", "default", "unit", "range")), meaning
        )
    console().print(table)
    for name, summary in row.get("presets", {}).items():
        console().print(f"preset: {name}: {summary}", soft_wrap=True)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
