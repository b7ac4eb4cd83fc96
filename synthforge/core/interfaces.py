"""What a plugin implements. One small class a kind; subclass it, set the attributes, write the methods.

What a method raises besides the errors of `core.errors` is a fault of the plugin and is reported with its line and the
sample (`core.boundary`). The contract suite in `synthforge.testing` runs over every registered plugin of each kind.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .boundary import Guarded
from .checksums import checksums
from .errors import AnnotationError, ConfigError, UserError
from .nearby import Origin
from .records import Field, PublishedRow, RealItem, RealSample, Rendering, Scene, Scores, Verdict
from .task import TargetPlan as TargetPlan
from .task import Task as Task

if TYPE_CHECKING:
    import torch

    from .factors import Factor, Sweep

Contour = Literal["static", "visible"]


class HeadModel(ABC):
    """A parametric head: geometry that generators pose and annotators read.

    faces (F,3) int32, counter-clockwise seen from outside; num_vertices V; region_schema: name of the class schema
    (`core.schemas`) of `regions_at`; point_schema: that of `landmarks`; other_schemas: others that `points`
    computes. uv (T,2) in [0,1], v upwards, with uv_faces (F,3): the texture map, or None for a head without one.
    """

    faces: np.ndarray
    num_vertices: int
    region_schema: str
    point_schema: str
    other_schemas: tuple[str, ...] = ()
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None

    @abstractmethod
    def landmarks(
        self, vertices: torch.Tensor, camera_position: torch.Tensor | None = None, contour: Contour = "static"
    ) -> torch.Tensor:
        """Landmarks (B,N,3) on a mesh of this head: vertices (B,V,3), camera_position (B,3), both in the world frame.

        `visible`: as annotators mark them in a picture, with the jaw line on the contour that the camera sees; it
        needs camera_position (ValueError).
        """

    def points(
        self,
        schema: str,
        vertices: torch.Tensor,
        camera_position: torch.Tensor | None = None,
        contour: Contour = "static",
    ) -> torch.Tensor:
        """Points (B,N,3) of any schema of this head, as `landmarks` its own. Raises AnnotationError for others."""
        if schema == self.point_schema:
            return self.landmarks(vertices, camera_position, contour)
        known = ", ".join((self.point_schema, *self.other_schemas))
        raise AnnotationError(f"the head has no '{schema}' landmarks", hint=f"It has {known}.")

    @abstractmethod
    def regions_at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 of the surface points given by face_id (N,) and barycentric (N,3)."""


class Generator(Guarded, ABC):
    """Turns (seed, index) into a scene, and scenes into renderings. Both are pure: no state, no global randomness.

    Where several samples show one scene (cameras of a rig, frames of a clip), the configuration has the property
    `members`, a `core.records.Members`.
    """

    #: preferred number of scenes per call of `render`; pixels are reproducible for a fixed number
    batch_size: int = 8

    @abstractmethod
    def sample(self, seed: int, index: int) -> Scene:
        """Draw a scene. Cheap, on the CPU, the same for the same (seed, index)."""

    @abstractmethod
    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        """Render scenes to square images of `resolution` pixels, in the same order.

        A rendering does not depend on the other scenes of its batch beyond the last bits of floating point.
        """

    def factors(self) -> Sequence[Factor]:
        """The declared distributions of what is drawn: reports compare them with the samples."""
        return ()

    def sweeps(self) -> Sequence[Sweep]:
        """What `synthforge probe` varies by name. Setting one must leave every other draw of a sample as it was."""
        return ()

    def prepare(self) -> None:
        """Fill caches and compile kernels once for all processes; must not download."""

    def provenance(self) -> dict[str, Any]:
        """Where the pixels come from, for the manifest: checkpoint hash, edition, licence ...

        `digital_source_type` is IPTC's word for it, which exported pictures carry; a program alone, where it is absent.
        """
        return {}


class OriginGenerator(Generator):
    """A generator that takes every random number from an origin, so that `adapt` can draw scenes near others."""

    def sample(self, seed: int, index: int) -> Scene:
        """See `Generator.sample`: the origin that is (seed, index) alone."""
        return self.sample_from(Origin(seed, index))

    @abstractmethod
    def sample_from(self, origin: Origin) -> Scene:
        """Draw the scene of an origin, which may lie near another scene, and note the origin in it.

        Every random stream is `origin.stream(name)`, where a plain generator takes `seeding.numpy_rng(seed, index,
        name)`.
        """


class Annotator(Guarded, ABC):
    """Reads annotations off a rendering's own geometry."""

    #: what `annotate` returns, described
    fields: tuple[Field, ...]

    @abstractmethod
    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        """The annotations of one rendering, one value for each of `fields`, by name.

        Raises AnnotationError when the rendering lacks the geometry this annotator reads.
        """


class Filter(Guarded, ABC):
    """Keeps or rejects finished samples by what they show. It gives no label and changes none.

    A verdict depends on the sample alone, not on other samples, their order or the process.
    """

    #: names of the annotations it reads; checked before anything is rendered
    fields: tuple[str, ...] = ()

    @abstractmethod
    def judge(self, rendering: Rendering, annotations: Mapping[str, Any]) -> Verdict:
        """Accept or reject one sample: the rendering, and its annotations by field name. Both stay untouched."""

    def provenance(self) -> dict[str, Any]:
        """How it judges, for the manifest: detector, its version ... Cheap, JSON; part of the fingerprint."""
        return {}


class SceneFilter(Filter):
    """Keeps or rejects scenes before they are rendered."""

    def judge(self, rendering: Rendering, annotations: Mapping[str, Any]) -> Verdict:
        """See `Filter.judge`: what is rendered was accepted."""
        return Verdict(True)

    @abstractmethod
    def judge_scene(self, scene: Scene, factors: Mapping[str, Factor]) -> Verdict:
        """Accept or reject one scene. factors: the generator's, by name; `core.factors.seen` reads them.

        Raises ConfigError where the filter asks for a factor that the generator does not have.
        """


class Benchmark(Guarded, ABC):
    """A real dataset: where its faces lie, what its labels mean, how it is cropped and scored.

    - task: name of the task it scores; schema: name of its point or class schema;
    - splits: names that `items` takes; published: figures of papers, shown beside ours in reports;
    - test_splits: splits that nothing may learn from;
    - crop_scale: side of the square crop given to a network, in units of the box's larger side;
    - stand_in: empty, or a description of what replaces the real photographs, shown in every report;
    - stand_in_folders: folders that `write_stand_in` takes counts for.
    """

    task: str
    schema: str
    splits: tuple[str, ...]
    test_splits: tuple[str, ...] = ("test",)
    crop_scale: float = 1.0
    published: tuple[PublishedRow, ...] = ()
    stand_in: str = ""
    stand_in_folders: tuple[str, ...] = ()

    @abstractmethod
    def items(self, split: str) -> list[RealItem]:
        """The faces of a split, in a fixed order.

        Raises DataError when the folder does not have the dataset's layout.
        """

    @abstractmethod
    def load(self, item: RealItem) -> RealSample:
        """Read one face. Raises DataError, naming the file, when it is truncated or malformed."""

    @abstractmethod
    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """Score predictions, each in the form and pixels of its sample's `target`."""

    def for_learning(self, *splits: str) -> None:
        """Raises ConfigError unless every split exists and is not a test split."""
        for split in splits:
            if split not in self.splits:
                raise ConfigError(
                    f"there is no split '{split}' in this benchmark", hint=f"It has: {', '.join(self.splits)}."
                )
            if split in self.test_splits:
                raise ConfigError(
                    f"fine-tuning does not touch the test split '{split}'",
                    hint=f"Only for the final figures: {', '.join(self.test_splits)}.",
                )

    def files(self, item: RealItem) -> Sequence[Path]:
        """The files `load` reads for an item."""
        return (item.image, item.annotation)

    def fingerprint(self, split: str) -> str:
        """A digest of a split: keys, and names and contents of its files (remembered: `core.checksums`)."""
        items = self.items(split)
        paths = [path for item in items for path in self.files(item)]
        rows = [f"{item.key}\0{item.subset}" for item in items]
        rows += [f"{path.name}\0{content}" for path, content in zip(paths, checksums(paths), strict=True)]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def times(self, split: str) -> str:
        """The fingerprint of earlier releases, whose results stay valid: by sizes and times of files."""
        digest = hashlib.sha256()
        for item in self.items(split):
            digest.update(f"{item.key}\0{item.subset}\n".encode())
            for path in self.files(item):
                stat = path.stat()
                digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def write_stand_in(self, samples: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, int]:
        """Lay synthetic samples out as this dataset, at the place that its configuration names, and mark them.

        samples: of a generated dataset, by field name; counts: faces by folder, empty for a few in each. Returns the
        counts written. Raises UserError for counts it does not know, too few samples, and a place that holds real data;
        by default always: `evaluation.standin.mark_stand_in` helps to write one.
        """
        raise UserError("this benchmark has no stand-in: synthetic faces in its format (`Benchmark.write_stand_in`)")

    def attributes(self, sample: RealSample) -> Mapping[str, Any]:
        """What is known of a face besides its labels, for figures by group: numbers, strings, flags; may be nested."""
        return {}

    def notes(self, split: str) -> Sequence[str]:
        """Remarks for readers of this split's figures: incomplete copies, non-standard splits ..."""
        return ()


class Work(ABC):
    """What an executor runs: numbered units, such as the shards of a dataset. It is pickled.

    A unit depends on its number alone and may run twice, at the same time and anywhere: its result is the same bytes.
    """

    @abstractmethod
    def size(self, unit: int) -> int:
        """The progress that a unit makes: its number of samples."""

    @abstractmethod
    def open(self, first: bool) -> Any:
        """Build what the units share, once in a process.

        first: also fill shared caches, and return what `Executor.run` returns; it is pickled.
        """

    @abstractmethod
    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        """Run one unit; `advance(count)` as it goes on.

        An exception ends the run or makes the executor retry the unit.
        """


class Executor(ABC):
    """Runs units of work: in this process, in others, or on other machines."""

    @abstractmethod
    def run(
        self,
        work: Work,
        units: Sequence[int],
        *,
        workers: int,
        advance: Callable[[int], Any],
        say: Callable[[str], Any],
    ) -> Any:
        """Open the work in each process and run every unit in at least one; returns what the first `open` returned.

        workers: number of processes, 0 for as many as the machine allows. advance: reports progress, in total the sum
        of the sizes. say: shows a line to the user, such as a retry. Each process computes with one thread
        (`core.cores.one_thread`), set before libraries load: the order of a sum depends on their number.

        Raises what a unit raised (sent between processes by `core.boundary.carried`) and SynthForgeError when processes
        are lost; finished units are kept. No process outlives the call or the caller.
        """


INTERFACES: dict[str, type] = {
    "head": HeadModel,
    "generator": Generator,
    "annotator": Annotator,
    "filter": Filter,
    "task": Task,
    "benchmark": Benchmark,
    "executor": Executor,
}
