"""`synthforge verify`: every byte and label of a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, write_json_to


@click.command(epilog="Example: synthforge verify runs/quickstart/dataset --json -")
@click.argument("folder", type=PATH_OR_URL)
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was found as JSON; - is stdout.")
@click.option("--shards", metavar="K/N", help="Only part K of N of the files.")
def command(folder: Path, json_file: Path | None, shards: str | None) -> None:
    """Check the dataset in FOLDER: checksums, every member decodes, ranges, label ids, landmarks against labels.

    In the folder of any other stage (a model, an evaluation ...), files are compared with their checksums. Exit code 1
    when something is wrong. `synthforge repair` makes damaged shards again.
    """
    from ..core.errors import DataError
    from ..core.parts import Part
    from ..core.progress import progress_bar
    from ..core.provenance import STATE_FILE
    from ..datasets.damage import Damage
    from ..datasets.layout import MANIFEST
    from ..datasets.reader import read_manifest
    from ..datasets.rejections import acceptance
    from ..datasets.verify import verify

    part = Part.parse(shards) if shards else None
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    if (folder / STATE_FILE).exists() and not any(folder.glob("shard-*")) and not (folder / MANIFEST).exists():
        _verify_result(folder, json_file)
        return
    try:
        entries = read_manifest(folder)["shards"]
        chosen = part.within(len(entries)) if part else range(len(entries))
        total = sum(int(entries[shard]["count"]) for shard in chosen)
    except DataError:
        total = 0  # the report lists what is wrong with the manifest
    with progress_bar("verify", total, unit="samples") as advance:
        report = verify(folder, lambda done, of: advance(1), part=part)
    if json_file is not None:
        write_json_to(report.to_json(), json_file)
    for problem in report.problems:
        click.echo(f"problem: {problem}", err=True)
    for row in report.damage:
        click.echo(f"damaged: {Damage(**row)}", err=True)
    if report.problem_count:
        click.echo(f"{folder}: {report.problem_count} problems in {report.samples} samples", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{folder}: {report.samples} samples in {report.shards} shards, all intact", err=True)
    if report.filters:
        click.echo(acceptance({"filters": report.filters}), err=True)


def _verify_result(folder: Path, json_file: Path | None) -> None:
    """Compare the files of a stage's finished result with their checksums."""
    from ..core.errors import DataError
    from ..core.provenance import damaged, read_state

    try:
        state = read_state(folder) or {}
        recorded = state.get("outputs") or {}
        problems = [f"{folder / name} is missing or damaged" for name in damaged(folder, recorded, content=True)]
        if state.get("state") != "done":
            problems.append(f"{folder} is not finished: run the command that makes it again to resume")
    except DataError as error:
        recorded, problems = {}, [error.message]
    write_json_to({"ok": not problems, "problems": problems, "files": len(recorded)}, json_file)
    for problem in problems:
        click.echo(f"problem: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)
    click.echo(f"{folder}: {len(recorded)} files, all intact", err=True)
