"""`synthforge demo`: faces with all their labels, and a model's predictions, on one page."""

from __future__ import annotations

from pathlib import Path

import click

from .common import PATH_OR_URL, find_config, say, write_results


@click.command(epilog="Example: synthforge demo --out demo")
@click.option("--out", type=PATH_OR_URL, default="demo", show_default=True, help="Folder or URL of the results.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done here as JSON.")
def command(out: Path, json_file: Path | None) -> None:
    """Make six faces with all their labels, show the shipped model on a photograph, and write a page about both.

    It takes half a minute on two cores, and a minute at the first use on a machine. It runs the shipped configuration
    `demo`, so `synthforge run demo` does the same.
    """
    say(f"demo: six faces with all their labels into {out}; half a minute on two cores, a minute the first time")
    from ..core.pipeline import load_pipeline, run_pipeline
    from ..stages import KINDS

    results = run_pipeline(load_pipeline(find_config("demo"), KINDS), out, say=say)
    write_results(results, json_file)
    say(f"demo: open {results[-1].out / 'overview.html'}")
