"""`synthforge repair`: damaged and missing shards of a dataset, made again."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, say, write_json_to


@click.command(epilog="Example: synthforge repair data/faces --json -")
@click.argument("folder", type=PATH_OR_URL)
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module of the pipeline; repeatable.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes; 0 is one a core.")
@click.option("--shards", metavar="K/N", help="Only part K of N of the files.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done as JSON; - is stdout.")
def command(folder: Path, extra: tuple[str, ...], workers: int, shards: str | None, json_file: Path | None) -> None:
    """Find what is damaged or missing in the dataset in FOLDER, and make those shards again, to the same bytes.

    The recipe is in the manifest. Exit code 2: plugins, versions or licensed files differ, so the recipe is refused.
    Exit code 1: this machine makes other bytes; nothing was replaced. Damaged shards are kept in FOLDER/.previous.
    """
    from ..core.parts import Part
    from ..stages.repair import repair

    part = Part.parse(shards) if shards else None
    result = repair(folder, plugin_files=extra, workers=workers, part=part, say=say)
    write_json_to(result, json_file)
    count = len(result["shards"])
    made = f"{count} shard{'s' * (count != 1)} made again" if result["damage"] else "nothing to repair"
    say(f"{folder}: {made}" + (f"; the old ones are in {result['set_aside']}" if result["set_aside"] else ""))
