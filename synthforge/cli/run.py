"""`synthforge run`: a whole pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from .common import find_config, pipeline_options, run_folder, say, write_results


@click.command(epilog="Example: synthforge run quickstart --set stages.dataset.samples=2000 --out runs/more")
@pipeline_options
@click.option("--check", is_flag=True, help="Compare the checksums of finished files, not only their sizes.")
def command(config: str, overrides: tuple[str, ...], out: Path | None, json_file: Path | None, check: bool) -> None:
    """Run the pipeline CONFIG (a YAML file, or the name of a shipped one): every stage that is not up to date.

    A second run does nothing; an interrupted one resumes; a changed key reruns what depends on it and no more; files
    that are missing or damaged are made again.
    """
    from ..core.pipeline import load_pipeline, run_pipeline
    from ..stages import KINDS

    path = find_config(config)
    pipeline = load_pipeline(path, KINDS, overrides=overrides)
    results = run_pipeline(pipeline, run_folder(path, out), say=say, check=check)
    if all(result.status == "up to date" for result in results):
        say(f"nothing to do: {run_folder(path, out)} is up to date")
    write_results(results, json_file)
