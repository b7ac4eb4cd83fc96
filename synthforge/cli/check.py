"""`synthforge check`: the mistakes in a configuration, and what a run of it would do."""

from __future__ import annotations

from pathlib import Path

import click

from .common import find_config, pipeline_options, run_folder, say, write_results


@click.command(epilog="Example: synthforge check quickstart --set stages.model.epochs=3 --out runs/quickstart")
@pipeline_options
def command(config: str, overrides: tuple[str, ...], out: Path | None, json_file: Path | None) -> None:
    """Check the pipeline CONFIG as `run` does before its first stage, and list which stages would run, and why.

    Nothing is written. Exit code 2 when the configuration is wrong.
    """
    from ..core.pipeline import load_pipeline, run_pipeline
    from ..stages import KINDS

    path = find_config(config)
    results = run_pipeline(load_pipeline(path, KINDS, overrides=overrides), run_folder(path, out), say=say, dry=True)
    for result in results:
        say(f"{result.name} ({result.kind}): {result.status}{f': {result.reason}' if result.reason else ''}")
    write_results(results, json_file)
