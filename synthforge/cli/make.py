"""`synthforge make`: a dataset made again from its recipe."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, say, write_json_to


@click.command(epilog="Example: synthforge make recipe.yaml --out data/faces")
@click.argument("recipe", type=PATH_OR_URL)
@click.option("--out", type=PATH_OR_URL, required=True, help="Folder or URL of the dataset.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module that made it; repeatable.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes; 0 is one a core.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was made as JSON; - is stdout.")
def command(recipe: Path, out: Path, extra: tuple[str, ...], workers: int, json_file: Path | None) -> None:
    """Make the dataset of RECIPE into --out, and compare its checksums with those in RECIPE.

    `synthforge export DATASET --to FORMAT` writes a recipe beside its files. If it was interrupted, the same command
    continues it. Exit code 1: the bytes differ; the message lists shards, versions, plugins and files that differ.
    """
    from ..stages.again import make

    result = make(recipe, out, plugin_files=extra, workers=workers, say=say)
    write_json_to(result, json_file)
    say(f"{out}: {result['samples']:,} samples, the same bytes as the recipe's")
