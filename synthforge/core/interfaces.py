"""What a plugin implements. One small class a kind; subclass it, set the attributes, write the methods.

What a method raises besides the errors of `core.errors` is a fault of the plugin and is told with its line and the
sample (`core.boundary`). The contract suite in `synthforge.testing` runs over every registered plugin of each kind.
"""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from .boundary import Guarded
from .checksums import checksums
from .errors import ConfigError, UserError
from .frames import Box, CropFrame
from .nearby import Origin
from .records import (
    FaceError,
    Field,
    FieldKind,
    PublishedRow,
    RealItem,
    RealSample,
    Rendering,
    Scene,
    Scores,
    Verdict,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .factors import Factor

Contour = Literal["static", "visible"]


class HeadModel(ABC):
    """A parametric head: geometry that generators drive and annotators read.

    faces (F,3) int32, counter-clockwise seen from outside; num_vertices V; region_schema: name of the class schema
    (`core.schemas`) that `regions_at` answers in; point_schema: that of `landmarks`.
    """

    faces: np.ndarray
    num_vertices: int
    region_schema: str
    point_schema: str

    @abstractmethod
    def landmarks(
        self, vertices: torch.Tensor, camera_position: torch.Tensor | None = None, contour: Contour = "static"
    ) -> torch.Tensor:
        """Landmarks (B,N,3) on a mesh of this head: vertices (B,V,3), camera_position (B,3), both in the world frame.

        `visible`: as annotators mark them in a picture, above all the jaw line on the contour seen from the camera; it
        needs camera_position (ValueError).
        """

    @abstractmethod
    def regions_at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 of the surface points given by face_id (N,) and barycentric (N,3)."""


class Generator(Guarded, ABC):
    """Turns (seed, index) into a scene, and scenes into renderings. Both are pure: no state, no global randomness."""

    #: how many scenes `render` likes to be given at once; part of what makes pixels reproducible
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
        """What is drawn, as declared: reports hold it against the values in the samples."""
        return ()

    def prepare(self) -> None:
        """Do once what every process would do again: download nothing, but fill caches and compile kernels."""

    def provenance(self) -> dict[str, Any]:
        """What the manifest says of where the pixels come from: checkpoint hash, edition, licence ..."""
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

    A verdict depends on the sample alone: not on other samples, their order or the process it is reached in.
    """

    #: names of the annotations it reads; checked before anything is rendered
    fields: tuple[str, ...] = ()

    @abstractmethod
    def judge(self, rendering: Rendering, annotations: Mapping[str, Any]) -> Verdict:
        """Accept or reject one sample: the rendering, and its annotations by field name. Both stay untouched."""

    def provenance(self) -> dict[str, Any]:
        """What the manifest says of how it judges: detector, its version ... Cheap, JSON; part of the fingerprint."""
        return {}


class TargetPlan(Protocol):
    """How one field of a dataset becomes a training target; built once for a field, used for every sample."""

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        """The field of a whole photograph as a crop shows it; matrix (2,3): photograph -> crop of `size` pixels."""

    def move(self, value: torch.Tensor, moved: Any) -> dict[str, torch.Tensor]:
        """A batch of cut fields after augmentation (`learning.fields.Moved`), in the form `Task.loss` takes."""


class Task(Guarded, ABC):
    """An output head on the shared feature map, its loss and its metric, and what else one kind of value needs.

    The engine knows no task by name: whatever differs between tasks is an attribute or a method here. The defaults
    suit numbers that do not depend on where in the photograph the crop lies, and, where `maps` names the output, a map
    over the crop. Values of one face are `output` of its prediction, brought to the pixels of the photograph by
    `to_photograph`; a benchmark's targets have the same form.

    Tensors: image (B,3,H,W) in [0,1]; features (B,C,h,w), the backbone's map at full or part resolution. Predictions
    are mappings, since a head can give several tensors (B,...); points lie in [0,1] of width and height, pixel centre i
    at (i + 0.5) / size.
    """

    #: the name it is registered by, e.g. `keypoints`
    name: ClassVar[str]
    #: the entry of a prediction that is scored, served and drawn
    output: ClassVar[str]
    #: what its values are, as fields of datasets are (`core.records.Field`)
    kind: ClassVar[FieldKind] = "json"
    #: entries of a prediction that are maps (B,K,h,w) over the crop, at whatever resolution the head works in
    maps: ClassVar[tuple[str, ...]] = ()
    #: unit of its values
    unit: ClassVar[str] = ""
    #: what its values say, for model cards; empty where the schema says it
    meaning: ClassVar[str] = ""
    #: how reports call the error of one face
    error: ClassVar[FaceError] = FaceError("error")
    #: whether a value tells where the face is, so that a second pass can crop around it (`face_box`)
    locates: ClassVar[bool] = False

    #: the dataset fields it learns from: the first must be there, the others add to it
    fields: tuple[str, ...]
    #: of its loss among the tasks'
    weight: float = 1.0
    #: name of the point or class schema of its values, empty for neither
    schema: str = ""
    #: the dataclass it was built from; keys of it may be changed for a label fine-tuning network (`adapter:`)
    config: Any = None

    @abstractmethod
    def build_head(self, channels: int) -> nn.Module:
        """The output head: features (B,channels,h,w) -> prediction."""

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """The label fine-tuning network: (prediction, features or None) -> prediction in the benchmark's `schema`.

        channels is that of the feature map when it takes one ("w/ features"), else 0. Raises ConfigError for a schema
        it cannot be fine-tuned to; by default for every one.
        """
        raise ConfigError(
            f"the task {self.name} cannot be fine-tuned{f' to {schema!r}' if schema else ''}",
            hint="Its plugin has no label fine-tuning network (`Task.build_adapter`).",
        )

    @abstractmethod
    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """A scalar; the mean over the faces of the batch."""

    @abstractmethod
    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Validation figures of a batch as (value, weight) pairs stacked in tensors (2,), summed over batches."""

    @abstractmethod
    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """A made-up target of `count` crops of `size` pixels, as `loss` takes it: always the same."""

    def target_plan(self, field: Field, schema: str) -> TargetPlan | None:
        """How one of `fields`, or a benchmark's target, becomes a target; None: as its kind does (`learning.fields`).

        schema: that of the targets wanted, empty for the field's own.
        """
        return None

    def mirror(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """A prediction made on mirrored images as it reads on the plain ones; schema: of the prediction.

        By default maps are turned back and everything else stays: override it where left and right are told apart.
        """
        return {key: value.flip(-1) if key in self.maps else value for key, value in prediction.items()}

    def moving(self, prediction: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What moves with the image: maps (B,K,h,w) and points (B,N,2), compared by the self-supervised term.

        By default its maps.
        """
        return {key: prediction[key] for key in self.maps}

    def in_schema(self, prediction: Mapping[str, torch.Tensor], schema: str) -> Mapping[str, torch.Tensor]:
        """A prediction in the task's own schema as one in `schema`, without learning anything.

        Raises UserError where no mapping between the two is known; by default whenever they differ.
        """
        if schema not in ("", self.schema):
            raise UserError(f"the task {self.name} predicts '{self.schema}', which cannot be scored as '{schema}'")
        return prediction

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """`output` of one face (without the batch's axis) -> its value in the pixels of the photograph.

        A map becomes (h,w,K) over `frame.region`, or (h,w) where K is 1. By default maps are interpolated and other
        numbers stay.
        """
        if self.output not in self.maps:
            return value.float().cpu().numpy()
        mapped = frame.map(value.float())
        return mapped[..., 0] if mapped.shape[-1] == 1 else mapped

    def face_box(self, value: np.ndarray) -> Box:
        """The tight box of the face that a value tells, in pixels of the photograph; asked only if `locates`."""
        x0, y0 = value.min(axis=0).tolist()
        x1, y1 = value.max(axis=0).tolist()
        return x0, y0, x1, y1

    def offset(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """How far targets lie from predictions to one side, (M,K) float64, a row for each place measured.

        Label fine-tuning with mirrored faces hides such an offset; it takes the mean over all rows afterwards. None,
        the default: there is no such thing.
        """
        return None

    def shifted(self, prediction: Mapping[str, torch.Tensor], offset: Sequence[float]) -> dict[str, torch.Tensor]:
        """A prediction moved by the mean of `offset` (K,)."""
        return dict(prediction)

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray | None:
        """A value over a square picture (size,size,3) uint8 that shows `frame`; None: its numbers are written over it.

        inside: (size,size) bool, where the head is, when another task of the model tells.
        """
        return None

    def panels(
        self,
        image: np.ndarray,
        frame: CropFrame,
        target: np.ndarray,
        prediction: np.ndarray,
        mask: np.ndarray | None,
        schema: str,
    ) -> Sequence[tuple[str, np.ndarray]] | None:
        """Captioned pictures (size,size,3) of a target and a prediction for reports; None: each as `draw` shows it.

        mask: over the photograph, where the target counts, None for everywhere.
        """
        return None

    def legend(self, values: Sequence[np.ndarray], schema: str) -> Sequence[tuple[tuple[int, int, int], str]]:
        """Colours (sRGB, 8 bit) and names of what `draw` shows of the values, for a legend."""
        return ()

    def record(self, value: np.ndarray, schema: str, index: int) -> dict[str, Any]:
        """What the JSON record of `predict` says of face `index`, ready for JSON: entries of the face's record."""
        if self.output in self.maps:
            return {self.name: {"array": f"{self.name}_{index}", "unit": self.unit}}
        return {self.name: {"value": np.round(value.astype(np.float64), 6).tolist(), "unit": self.unit}}

    def suffixes(self) -> tuple[str, ...]:
        """What the names of the files end in that `files` may write."""
        return (f".{self.name}.npz",) if self.output in self.maps else ()

    def files(
        self, values: Sequence[np.ndarray], frames: Sequence[CropFrame], shape: tuple[int, int], schema: str
    ) -> dict[str, bytes]:
        """Files that `predict` writes of the faces of one photograph (H,W), by suffix; values over `frames`' regions.

        By default maps are arrays `NAME_0`, `NAME_1` ... of an `.npz` file.
        """
        if self.output not in self.maps:
            return {}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f"{self.name}_{i}": value for i, value in enumerate(values)})  # type: ignore[arg-type]
        return {f".{self.name}.npz": buffer.getvalue()}

    def readers(self, schema: str, pixel_centre: float) -> Mapping[str, Callable[[Path], np.ndarray]]:
        """How to read values that other tools wrote, in the photograph's pixels, by suffix, in order of preference.

        Besides `.npy`, an array in the form of the value, which is read anyway. pixel_centre: what the tool calls the
        centre of the first pixel. Readers raise DataError.
        """
        return {}


class Benchmark(Guarded, ABC):
    """A real dataset: where its faces lie, what its labels mean, how it is cropped and scored.

    task: the name of the task it scores; schema: name of its point or class schema; test_splits: those of its splits
    that nothing may learn from; crop_scale: side of the square crop given to a network, in units of the box's larger
    side; stand_in: empty, or what lies there in place of the real photographs, which every report then repeats.
    """

    task: str
    schema: str
    splits: tuple[str, ...]
    test_splits: tuple[str, ...] = ("test",)
    crop_scale: float = 1.0
    published: tuple[PublishedRow, ...] = ()
    stand_in: str = ""

    @abstractmethod
    def items(self, split: str) -> list[RealItem]:
        """The faces of a split, in a fixed order. Raises DataError when the folder is not what it should be."""

    @abstractmethod
    def load(self, item: RealItem) -> RealSample:
        """Read one face. Raises DataError, naming the file, when it is truncated or malformed."""

    @abstractmethod
    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """Score predictions, each in the form and pixels of its sample's `target`."""

    def for_learning(self, *splits: str) -> None:
        """Raises ConfigError unless every split is there and something may learn from it."""
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
        """What `fingerprint` was in earlier releases, whose results keep fitting: with sizes and times for contents."""
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
        """What a reader of this split's figures should know: incomplete copies, splits of our own making ..."""
        return ()


INTERFACES: dict[str, type] = {
    "head": HeadModel,
    "generator": Generator,
    "annotator": Annotator,
    "filter": Filter,
    "task": Task,
    "benchmark": Benchmark,
}
