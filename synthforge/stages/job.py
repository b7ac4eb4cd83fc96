"""Making a shard of a dataset: the job that is sent to other processes, and the writing of a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import handover
from ..core.boundary import PluginFault
from ..core.errors import DataError, PluginError, SynthForgeError
from ..core.interfaces import OriginGenerator, SceneFilter, Work
from ..core.nearby import Origin
from ..core.seeding import seed_sequence
from ..core.versions import other_versions, versions
from .recipe import Recipe

if TYPE_CHECKING:
    from ..core.factors import Factor
    from ..core.interfaces import Generator
    from ..core.records import Rendering, Scene, Verdict
    from ..datasets.codecs import Encoding

#: of a sample that is drawn again until it is accepted
MOST_SCENES, MOST_PICTURES = 10_000, 100


@dataclass(frozen=True)
class ShardJob(Work):
    """Everything needed to write any shard of a dataset; its units are the shards.

    start: index of the first sample; origins: of the samples in order, where they are not drawn from (seed, index)
    alone; stack: the versions that every process of the run must have; accepted: whether a rejected sample is drawn
    again until one is accepted.
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
    accepted: bool = False
    stack: Mapping[str, str] = field(default_factory=versions)

    @property
    def shards(self) -> int:
        """Number of files of the dataset."""
        return -(-self.samples // self.shard_size)

    def indices(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.shard_size
        return range(self.start + first, self.start + min(first + self.shard_size, self.samples))

    def size(self, unit: int) -> int:
        """Samples of a shard."""
        return len(self.indices(unit))

    def open(self, first: bool) -> Made | None:
        """Build the generator; the first process also fills the caches and returns the generator's description.

        Raises PluginError if the versions of the process differ from the job's, since pixels would differ.
        """
        if other := other_versions(self.stack):
            has = ", ".join(f"{name} {here}" for name, (_, here) in other.items())
            needs = ", ".join(f"{name} {run}" for name, (run, _) in other.items())
            raise PluginError(f"a worker has {has}, where the run needs {needs}", hint="Install the same.")
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
            for sample, rejections in samples(self, self.indices(unit)):
                rejected.extend(rejections)
                if sample is not None:
                    yield sample
                advance(1)

        notes = {NOTE: rejected} if self.recipe.filters else None
        fields, mark = self.recipe.fields, self.config_hash
        write_shard(self.root, unit, accepted(), fields, config_hash=mark, encoding=self.encoding, notes=notes)

    def scene(self, generator: Any, index: int, attempt: int = 0) -> Scene:
        """The scene of a sample: drawn from (seed, index), or from its own origin; attempt: number of earlier tries."""
        with _placed(f"generator '{self.recipe.generator.name}'", self.seed, index):
            if self.origins is not None:
                origin = self.origins[index - self.start]
                scene = generator.sample_from(replace(origin, attempt=attempt))
            elif attempt and isinstance(generator, OriginGenerator):
                scene = generator.sample_from(Origin(self.seed, index, attempt=attempt))
            elif attempt:  # it takes no attempt: the sample's record holds a seed that is derived from both
                seed = seed_sequence(self.seed, index, f"attempt {attempt}").generate_state(1, np.uint64)[0]
                scene = generator.sample(int(seed >> np.uint64(1)), index)
            else:
                scene = generator.sample(self.seed, index)
        handover.check_scene(self.recipe.generator.name, scene, self.seed, index)
        return scene


@contextmanager
def _placed(plugin: str, seed: int, *indices: int) -> Iterator[None]:
    """An error that a plugin raises deliberately, with its name and the sample prepended; `PluginFault` names both
    itself."""
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
    """A generator's entries of the manifest: the source of the pixels, and its declared factors."""

    provenance: dict[str, Any]
    factors: Sequence[Factor]

    @staticmethod
    def by(generator: Generator) -> Made:
        """A generator's description of itself."""
        return Made(generator.provenance(), tuple(generator.factors()))


def samples(job: ShardJob, indices: Sequence[int]) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    """Samples in order, None for one that was rejected, each with the records of its rejections.

    Batches for rendering depend on the shard alone, so pixels do, too.
    """
    generator: Generator = job.recipe.generator.built
    scene_filters = job.recipe.scene_filters
    factors = {factor.name: factor for factor in generator.factors()} if scene_filters else {}
    for first in range(0, len(indices), generator.batch_size):
        drawn = {index: _Candidate(job, index) for index in indices[first : first + generator.batch_size]}
        waiting = list(drawn.values())
        while waiting:
            scenes = [scene for each in waiting if (scene := each.draw(generator, scene_filters, factors))]
            for rendering in _rendered(job, generator, scenes):
                drawn[rendering.scene.index].judge(rendering)
            waiting = [each for each in waiting if job.accepted and each.sample is None]
        for candidate in drawn.values():
            yield candidate.sample, list(candidate.rejections.values())


def _rendered(job: ShardJob, generator: Generator, scenes: Sequence[Scene]) -> Sequence[Rendering]:
    if not scenes:
        return ()
    name = job.recipe.generator.name
    with _placed(f"generator '{name}'", job.seed, *(scene.index for scene in scenes)):
        renderings = generator.render(scenes, job.resolution)
    handover.check_renderings(name, scenes, renderings, job.resolution)
    return renderings


@dataclass
class _Candidate:
    """The state of one index of a dataset until its sample is accepted: scenes drawn and rejected, then pictures."""

    job: ShardJob
    index: int
    sample: dict[str, Any] | None = None
    rejections: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    scenes: int = 0
    pictures: int = 0

    def draw(
        self, generator: Generator, filters: Mapping[str, SceneFilter], factors: Mapping[str, Factor]
    ) -> Scene | None:
        """The next scene that the filters on scenes accept; None if the first is rejected and not replaced."""
        while self.scenes < MOST_SCENES and self.pictures < MOST_PICTURES:
            scene = self.job.scene(generator, self.index, self.scenes)
            self.scenes += 1
            if all(self._accepts(name, scene, item.judge_scene, scene, factors) for name, item in filters.items()):
                self.pictures += 1
                return scene
            if not self.job.accepted:
                return None
        details = (f"{name}: {reason} ({row.get('times', 1)})" for (name, reason), row in self.rejections.items())
        raise DataError(
            f"sample {self.index}: the filters rejected all {self.scenes:,} scenes and {self.pictures:,} pictures; "
            f"{'; '.join(details)}",
            hint="Loosen them, or change the generator's distributions so that they rarely reject.",
        )

    def judge(self, rendering: Rendering) -> None:
        """Annotate a picture, and keep it if the filters accept it."""
        from ..datasets.writer import to_sample

        annotations: dict[str, Any] = {}
        recipe, seed = self.job.recipe, self.job.seed
        for annotator in recipe.annotators:
            with _placed(f"annotator '{annotator.name}'", seed, self.index):
                found = annotator.built.annotate(rendering)
            handover.check_annotations(annotator.name, annotator.built.fields, found, rendering)
            annotations.update(found)
        if (members := recipe.members.count) > 1:
            annotations["group"], annotations["member"] = divmod(self.index, members)
        filters = recipe.named_filters.items()
        if all(self._accepts(name, rendering.scene, item.judge, rendering, annotations) for name, item in filters):
            self.sample = to_sample(rendering, annotations)

    def _accepts(self, name: str, scene: Scene, judge: Callable[..., Verdict], *seen: Any) -> bool:
        from ..datasets.rejections import rejection

        with _placed(f"filter '{name}'", self.job.seed, self.index):
            verdict = judge(*seen)
        handover.check_verdict(name, verdict, scene)
        if verdict.accepted:
            return True
        before = self.rejections.setdefault((name, verdict.reason), rejection(self.index, name, verdict))
        if self.job.accepted:
            before["times"] = before.get("times", 0) + 1
        return False
