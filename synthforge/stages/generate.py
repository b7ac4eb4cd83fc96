"""generate: annotated samples of scenes, written shard by shard, with one process per core.

Work is divided and resumed by shards. The bytes of a shard depend on (seed, index) and the configuration alone, so they
are the same for any number of workers and interruptions.
"""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.config import build_config, key
from ..core.errors import ConfigError, ConfigWarning, DataError, UserError, at, did_you_mean
from ..core.keys import default_of, key_of
from ..core.locks import locked_shards
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.progress import progress_bar
from ..core.provenance import digest, plain, set_aside
from ..core.references import bind_keys
from ..core.schemas import POINT_SCHEMAS
from ..core.tables import Default
from ..core.versions import versions
from ..datasets.layout import MOST_SAMPLES
from .recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..core.interfaces import Executor
    from ..core.nearby import Origin
    from ..core.plugins import Plugins
    from ..core.records import Members
    from ..datasets.codecs import Encoding
    from .job import Made, ShardJob

# More is certainly a mistake: 1e11 samples would fill 5,000 TB. Keys of samples have nine digits.
MANY, LAST = 100_000_000, 2**63 - 1
_NOT_FINITE = ("inf", "-inf", "nan")  # as `as_json` writes them
# Keys that the manifest holds as they are.
OWN = ("start", "samples", "resolution", "shard_size", "jpeg_quality", "depth_scale")


@dataclass
class GenerateConfig:
    """An annotated dataset. With filters, `count` sets whether rejected samples are left out or replaced."""

    generator: Any = key(
        Default("generators"), "Generator plugin: a name, or a mapping with `name` and the plugin's own keys."
    )
    annotators: list[Any] = key(Default("annotators", several=True), "Annotator plugins, given like the generator.")
    filters: list[Any] = key(
        [], "Quality filters in the order of their calls; the first that rejects decides.", since="0.1"
    )
    samples: int = key(1000, "How many samples.", low=1, high=MANY)
    count: str = key(
        "candidates",
        "What `samples` counts: candidates, or accepted samples; rejected ones are then drawn again.",
        choices=("candidates", "accepted"),
        since="0.1",
    )
    start: int = key(0, "Index of the first sample.", low=0, high=LAST)
    resolution: int = key(256, "Width and height of the images.", unit="px", low=16, high=4096)
    shard_size: int = key(100, "Samples a file.", low=1, high=MOST_SAMPLES)
    seed: int | None = key(None, "Seed of the dataset, null for the pipeline's.", low=0, high=LAST)
    jpeg_quality: int | None = key(
        None, "Quality of JPEG images; null stores them as PNG. Labels are always lossless.", low=1, high=100
    )
    depth_scale: float = key(
        1e-4, "Metres per unit of the 16-bit depth maps, which hold up to 65,535 units.", unit="m", low=1e-7, high=1
    )
    workers: int = key(0, "Processes; 0 is one per core. Never changes a byte.", low=0, high=100_000, counts=False)
    executor: Any = key(
        Default("executors"), "Where shards are made: a name, or a mapping with `name` and its own keys.", counts=False
    )

    def encoding(self) -> Encoding:
        """How the dataset is stored."""
        from ..datasets.codecs import Encoding

        return Encoding(depth_scale=self.depth_scale, jpeg_quality=self.jpeg_quality)


def recipe(context: StageContext, config: GenerateConfig) -> Recipe:
    """What makes the samples."""
    return Recipe(config.generator, tuple(config.annotators), tuple(config.filters), context.plugin_files, context.base)


def lacks(context: StageContext, config: GenerateConfig) -> list[str]:
    """Licensed files that are missing."""
    from ..assets.needs import lacking

    made = recipe(context, config)
    return lacking(made.uses, [item.kind for item in made.fields])


def outside(context: StageContext, config: GenerateConfig) -> dict[str, Any] | None:
    """A digest of the files read and of the filters' descriptions."""
    return recipe(context, config).read() or None


def check(context: StageContext, config: GenerateConfig) -> None:
    """Raise ConfigError for unsuitable annotators and filters. The generator is not built, which may take minutes."""
    made = recipe(context, config)
    for annotator in made.annotators:
        for item in annotator.built.fields:
            if item.kind == "points2d" and item.schema and item.schema not in POINT_SCHEMAS:
                hint = did_you_mean(item.schema, POINT_SCHEMAS)
                raise ConfigError(f"{annotator.where}: there is no point schema '{item.schema}'", hint=hint)
    _ = made.fields
    with at(f"{context.where}.filters"):
        _ = made.named_filters
    if config.start + config.samples - 1 > LAST:
        raise ConfigError(f"{context.where}.start: the last sample would have an index above {LAST:,}")
    _check_groups(context, config, made.members)


def _check_groups(context: StageContext, config: GenerateConfig, members: Members) -> None:
    """Raise ConfigError unless a dataset consists of whole groups of samples that show one scene."""
    count = members.count
    if count == 1:
        return
    what = f"{members.views} views of {members.frames} frames"
    for name in ("start", "samples"):
        value = getattr(config, name)
        if value % count:
            low = value - value % count
            near = f"{low:,} or {low + count:,}" if low or name == "start" else f"{count:,}"
            raise ConfigError(
                f"{context.where}.{name}: {value:,} is no whole number of groups of {count:,} samples ({what})",
                hint=f"Take {near}.",
            )
    if config.filters and config.count == "accepted":
        raise ConfigError(
            f"{context.where}.count: samples that show one scene ({what}) cannot be replaced one by one",
            hint="Take `count: candidates`; what filters reject is then left out of its group.",
        )


def promise(context: StageContext, config: GenerateConfig) -> Promise:
    """A dataset with the fields of its annotators."""
    fields = {item.name: item for item in recipe(context, config).fields}
    return Promise("dataset", fields, None if config.filters and config.count == "candidates" else config.samples)


def run(context: StageContext, config: GenerateConfig) -> None:
    """Write the missing shards, then the manifest."""
    write(context, config)


def write(
    context: StageContext,
    config: GenerateConfig,
    *,
    origins: Sequence[Origin] | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a dataset. origins: of the samples in order, where they are not drawn from (seed, index) alone; more: of
    the configuration, for the manifest."""
    from ..assets.needs import licensed_files
    from ..datasets.reader import read_manifest
    from ..datasets.rejections import acceptance
    from .merge import finish_record, keep_record

    made = recipe(context, config)
    seed = context.seed if config.seed is None else config.seed
    read = made.read()
    content = {
        "generator": made.generator.name,
        "generator_config": as_json(made.generator.config),
        "annotators": plain(config.annotators),
        "seed": seed,
        **{name: getattr(config, name) for name in OWN},
        **({"filters": plain(config.filters)} if made.filters else {}),
        **({"count": config.count} if config.count == "accepted" else {}),
        **({"read": read} if read else {}),
        **({"members": dataclasses.asdict(made.members)} if made.members.count > 1 else {}),
        **(more or {}),
    }
    job = job_of(context.out, made, config, seed, mark(content), origins)
    shards = range(job.shards) if context.part is None else context.part.within(job.shards)
    if not shards:
        context.say(f"  fewer files ({job.shards:,}) than parts: nothing to do")
        return
    with locked_shards(context.out, shards) if context.part else nullcontext():
        outcome = _make(context, config, job, shards)
    if read != made.read():
        raise DataError(
            "a licensed file was replaced while it was being read",
            hint="Run the same command again: it starts from the beginning with the new one.",
        )
    record = {
        "shards": job.shards,
        "config": content,
        "config_hash": job.config_hash,
        "licences": {f"{item.kind} {item.name}": item.entry.licence for item in made.all},
        "provenance": outcome.provenance,
        "plugins": {f"{item.kind} {item.name}": made.offered_by(item.entry) for item in made.all},
        "files": licensed_files(made.uses),
        "factors": [factor.to_json() for factor in outcome.factors],
        "filters": [{"name": key, "provenance": item.provenance()} for key, item in made.named_filters.items()],
    }
    if context.part is None:
        finish_record(context.out, record)
    else:
        keep_record(context.out, record)
    if made.filters and context.part is None:
        context.say(f"  {acceptance(read_manifest(context.out))}")


def _make(context: StageContext, config: GenerateConfig, job: ShardJob, shards: range) -> Made:
    """Make the missing ones of the shards."""
    from .job import Made

    todo = [shard for shard in shards if not _done(context, job, shard)]
    if not todo:
        return Made.by(job.recipe.generator.built)
    there = f", {len(shards) - len(todo)} there already" if len(todo) < len(shards) else ""
    total = sum(map(job.size, shards))
    files = f"{len(shards):,} file{'s' * (len(shards) > 1)}{there}"
    context.say(f"  {total:,} samples in {files}; loading the generator (half a minute at the first use)")
    with progress_bar("generate", sum(map(job.size, todo)), unit="images") as advance:
        executor: Executor = config.executor.built
        outcome: Made = executor.run(job, todo, workers=config.workers, advance=advance, say=context.say)
    return outcome


def recorded(out: Path) -> dict[str, str]:
    """Checksums that are known without reading, see `stages.merge.recorded`."""
    from .merge import recorded

    return recorded(out)


def _done(context: StageContext, job: ShardJob, shard: int) -> bool:
    """Whether a valid shard exists; one that is damaged, or of another configuration, is set aside."""
    from ..datasets.writer import shard_done

    try:
        return shard_done(context.out, shard, job.config_hash)
    except UserError as error:
        place = shard_aside(context.out, shard, context.previous / f"{context.out.name}.shards")
        context.say(f"  shard {shard} is made again, the old one is in {place}: {error.message}")
        return False


def shard_aside(root: Path, shard: int, into: Path) -> Path:
    """Set a shard aside, the marker last; returns where."""
    from ..datasets.layout import marker_path, tar_path

    names = (tar_path(root, shard).name, marker_path(root, shard).name)
    return set_aside(root, names, into, last=names[1])


def job_of(
    root: Path,
    made: Recipe,
    config: GenerateConfig,
    seed: int,
    config_hash: str,
    origins: Sequence[Origin] | None = None,
) -> ShardJob:
    """The shards of a configuration as work for an executor."""
    from .job import ShardJob

    sizes = {name: getattr(config, name) for name in ("start", "samples", "resolution", "shard_size")}
    kept = None if origins is None else tuple(origins)
    accepted = config.count == "accepted"
    return ShardJob(root, made, config.encoding(), config_hash, seed=seed, **sizes, origins=kept, accepted=accepted)


def mark(content: Mapping[str, Any]) -> str:
    """The digest that every shard stores: of the configuration in the manifest, and of the versions."""
    return digest({"content": content, "versions": versions()})


def as_json(config: Any) -> Any:
    """A configuration as JSON data: infinite ends of ranges, which JSON lacks, become texts.

    Keys of a later release are left out at their default, so that manifests stay as they were.
    """

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kept = ((item, getattr(value, item.name)) for item in dataclasses.fields(value))
            return {
                item.name: plain(found)
                for item, found in kept
                if not (key_of(item).since and plain(found) == plain(default_of(item)))
            }
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return plain(config)


def reference_of(content: Mapping[str, Any], plugins: Plugins, where: str) -> dict[str, Any]:
    """The generator that a manifest's `config` names, with its keys. Raises PluginError if it is not installed."""
    default = as_json(plugins.entry("generator", content["generator"], where=where).config())
    return {**from_json(content["generator_config"], default), "name": content["generator"]}


def bound_as_made(values: Mapping[str, Any], plugins: Plugins, where: str) -> GenerateConfig:
    """A configuration from the keys in a manifest, its plugins bound. Raises ConfigError and PluginError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # a manifest has angles in radians
        config = build_config(GenerateConfig, values, where=where)
        bind_keys(config, KIND.plugins, plugins, where)
    return config


def from_json(values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """What `as_json` wrote, as keys of the generator: only those that differ as text from the defaults.

    So a default keeps its Python value, such as 1 instead of 1.0. Texts for numbers that are not finite become these.
    """

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return [number(item) for item in value]
        return float(value) if isinstance(value, str) and value in _NOT_FINITE else value

    under = default if isinstance(default, Mapping) else {}
    return {
        name: from_json(value, under.get(name)) if isinstance(value, Mapping) else number(value)
        for name, value in values.items()
        if name not in under or json.dumps(value) != json.dumps(under[name])
    }


KIND = StageKind(
    "generate",
    GenerateConfig,
    run,
    plugins={"generator": "generator", "annotators": "annotator", "filters": "filter", "executor": "executor"},
    check=check,
    promise=promise,
    outside=outside,
    lacks=lacks,
    mends=True,
    direct=recorded,
)
