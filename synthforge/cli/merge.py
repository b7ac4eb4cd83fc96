"""`synthforge merge`: finish a dataset whose shards were made in parts."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, say, write_json_to


@click.command(epilog="Example: synthforge merge data/faces   (after `generate ... --shards 1/16` to `16/16`)")
@click.argument("folder", type=PATH_OR_URL)
@click.option("--check", is_flag=True, help="Compare the checksums of all shards, not their sizes alone.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done as JSON; - is stdout.")
def command(folder: Path, check: bool, json_file: Path | None) -> None:
    """Check that all shards are in FOLDER and write the manifest, which makes them a dataset.

    The result has the same bytes as one run without --shards. Exit code 2 when shards are missing; they are named.
    """
    from ..stages.merge import merge

    result = merge(folder, check=check, say=say)
    write_json_to(result, json_file)
    say(f"{folder}: {result['samples']:,} samples in {result['shards']:,} shards, {result['status']}")
