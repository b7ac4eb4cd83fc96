"""`synthforge generate`: the dataset stage of a pipeline, alone."""

from __future__ import annotations

from pathlib import Path

import click

from .common import find_config, pipeline_options, say, write_results


@click.command(epilog="Example: synthforge generate quickstart --samples 1000 --resolution 256 --out data/faces")
@pipeline_options
@click.option("--samples", type=click.IntRange(min=1), help="How many samples.")
@click.option("--resolution", type=click.IntRange(min=16, max=4096), help="Width and height in pixels.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the dataset.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes; 0 is one per core. Never changes a byte.")
@click.option("--shards", metavar="K/N", help="Only part K of N of the files; `merge` finishes the dataset.")
@click.option("--stage", "stage_name", help="Which generate stage of CONFIG [default: the first].")
def command(
    config: str,
    overrides: tuple[str, ...],
    out: Path | None,
    json_file: Path | None,
    samples: int | None,
    resolution: int | None,
    seed: int | None,
    workers: int | None,
    shards: str | None,
    stage_name: str | None,
) -> None:
    """Generate the dataset of CONFIG into --out. It may be killed at any time: the same command resumes, with the same
    resulting bytes.

    With --shards K/N, many processes and machines make one dataset in one folder, each its part: see docs/scaling.md.
    """
    import dataclasses

    from ..core.errors import ConfigError
    from ..core.parts import Part
    from ..core.pipeline import load_pipeline, run_pipeline
    from ..stages import KINDS

    part = Part.parse(shards) if shards else None
    path = find_config(config)
    pipeline = load_pipeline(path, KINDS, overrides=overrides)
    names = [stage.name for stage in pipeline.stages if stage.kind.name == "generate"]
    if not names or (stage_name is not None and stage_name not in names):
        raise ConfigError(f"{path}: no generate stage {stage_name or ''}", hint=f"Known: {', '.join(names) or 'none'}.")
    chosen = next(stage for stage in pipeline.stages if stage.name == (stage_name or names[0]))
    given = {"samples": samples, "resolution": resolution, "seed": seed, "workers": workers}
    changes = {key: value for key, value in given.items() if value is not None}
    chosen = dataclasses.replace(chosen, config=dataclasses.replace(chosen.config, **changes))
    folder = out if out is not None else Path("runs") / path.stem / chosen.name
    results = run_pipeline(
        dataclasses.replace(pipeline, stages=(chosen,)), folder, say=say, folders={chosen.name: folder}, part=part
    )
    write_results(results, json_file)
