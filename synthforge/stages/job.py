"""What a shard of a dataset takes: the job that travels to other processes, and the writing of one of its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import handover
from ..core.boundary import PluginFault
from ..core.errors import PluginError, SynthForgeError
from ..core.interfaces import Work
from ..core.versions import versions
from .recipe import Recipe

if TYPE_CHECKING:
    from ..core.factors import Factor
    from ..core.interfaces import Generator
    from ..core.nearby import Origin
    from ..core.records import Rendering, Scene
    from ..datasets.codecs import Encoding


@dataclass(frozen=True)
class ShardJob(Work):
    """What is needed to write any shard of a dataset; its units are the shards.

    start: index of the first sample; origins: of the samples in order, where they are not drawn from (seed, index)
    alone; stack: the versions that every process of the run must have.
    """

    root: Path
    recipe: Recipe
    encoding: Encoding
    config_hash: str
    seed: int
    start: int
    samples: int
    resolution: int
    shard_size: int
    origins: tuple[Origin, ...] | None = None
    stack: Mapping[str, str] = field(default_factory=versions)

    @property
    def shards(self) -> int:
        """How many files the dataset has."""
        return -(-self.samples // self.shard_size)

    def indices(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.shard_size
        return range(self.start + first, self.start + min(first + self.shard_size, self.samples))

    def size(self, unit: int) -> int:
        """Samples of a shard."""
        return len(self.indices(unit))

    def open(self, first: bool) -> Made | None:
        """Build the generator; the first fills the caches and says what it is.

        Raises PluginError where the process has other versions than the one that made the job: pixels would differ.
        """
        here = versions()
        other = [f"{name} {here.get(name, 'missing')}" for name in self.stack if here.get(name) != self.stack[name]]
        if other:
            wanted = ", ".join(f"{name.split()[0]} {self.stack[name.split()[0]]}" for name in other)
            raise PluginError(
                f"a worker has {', '.join(other)}, where the run needs {wanted}", hint="Install the same."
            )
        generator: Generator = self.recipe.generator.built
        if not first:
            return None
        generator.prepare()
        return Made.by(generator)

    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        """Write a shard and its marker; `advance(1)` after each sample."""
        from ..datasets.rejections import NOTE
        from ..datasets.writer import write_shard

        rejected: list[dict[str, Any]] = []

        def accepted() -> Iterator[dict[str, Any]]:
            for sample, rejection in samples(self, self.indices(unit)):
                if rejection is None:
                    yield sample
                else:
                    rejected.append(rejection)
                advance(1)

        notes = {NOTE: rejected} if self.recipe.filters else None
        fields, mark = self.recipe.fields, self.config_hash
        write_shard(self.root, unit, accepted(), fields, config_hash=mark, encoding=self.encoding, notes=notes)

    def scene(self, generator: Any, index: int) -> Scene:
        """The scene of a sample: drawn from (seed, index), or from its own origin."""
        with _placed(f"generator '{self.recipe.generator.name}'", self.seed, index):
            if self.origins is None:
                scene = generator.sample(self.seed, index)
            else:
                scene = generator.sample_from(self.origins[index - self.start])
        handover.check_scene(self.recipe.generator.name, scene, self.seed, index)
        return scene


@contextmanager
def _placed(plugin: str, seed: int, *indices: int) -> Iterator[None]:
    """What a plugin raises on purpose, with its name and the sample in front; `PluginFault` says both itself."""
    try:
        yield
    except PluginFault:
        raise
    except SynthForgeError as error:
        first, last = indices[0], indices[-1]
        where = f"index {first}" if first == last else f"indices {first} to {last}"
        error.message = f"the {plugin} at seed {seed}, {where}: {error.message}"
        error.args = (error.message,)
        raise


@dataclass(frozen=True)
class Made:
    """What a manifest says of a generator: where the pixels come from, and the factors it declares."""

    provenance: dict[str, Any]
    factors: Sequence[Factor]

    @staticmethod
    def by(generator: Generator) -> Made:
        """What a generator says of itself."""
        return Made(generator.provenance(), tuple(generator.factors()))


def samples(job: ShardJob, indices: Sequence[int]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Samples in order, each with the record of its rejection or None.

    They are rendered in batches that depend on the shard alone, so that pixels do too.
    """
    from ..datasets.writer import to_sample

    recipe, seed = job.recipe, job.seed
    made_by = f"generator '{recipe.generator.name}'"
    generator: Generator = recipe.generator.built
    for first in range(0, len(indices), generator.batch_size):
        scenes = [job.scene(generator, index) for index in indices[first : first + generator.batch_size]]
        with _placed(made_by, seed, *(scene.index for scene in scenes)):
            renderings = generator.render(scenes, job.resolution)
        handover.check_renderings(recipe.generator.name, scenes, renderings, job.resolution)
        for rendering in renderings:
            annotations: dict[str, Any] = {}
            for annotator in recipe.annotators:
                with _placed(f"annotator '{annotator.name}'", seed, rendering.scene.index):
                    found = annotator.built.annotate(rendering)
                handover.check_annotations(annotator.name, annotator.built.fields, found, rendering)
                annotations.update(found)
            yield to_sample(rendering, annotations), _rejection(recipe, rendering, annotations)


def _rejection(recipe: Recipe, rendering: Rendering, annotations: Mapping[str, Any]) -> dict[str, Any] | None:
    from ..datasets.rejections import rejection

    for name, item in recipe.named_filters.items():
        with _placed(f"filter '{name}'", rendering.scene.seed, rendering.scene.index):
            verdict = item.judge(rendering, annotations)
        handover.check_verdict(name, verdict, rendering.scene)
        if not verdict.accepted:
            return rejection(rendering.scene.index, name, verdict)
    return None
