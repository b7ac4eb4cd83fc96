"""`synthforge probe`: the error of a model as a function of one factor of rendered persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import PATH_OR_URL, say, write_json_to


@click.command(
    epilog="Example: synthforge probe face --factor yaw=-90,-45,0,45,90 --factor blur --persons 32 --out probe"
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--factor", "factors", multiple=True, help="NAME, NAME=A,B,... or KEY=A,B,...; repeatable [default: all]."
)
@click.option("--cross", is_flag=True, help="The first of two factors at every level of the second.")
@click.option("--persons", type=click.IntRange(min=2), default=32, show_default=True, help="Persons at each level.")
@click.option("--out", type=PATH_OR_URL, required=True, help="Folder of probe.html and probe.json.")
@click.option("--generator", help="Reference as in YAML [default: as in stages].")
@click.option("--annotator", help="Annotator of the true points, as in YAML [default: the first that writes points].")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of the generator; repeatable.")
@click.option("--seed", type=click.IntRange(min=0), default=2026, show_default=True, help="Seed of the persons.")
@click.option("--resolution", type=click.IntRange(16, 2048), default=256, show_default=True, help="Pixels a side.")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the figures as JSON; - is stdout.")
def command(
    models: tuple[str, ...],
    factors: tuple[str, ...],
    cross: bool,
    persons: int,
    out: Path,
    generator: str | None,
    annotator: str | None,
    overrides: tuple[str, ...],
    seed: int,
    resolution: int,
    extra: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Render the same persons at every level of a factor, all else unchanged, and measure the error of each MODEL.

    MODEL is a folder with model.json, the name of a shipped one, an ONNX file, or a callable `module:function` that
    takes an image and a box and returns points. Factors are those that the generator declares, or any key of its
    configuration. After an interruption the same command resumes.
    """
    if cross and len(factors) != 2:
        raise click.UsageError("--cross needs two --factor")
    from ..core.config import apply_overrides, resolve
    from ..core.plugins import load_plugins
    from ..core.progress import progress_bar
    from ..core.tables import Default
    from ..stages.probe import Probe, named, probe

    plugins = load_plugins(extra)
    reference = _reference(generator or str(Default("generators").found()))
    reference = resolve(apply_overrides(reference, overrides), source="--set")
    made = Probe(
        plugins,
        reference,
        _reference(annotator or str(Default("annotators", several=True).found()[0])),
        persons,
        resolution,
        seed,
    )
    declared = made.sweeps()
    sweeps = [named(text, declared) for text in factors] or list(declared.values())
    if not sweeps:
        raise click.UsageError("this generator declares no factors to sweep: name keys by --factor KEY=A,B,...")
    total = sum(len(sweep.levels) for sweep in sweeps)
    if cross:
        total = len(sweeps[0].levels) * len(sweeps[1].levels)
    with progress_bar("probe", total, unit="levels") as advance:
        data = probe(made, models, sweeps, out, cross=cross, advance=advance)
    for row in data["worst"]:
        low, high = row["difference_interval"]
        say(
            f"{row['factor']}: {row['label']} is worst at {row['level']}: {row['mean']:.2f} {data['error']}, "
            f"{row['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
        )
    say(f"page: {out / 'probe.html'}")
    write_json_to(data, json_file)


def _reference(text: str) -> dict[str, Any]:
    """A reference to a plugin: a name, or a mapping in YAML."""
    from ..core.yaml12 import parse

    value = parse(text, "a reference")
    return dict(value) if isinstance(value, dict) else {"name": str(value)}
