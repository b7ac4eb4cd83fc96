"""generate: scenes into annotated samples on disk, one process a core, shard by shard.

A shard is the unit of work and of resuming: its bytes depend on (seed, index) and the configuration alone, so they are
the same for any number of workers and however often the run was killed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.config import key, split_reference
from ..core.cores import available_cores
from ..core.errors import ConfigError, DataError
from ..core.pipeline import StageContext, StageKind
from ..core.provenance import digest
from ..core.versions import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..assets.needs import Use
    from ..core.interfaces import Annotator, Filter, Generator
    from ..core.nearby import Origin
    from ..core.plugins import Plugins
    from ..datasets.codecs import Encoding

DEFAULT_ANNOTATORS = ("landmarks", "segmentation", "depth", "normals")
# Beyond these stands a slip of the pen: 1e11 samples would fill 5,000 TB. Keys of samples have nine digits.
MANY, LAST = 100_000_000, 2**63 - 1


@dataclass
class GenerateConfig:
    """An annotated dataset. With filters, `samples` counts candidates: what they reject is left out, not replaced."""

    generator: Any = key("anny", "Generator plugin: a name, or a mapping with `name` and the plugin's own keys.")
    annotators: list[Any] = key(list(DEFAULT_ANNOTATORS), "Annotator plugins, written as the generator is.")
    filters: list[Any] = key(
        [], "Quality filters in the order they are asked; the first that rejects decides.", since="0.1"
    )
    samples: int = key(1000, "How many samples.", low=1, high=MANY)
    start: int = key(0, "Index of the first sample.", low=0, high=LAST)
    resolution: int = key(256, "Width and height of the images.", unit="px", low=16, high=4096)
    shard_size: int = key(100, "Samples a file.", low=1, high=100_000)
    seed: int | None = key(None, "Seed of the dataset, null for the pipeline's.", low=0, high=LAST)
    jpeg_quality: int | None = key(
        None, "Quality of JPEG images; null stores them as PNG. Labels are lossless always.", low=1, high=100
    )
    depth_scale: float = key(
        1e-4, "Metres per unit of the 16-bit depth maps, which end at 65,535 units.", unit="m", above=0, high=1
    )
    workers: int = key(0, "Processes; 0 is one a core. Never changes a byte.", low=0, high=1024, counts=False)

    def encoding(self) -> Encoding:
        """How the dataset is stored."""
        from ..datasets.codecs import Encoding

        return Encoding(depth_scale=self.depth_scale, jpeg_quality=self.jpeg_quality)


def build_annotators(plugins: Plugins, config: GenerateConfig, where: str) -> list[Annotator]:
    """The annotators of a configuration. Raises ConfigError when two of them write the same field."""
    built: list[Annotator] = []
    owner: dict[str, str] = {}
    for index, reference in enumerate(config.annotators):
        place = f"{where}.annotators[{index}]"
        name, _ = split_reference(reference, kind="annotator", where=place)
        annotator: Annotator = plugins.build("annotator", reference, where=place)
        for item in annotator.fields:
            if item.name in owner:
                raise ConfigError(f"{place}: '{name}' writes the field '{item.name}', as '{owner[item.name]}' does")
            owner[item.name] = name
        built.append(annotator)
    return built


def build_filters(plugins: Plugins, config: GenerateConfig, where: str) -> dict[str, Filter]:
    """The filters of a configuration by name, `name[index]` where one stands several times.

    Raises ConfigError when one reads an annotation that no annotator writes.
    """
    if not config.filters:
        return {}
    names = [
        split_reference(item, kind="filter", where=f"{where}.filters[{i}]")[0] for i, item in enumerate(config.filters)
    ]
    written = {item.name for annotator in build_annotators(plugins, config, where) for item in annotator.fields}
    built: dict[str, Filter] = {}
    for index, (name, reference) in enumerate(zip(names, config.filters, strict=True)):
        place = f"{where}.filters[{index}]"
        made: Filter = plugins.build("filter", reference, where=place)
        absent = [item for item in made.fields if item not in written]
        if absent:
            raise ConfigError(
                f"{place}: '{name}' reads {', '.join(absent)}, which no annotator writes",
                hint=f"Written: {', '.join(sorted(written)) or 'nothing'}. Add the annotator to {where}.annotators.",
            )
        built[name if names.count(name) == 1 else f"{name}[{index}]"] = made
    return built


def file_uses(context: StageContext, config: GenerateConfig) -> list[Use]:
    """The licensed files that the plugins of a configuration read."""
    from ..assets.needs import Use

    wanted = [("generator", config.generator, "generator")]
    wanted += [("annotator", item, f"annotators[{i}]") for i, item in enumerate(config.annotators)]
    wanted += [("filter", item, f"filters[{i}]") for i, item in enumerate(config.filters)]
    uses = []
    for kind, reference, place in wanted:
        where = f"{context.where}.{place}"
        name, _ = split_reference(reference, kind=kind, where=where)
        uses += [Use(f"{kind} {name}", need) for need in context.plugins.files(kind, reference, where=where)]
    return uses


def lacks(context: StageContext, config: GenerateConfig) -> list[str]:
    """Licensed files that are not there."""
    from ..assets.needs import lacking

    annotators = build_annotators(context.plugins, config, context.where)
    return lacking(file_uses(context, config), [item.kind for annotator in annotators for item in annotator.fields])


def outside(context: StageContext, config: GenerateConfig) -> dict[str, Any] | None:
    """What is in the files read, and who judges: detectors differ between their versions."""
    from ..assets.needs import contents

    found: dict[str, Any] = contents(file_uses(context, config))
    for name, item in build_filters(context.plugins, config, context.where).items():
        found[f"filter {name}"] = item.provenance()
    return found or None


def check(context: StageContext, config: GenerateConfig) -> None:
    """Answer a wrong name or key before anything starts; building the generator may take minutes, so not that."""
    context.plugins.config("generator", config.generator, where=f"{context.where}.generator")
    build_annotators(context.plugins, config, context.where)
    build_filters(context.plugins, config, context.where)


def run(context: StageContext, config: GenerateConfig) -> None:
    """Write the shards that are not there yet, then the manifest."""
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
    from ..datasets.writer import finish, shard_done
    from .workers import Job, run_shards

    seed = context.seed if config.seed is None else config.seed
    where = f"{context.where}.generator"
    name, _ = split_reference(config.generator, kind="generator", where=where)
    entry = context.plugins.entry("generator", name, where=where)
    content = {
        "generator": name,
        "generator_config": _as_json(context.plugins.config("generator", config.generator, where=where)),
        "annotators": config.annotators,
        "seed": seed,
        "start": config.start,
        "samples": config.samples,
        "resolution": config.resolution,
        "shard_size": config.shard_size,
        "jpeg_quality": config.jpeg_quality,
        "depth_scale": config.depth_scale,
        **(more or {}),
    }
    filters = build_filters(context.plugins, config, context.where)
    read = outside(context, config)
    if filters:
        content["filters"] = config.filters
    if read:
        content["read"] = read
    config_hash = digest({"content": content, "versions": versions()})
    shards = -(-config.samples // config.shard_size)
    todo = [shard for shard in range(shards) if not shard_done(context.out, shard, config_hash)]
    generator: Generator = context.plugins.build("generator", config.generator, where=where)
    if todo:
        generator.prepare()
        if len(todo) < shards:
            context.say(f"  {shards - len(todo)} of {shards} shards are there already")
        job = Job(
            context.out,
            config,
            seed,
            config_hash,
            context.plugin_files,
            context.base,
            context.where,
            origins=None if origins is None else tuple(origins),
        )
        run_shards(job, todo, workers=config.workers or available_cores(), say=context.say)
    if read != outside(context, config):
        raise DataError(
            "a licensed file was replaced while it was being read",
            hint="Run the same command again: it starts over with the new one.",
        )
    used = {f"generator {name}": entry}
    for kind, references in (("annotator", config.annotators), ("filter", config.filters)):
        for reference in references:
            plugin, _ = split_reference(reference, kind=kind)
            used[f"{kind} {plugin}"] = context.plugins.entry(kind, plugin)
    finish(
        context.out,
        shards=shards,
        config=content,
        config_hash=config_hash,
        licences={key: item.licence for key, item in used.items()},
        provenance=generator.provenance(),
        plugins={key: item.distribution for key, item in used.items()},
        factors=generator.factors(),
        files=licensed_files(file_uses(context, config)),
        filters=[{"name": key, "provenance": item.provenance()} for key, item in filters.items()],
    )
    if filters:
        context.say(f"  {acceptance(read_manifest(context.out))}")


def _as_json(config: Any) -> Any:
    """A configuration as JSON can hold it: JSON has no infinity, which open ranges use."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return plain(dataclasses.asdict(config))


KIND = StageKind(
    "generate",
    GenerateConfig,
    run,
    check=check,
    outside=outside,
    lacks=lacks,
    mends=True,
)
