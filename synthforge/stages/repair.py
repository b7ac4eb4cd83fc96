"""repair: the damaged and missing shards of a finished dataset, made again from the manifest, to the same bytes.

A whole shard is made again, because pixels may depend on the batch. A dataset that the manifest does not determine
exactly is refused before anything is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..core.errors import DataError, PluginError, SynthForgeError
from ..core.locks import locked, locked_shards
from ..core.parts import Part
from ..core.plugins import Plugins, load_plugins
from ..core.progress import progress_bar
from ..core.provenance import PREVIOUS
from ..core.versions import other_versions
from ..datasets.damage import Damage, shard_damage
from ..datasets.layout import MANIFEST, ShardSummary, marker_path, read_marker, tar_path
from ..datasets.reader import read_manifest
from ..datasets.rejections import check_rejections, gather
from . import generate
from .again import by_whom, keys_of
from .generate import GenerateConfig
from .job import ShardJob
from .recipe import Recipe


def repair(
    root: Path,
    *,
    plugin_files: Sequence[str] = (),
    workers: int = 0,
    part: Part | None = None,
    say: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Make the damaged and missing shards of a dataset again; the old ones are set aside.

    plugin_files: those of the pipeline; part: only these shards. Returns folder, status (`sound` or `repaired`),
    what was damaged, the shards made again and where the old ones are. Raises DataError and PluginError when the recipe
    cannot be repeated, SynthForgeError when the new bytes differ: the old files are then restored.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    with locked(root, shared=part is not None):
        try:
            manifest = read_manifest(root)
        except DataError as error:
            hint = f"Restore {MANIFEST} from a copy, or run its pipeline again: intact shards are kept."
            raise DataError(error.message, hint=hint) from error
        entries = manifest["shards"]
        shards = range(len(entries)) if part is None else part.within(len(entries))
        with locked_shards(root, shards) if part and shards else nullcontext():
            found: list[Damage] = []
            with progress_bar("look for damage", len(shards), unit="shards") as advance:
                for shard in shards:
                    found += shard_damage(root, entries[shard])
                    advance(1)
            bad = sorted({each.shard for each in found if each.shard is not None})
            for damage in found[:100]:
                say(f"damaged: {damage}")
            place = _remake(root, manifest, bad, plugin_files, workers, say) if bad else None
        if part is None:
            found += _rejections(root, manifest)
    return {
        "folder": str(root),
        "status": "repaired" if found else "sound",
        "damage": [each.to_json() for each in found],
        "shards": bad,
        "set_aside": place and str(place),
    }


def _remake(
    root: Path,
    manifest: Mapping[str, Any],
    bad: Sequence[int],
    plugin_files: Sequence[str],
    workers: int,
    say: Callable[[str], Any],
) -> Path:
    """Make shards again; returns where the old ones are."""
    job, config = _job(root, manifest, load_plugins(plugin_files), plugin_files)
    places = {shard: generate.shard_aside(root, shard, root / PREVIOUS / "damaged") for shard in bad}
    with progress_bar("repair", sum(map(job.size, bad)), unit="images") as advance:
        config.executor.built.run(job, bad, workers=workers, advance=advance, say=say)
    wrong = [shard for shard in bad if shard_damage(root, manifest["shards"][shard])]
    for shard in wrong:
        for path in (tar_path(root, shard), marker_path(root, shard)):
            path.unlink(missing_ok=True)
            if (places[shard] / path.name).exists():
                (places[shard] / path.name).rename(path)
    if wrong:
        raise SynthForgeError(
            f"{root}: shards {', '.join(map(str, wrong))} were made again with other bytes than {MANIFEST} has",
            hint="The machine differs from the one that made them, in its processor for example. Nothing was replaced.",
        )
    return places[bad[-1]]


def _rejections(root: Path, manifest: Mapping[str, Any]) -> list[Damage]:
    """Rebuild a damaged record of rejected samples from the markers, which hold it, too."""
    if not manifest.get("filters"):
        return []
    infos = [ShardSummary.of(read_marker(root, each["shard"]), each["marker_sha256"]) for each in manifest["shards"]]
    problems = check_rejections(root, manifest, infos)
    if problems:
        gather(root, infos, manifest["filters"]["applied"])
    return [Damage(None, "", "rejections", problem) for problem in problems]


def _job(
    root: Path, manifest: Mapping[str, Any], plugins: Plugins, plugin_files: Sequence[str]
) -> tuple[ShardJob, GenerateConfig]:
    """The exact recipe of the dataset. Raises DataError or PluginError with the reason if it cannot be repeated."""
    content, where = manifest["config"], str(root / MANIFEST)
    values = keys_of(manifest, plugins, where)
    if other := other_versions(manifest["versions"]):
        details = "; ".join(f"{name} {theirs}, here {here}" for name, (theirs, here) in other.items())
        raise DataError(f"{where} was made with other versions: {details}", hint="Install those versions.")
    try:
        config = generate.bound_as_made(values, plugins, where)
    except PluginError as error:
        raise PluginError(error.message, hint=by_whom(manifest["plugins"])) from error
    recipe = Recipe(config.generator, tuple(config.annotators), tuple(config.filters), tuple(plugin_files), Path.cwd())
    for item in recipe.all:
        recorded, now = manifest["plugins"].get(f"{item.kind} {item.name}", "nobody"), recipe.offered_by(item.entry)
        if recorded.rpartition(" sha256 ")[2] != now.rpartition(" sha256 ")[2]:
            raise PluginError(f"the {item.kind} '{item.name}' was that of {recorded}, here it is that of {now}")
    again = {"generator_config": generate.as_json(recipe.generator.config)}
    again |= {"read": recipe.read()} if "read" in content else {}
    changed = [name for name, value in again.items() if json.dumps(value) != json.dumps(content[name])]
    if changed or generate.mark(content) != manifest["config_hash"]:
        what = {"generator_config": "the generator's keys or their defaults", "read": "the licensed files"}
        raise DataError(f"{where}: {', '.join(map(what.get, changed)) or 'something'} changed since")  # type: ignore[arg-type]
    return generate.job_of(root, recipe, config, content["seed"], manifest["config_hash"]), config
