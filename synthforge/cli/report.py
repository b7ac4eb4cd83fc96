"""`synthforge report`: a page that compares existing evaluations with published figures."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, say, write_json_to


@click.command(epilog="Example: synthforge report runs/paper/table1_300w runs/mine/scores --out runs/beside --json -")
@click.argument("evaluations", nargs=-1, required=True, type=PATH_OR_URL)
@click.option("--out", type=PATH_OR_URL, required=True, help="Folder of the page.")
@click.option("--title", default="SynthForge report", show_default=True, help="Title of the page.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Best, median and worst faces.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the figures as JSON; - is stdout.")
def command(
    evaluations: tuple[Path, ...], out: Path, title: str, pictures: bool, extra: tuple[str, ...], json_file: Path | None
) -> None:
    """Write report.html, report.md and report.json about EVALUATIONS: folders of evaluate stages, or of whole runs.

    Each benchmark and split has one table, with the published rows and the best figures in bold.
    """
    from ..core.errors import UserError
    from ..core.plugins import load_plugins
    from ..evaluation.report import write_report
    from ..stages.report import collect

    for folder in evaluations:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
    found = collect(evaluations, load_plugins(extra), where="EVALUATIONS")
    say(f"report: {write_report(found, out, title=title, pictures=pictures)}")
    write_json_to({"evaluations": [{"label": label, **each.to_json()} for label, each in found]}, json_file)
