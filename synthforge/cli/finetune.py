"""`synthforge finetune`: the finetune stages of a pipeline and what they depend on."""

from __future__ import annotations

from pathlib import Path

import click

from .common import pipeline_options, run_part


@click.command(epilog="Example: synthforge finetune quickstart --out runs/quickstart")
@pipeline_options
def command(config: str, overrides: tuple[str, ...], out: Path | None, json_file: Path | None) -> None:
    """Run the finetune stages of the pipeline CONFIG, and the stages they depend on, unless these are up to date."""
    run_part(["finetune"], config, overrides, out, json_file)
