"""`synthforge probe`: the error of a model as a function of one factor of rendered persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import LOCAL_PATH, PATH_OR_URL, say, write_json_to


@click.command(
    epilog="Example: synthforge probe face --factor yaw=-90,-45,0,45,90 --factor blur --persons 32 --out probe"
)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option(
    "--factor", "factors", multiple=True, help="NAME, NAME=A,B,... or KEY=A,B,...; repeatable [default: all]."
)
@click.option("--cross", is_flag=True, help="The first of two factors at every level of the second.")
@click.option("--persons", type=click.IntRange(min=2), default=32, show_default=True, help="Persons at each level.")
@click.option("--out", type=PATH_OR_URL, help="Folder of probe.html and probe.json.")
@click.option(
    "--pictures", type=LOCAL_PATH, help="Write the pictures of all levels here, for another tool, instead of measuring."
)
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
    out: Path | None,
    pictures: Path | None,
    generator: str | None,
    annotator: str | None,
    overrides: tuple[str, ...],
    seed: int,
    resolution: int,
    extra: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Render the same persons at every level of a factor, all else unchanged, and measure the error of each MODEL.

    MODEL is a folder with model.json, the name of a shipped one, an ONNX file, or a detector that answers points
    (`dlib`, `fan`, `mediapipe`). It may also be a callable `module:function` that takes an image and a box and returns
    points, or a folder of --pictures with the answers of another tool beside them. Factors are those that the generator
    declares, or any key of its configuration.
    After an interruption the same command resumes.
    """
    if pictures is None and (out is None or not models):
        raise click.UsageError("give MODEL and --out, or --pictures")
    if cross and len(factors) != 2:
        raise click.UsageError("--cross needs two --factor")
    from ..core.config import apply_overrides, resolve
    from ..core.plugins import load_plugins
    from ..core.progress import progress_bar
    from ..core.tables import Default
    from ..stages.probe import BOXES, Probe, named, probe, settings_of_all, write_pictures

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
    levels = settings_of_all(sweeps, cross=cross)
    with progress_bar("probe", len(levels), unit="levels") as advance:
        if pictures is not None:
            count = write_pictures(made, levels, pictures, advance)
            say(f"{count} pictures and {BOXES}: {pictures}")
            return
        assert out is not None
        data = probe(made, models, sweeps, out, cross=cross, advance=advance)
    for row in data["worst"]:
        low, high = row["difference_interval"]
        figures = f"{row['mean']:.2f} {data['error']}, {row['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
        lost = f"{row['not_found']} of {row['not_found'] + row['persons']} faces not found"
        said = [*([figures] if row["persons"] else []), *([lost] if row["not_found"] else [])]
        say(f"{row['factor']}: {row['label']} is worst at {row['level']}: {'; '.join(said)}")
    say(f"page: {out / 'probe.html'}")
    write_json_to(data, json_file)


def _reference(text: str) -> dict[str, Any]:
    """A reference to a plugin: a name, or a mapping in YAML."""
    from ..core.yaml12 import parse

    value = parse(text, "a reference")
    return dict(value) if isinstance(value, dict) else {"name": str(value)}
