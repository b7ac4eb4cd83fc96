"""A dataset as a recipe: a small text that another machine turns into the same bytes, and the check that it did."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.config import read_yaml
from ..core.errors import ConfigWarning, DataError, PluginError, SynthForgeError
from ..core.foreign import boundary
from ..core.nearby import Origin
from ..core.pipeline import Pipeline, make_pipeline, run_pipeline
from ..core.plugins import Plugins, load_plugins
from ..core.records import Rendering
from ..core.versions import other_versions
from ..datasets.layout import MANIFEST
from ..datasets.reader import ShardDataset, read_manifest
from . import generate

VERSION = 1
SHORT = 8  # digits of a shard's checksum that a recipe holds: enough to say which shard differs
_TITLE = "# A dataset as a recipe: `synthforge make recipe.yaml --out DIR` makes it again and compares the checksums.\n"
# What a manifest's configuration holds when (seed, index) alone determine the samples.
_NEEDED = {"generator", "generator_config", "annotators", "seed", *generate.OWN}
_KNOWN = {*_NEEDED, "filters", "count", "read", "members"}
# Keys of the stage that stand in a manifest and in a recipe as they are; the generator is put together.
_VALUES = (*generate.OWN, "annotators", "seed", "filters", "count")
_RECIPE = {"sha256": str, "shards": str, "made_with": dict, "plugins": dict, "licensed_files": dict}


def keys_of(manifest: Mapping[str, Any], plugins: Plugins, where: str) -> dict[str, Any]:
    """Keys of the stage `generate` that made a dataset, angles in radians.

    Raises DataError where they do not determine its samples, PluginError where the generator is not there.
    """
    content = manifest["config"]
    lacking = _NEEDED - set(content)
    if lacking or set(content) - _KNOWN:
        why = f"lacks {', '.join(sorted(lacking))}" if lacking else "has samples that depend on other data"
        raise DataError(f"{where} {why}: it cannot be repeated", hint="Run the pipeline that made the dataset again.")
    values = {name: content[name] for name in _VALUES if name in content}
    try:
        values["generator"] = generate.reference_of(content, plugins, where)
    except PluginError as error:
        raise PluginError(error.message, hint=by_whom(manifest["plugins"])) from error
    return values


def rendering_of(dataset: ShardDataset, position: int) -> Rendering:
    """A sample of a dataset rendered again, with its mesh. Raises as `keys_of`."""
    plugins, where = load_plugins(), str(dataset.root / MANIFEST)
    config = generate.bound_as_made(keys_of(dataset.manifest, plugins, where), plugins, where)
    generator, record = config.generator.built, dataset[position]["scene"]
    if "parent" in record or "attempt" in record:
        scene = generator.sample_from(Origin.from_json(record))
    else:
        scene = generator.sample(record["seed"], record["index"])
    (rendering,) = generator.render([scene], config.resolution)
    return rendering


def by_whom(plugins: Mapping[str, str]) -> str:
    """The hint where a plugin is not there: who offered those that were used."""
    rows = "; ".join(f"{name} of {source}" for name, source in plugins.items())
    return f"It was made by {rows}. Files are given by --plugin."


def recipe_text(root: Path, plugins: Plugins | None = None) -> str:
    """The recipe of the dataset in a folder, as YAML. Raises DataError where no recipe determines its samples."""
    manifest = read_manifest(root)
    values = keys_of(manifest, plugins or load_plugins(), str(root / MANIFEST))
    sums = [entry["sha256"] for entry in manifest["shards"]]
    rows = {
        "recipe": VERSION,
        "made_with": {name: text for name, text in manifest["versions"].items() if name != "python"},
        "plugins": manifest["plugins"],
        "licensed_files": {row["name"]: row["sha256"] for row in manifest["licensed_files"]},
        "sha256": _together(sums),
        "shards": " ".join(each[:SHORT] for each in sums),
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in rows.items() if value not in ({}, "")]
    lines += ["generate:", *(f"  {name}: {json.dumps(generate.as_json(value))}" for name, value in values.items())]
    return _TITLE + "\n".join(lines) + "\n"


def read_recipe(path: Path, plugin_files: Sequence[str] = (), workers: int = 0) -> tuple[Pipeline, dict[str, Any]]:
    """The pipeline of a recipe, which is one stage `dataset`, and the recipe as it is written.

    Raises DataError for a file that is no recipe, and what `make_pipeline` raises.
    """
    with boundary(path, "a recipe", hint="`synthforge export DATASET --to card` writes one."):
        recipe = read_yaml(path)
        if recipe.get("recipe") != VERSION:
            raise ValueError(f"its version is {recipe.get('recipe')!r}; this release reads {VERSION}")
        values = generate.from_json(recipe["generate"], {})
        if strange := set(values) - {"generator", *_VALUES}:
            raise ValueError(f"'{min(map(str, strange))}' has no place under generate")
        for name, kind in _RECIPE.items():
            if not isinstance(recipe[name] if kind is str else recipe.setdefault(name, {}), kind):
                raise ValueError(f"'{name}' is not of the kind it should be")
    data = {"plugins": list(plugin_files), "stages": {"dataset": {"run": "generate", **values, "workers": workers}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # a recipe has angles in radians, as a manifest does
        try:
            return make_pipeline(data, {"generate": generate.KIND}, source=str(path), base=Path.cwd()), recipe
        except PluginError as error:
            raise PluginError(error.message, hint=by_whom(recipe["plugins"])) from error


def make(
    path: Path,
    out: Path,
    *,
    plugin_files: Sequence[str] = (),
    workers: int = 0,
    say: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Make the dataset of a recipe in the folder `out`, and compare its shards with those of the recipe.

    Returns folder, samples, sha256 and status (`same bytes`). Raises what `read_recipe` and `run_pipeline` raise, and
    SynthForgeError that names the shards and the versions that differ.
    """
    pipeline, recipe = read_recipe(path, plugin_files, workers)
    other = [f"{name} {theirs}, here {here}" for name, (theirs, here) in other_versions(recipe["made_with"]).items()]
    if other:
        say(f"other versions than the recipe's: {'; '.join(other)}")
    run_pipeline(pipeline, out, say=say, folders={"dataset": out})
    manifest = read_manifest(out)
    sums = [entry["sha256"] for entry in manifest["shards"]]
    if _together(sums) != recipe["sha256"]:
        raise SynthForgeError(
            _difference(out, sums, recipe["shards"].split()), hint="\n".join(_why(recipe, manifest, other))
        )
    return {"folder": str(out), "samples": manifest["count"], "sha256": recipe["sha256"], "status": "same bytes"}


def _together(sums: Iterable[str]) -> str:
    """One checksum of the checksums of all shards, in order."""
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _difference(out: Path, sums: Sequence[str], short: Sequence[str]) -> str:
    if len(sums) != len(short):
        return f"{out} has {len(sums):,} shards, the recipe {len(short):,}"
    wrong = [str(shard) for shard, (ours, theirs) in enumerate(zip(sums, short, strict=True)) if ours[:SHORT] != theirs]
    more = f" and {len(wrong) - 20:,} more" if len(wrong) > 20 else ""
    named = f"shards {', '.join(wrong[:20])}{more}" if wrong else "shards that the recipe does not tell apart"
    return f"{out} was made with other bytes than the recipe's: {named} of {len(sums):,}"


def _why(recipe: Mapping[str, Any], manifest: Mapping[str, Any], other: Sequence[str]) -> list[str]:
    """What differs between the machines, as far as the recipe tells."""
    lines = [f"Version of {each}." for each in other]
    for name, theirs in recipe["plugins"].items():
        ours = manifest["plugins"].get(name, "nobody")
        if ours != theirs:
            lines.append(f"The {name} was that of {theirs}, here of {ours}.")
    files = {row["name"]: row["sha256"] for row in manifest["licensed_files"]}
    for name, theirs in recipe["licensed_files"].items():
        if files.get(name) != theirs:
            lines.append(f"The licensed file {name} is another one.")
    return lines or ["Versions, plugins and licensed files agree: the processor is of another kind, it seems."]
