"""generate: scenes into annotated samples on disk, one process a core, shard by shard.

A shard is the unit of work and of resuming: its bytes depend on (seed, index) and the configuration alone, so they are
the same for any number of workers and however often the run was killed.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.config import split_reference
from ..core.errors import ConfigError
from ..core.pipeline import StageContext, StageKind, digest
from ..core.versions import versions

if TYPE_CHECKING:
    from ..core.interfaces import Annotator, Generator
    from ..core.plugins import Plugins
    from ..datasets.codecs import Encoding

DEFAULT_ANNOTATORS = ("landmarks", "segmentation", "depth", "normals")


@dataclass
class GenerateConfig:
    """generator: a reference to a generator plugin; annotators: references to annotator plugins.

    samples from index `start` on, square images of `resolution` pixels, `shard_size` samples a file. seed: None takes
    the pipeline's. jpeg_quality: None stores images as PNG, else as JPEG; labels are lossless always. depth_scale:
    metres per unit of the 16-bit depth maps. workers: 0 is one a core; never changes a byte.
    """

    generator: Any = "anny"
    annotators: list[Any] = field(default_factory=lambda: list(DEFAULT_ANNOTATORS))
    samples: int = 1000
    start: int = 0
    resolution: int = 256
    shard_size: int = 100
    seed: int | None = None
    jpeg_quality: int | None = None
    depth_scale: float = 1e-4
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("start", 0), ("resolution", 16), ("shard_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        self.encoding()

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


def check(context: StageContext, config: GenerateConfig) -> None:
    """Answer a wrong name or key before anything starts; building the generator may take minutes, so not that."""
    context.plugins.config("generator", config.generator, where=f"{context.where}.generator")
    build_annotators(context.plugins, config, context.where)


def run(context: StageContext, config: GenerateConfig) -> None:
    """Write the shards that are not there yet, then the manifest."""
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
    }
    config_hash = digest({"content": content, "versions": versions()})
    shards = -(-config.samples // config.shard_size)
    todo = [shard for shard in range(shards) if not shard_done(context.out, shard, config_hash)]
    generator: Generator = context.plugins.build("generator", config.generator, where=where)
    if todo:
        generator.prepare()
        if len(todo) < shards:
            context.say(f"  {shards - len(todo)} of {shards} shards are there already")
        job = Job(context.out, config, seed, config_hash, context.plugin_files, context.base, context.where)
        run_shards(job, todo, workers=config.workers or os.cpu_count() or 1, say=context.say)
    used = {f"generator {name}": entry}
    for reference in config.annotators:
        annotator, _ = split_reference(reference, kind="annotator")
        used[f"annotator {annotator}"] = context.plugins.entry("annotator", annotator)
    finish(
        context.out,
        shards=shards,
        config=content,
        config_hash=config_hash,
        licences={key: item.licence for key, item in used.items()},
        provenance=generator.provenance(),
        plugins={key: item.distribution for key, item in used.items()},
    )


def _as_json(config: Any) -> Any:
    """A configuration as JSON can hold it: JSON has no infinity, which open ranges use."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return plain(dataclasses.asdict(config))


KIND = StageKind("generate", GenerateConfig, run, neutral=("workers",), check=check)
