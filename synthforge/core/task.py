"""What a task implements; see `core.interfaces`, where plugin authors import it from with the other kinds."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from .boundary import Guarded
from .errors import ConfigError, UserError
from .frames import Box, CropFrame
from .records import FaceError, Field, FieldKind

if TYPE_CHECKING:
    import torch
    from torch import nn


class TargetPlan(Protocol):
    """How one field of a dataset becomes a training target; built once for a field, used for every sample."""

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        """The field of a whole photograph as a crop shows it; matrix (2,3): photograph -> crop of `size` pixels."""

    def move(self, value: torch.Tensor, moved: Any) -> dict[str, torch.Tensor]:
        """A batch of cut fields after augmentation (`learning.fields.Moved`), in the form `Task.loss` takes."""


class Task(Guarded, ABC):
    """An output head on the shared feature map, its loss and its metric, and everything else for one kind of value.

    The engine depends on no task's name: whatever differs between tasks is an attribute or a method here. The defaults
    suit numbers that do not depend on where in the photograph the crop lies, and, where `maps` names the output, a map
    over the crop. Values of one face are `output` of its prediction, mapped to the pixels of the photograph by
    `to_photograph`; a benchmark's targets have the same form.

    Tensors: image (B,3,H,W) in [0,1]; features (B,C,h,w), the backbone's map at full or part resolution. Predictions
    are mappings, since an output head can give several tensors (B,...); points lie in [0,1] of width and height, pixel
    centre i at (i + 0.5) / size.
    """

    #: the name it is registered by, e.g. `keypoints`
    name: ClassVar[str]
    #: the entry of a prediction that is scored, returned and drawn
    output: ClassVar[str]
    #: kind of its values (`core.records.Field`)
    kind: ClassVar[FieldKind] = "json"
    #: entries of a prediction that are maps (B,K,h,w) over the crop, at whatever resolution the output head works in
    maps: ClassVar[tuple[str, ...]] = ()
    #: unit of its values
    unit: ClassVar[str] = ""
    #: what its values mean, for model cards; empty if the schema tells
    meaning: ClassVar[str] = ""
    #: what the numbers of `output` are before `to_photograph`, for files that are used without it
    raw: ClassVar[str] = ""
    #: the name of one face's error in reports
    error: ClassVar[FaceError] = FaceError("error")
    #: whether a value locates the face, so that a second pass can crop around it (`face_box`)
    locates: ClassVar[bool] = False

    #: whether a model of several tasks answers it only where it is named
    on_request: ClassVar[bool] = False
    #: whether a trained output head is corrected by samples that it did not learn from (`calibrate`)
    calibrates: ClassVar[bool] = False

    #: keys of its configuration that are its output head's alone: label networks have their defaults
    head_keys: ClassVar[tuple[str, ...]] = ()

    #: the dataset fields it learns from: the first is required, the others are optional
    fields: tuple[str, ...]
    #: factor of its loss in the sum over all tasks; where factors are learned, their initial value
    weight: float = 1.0
    #: name of the point or class schema of its values, empty for neither
    schema: str = ""
    #: the dataclass it was built from; keys of it may be changed for a label fine-tuning network (`adapter:`)
    config: Any = None

    @abstractmethod
    def build_head(self, channels: int) -> nn.Module:
        """The output head: features (B,channels,h,w) -> prediction."""

    def build_wide_head(self, channels: int, inputs: int) -> nn.Module | None:
        """An output head that reads more, `Pyramid.parts` of `inputs` channels -> prediction: behind the features the
        encoder's maps of every size, and the pixels. None, as by default: `build_head`'s reads the features alone."""
        return None

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """The label fine-tuning network: (prediction, features or None) -> prediction in the benchmark's `schema`.

        channels is that of the feature map when it takes one ("w/ features"), else 0. Raises ConfigError for a schema
        it cannot be fine-tuned to; by default for every one.
        """
        raise ConfigError(
            f"the task {self.name} cannot be fine-tuned{f' to {schema!r}' if schema else ''}",
            hint="Its plugin has no label fine-tuning network (`Task.build_adapter`).",
        )

    def build_wide_adapter(self, schema: str, channels: int) -> nn.Module:
        """The same, where it takes what `Pyramid.with_levels` gives: the encoder's maps of every size, and pixels."""
        return self.build_adapter(schema, channels)

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
        """A deterministic artificial target of `count` crops of `size` pixels, as `loss` takes it."""

    def calibrate(
        self, head: nn.Module, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> Mapping[str, float]:
        """Correct a trained output head in place, and say by how much; called only if `calibrates`.

        prediction, target: of all samples kept for validation, answered as the model answers by default.
        """
        return {}

    def target_plan(self, field: Field, schema: str) -> TargetPlan | None:
        """How one of `fields`, or a benchmark's target, becomes a target; None: as its kind does (`learning.fields`).

        schema: that of the targets wanted, empty for the field's own.
        """
        return None

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """The prediction for the plain images from that for their mirrored copies; schema: of the prediction.

        By default maps are mirrored and everything else stays: override it if left and right differ.
        """
        return {key: value.flip(-1) if key in self.maps else value for key, value in prediction.items()}

    def mean(self, predictions: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One prediction from several for the same crops: from the plain image and from the mirrored one after `flip`.

        By default the mean: override it where a mean is not valid (rotations, say).
        """
        first, *others = predictions
        return {key: sum((each[key] for each in others), value) / len(predictions) for key, value in first.items()}

    def moving(self, prediction: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What moves with the image: maps (B,K,h,w) and points (B,N,2), compared by the self-supervised term.

        By default its maps.
        """
        return {key: prediction[key] for key in self.maps}

    def in_schema(self, prediction: Mapping[str, torch.Tensor], schema: str) -> Mapping[str, torch.Tensor]:
        """A prediction in the task's own schema as one in `schema`, without learning anything.

        Raises UserError if no mapping between the two is known; by default whenever they differ.
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
        """The tight box of the face from a value, in pixels of the photograph; called only if `locates`."""
        x0, y0 = value.min(axis=0).tolist()
        x1, y1 = value.max(axis=0).tolist()
        return x0, y0, x1, y1

    def offset(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """How far targets lie from predictions to one side, (M,K) float64, a row for each place measured.

        Label fine-tuning with mirrored faces hides such an offset; it takes the mean over all rows afterwards. None,
        the default: not applicable.
        """
        return None

    def shifted(self, prediction: Mapping[str, torch.Tensor], offset: Sequence[float]) -> dict[str, torch.Tensor]:
        """A prediction moved by the mean of `offset` (K,)."""
        return dict(prediction)

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray | None:
        """A value over a square picture (size,size,3) uint8 that shows `frame`; None: its numbers are written over it.

        inside: (size,size) bool, where the head is, if another task of the model predicts it.
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
        """Entries of the JSON record of `predict` for face `index`, ready for JSON."""
        if self.output in self.maps:
            return {self.name: {"array": f"{self.name}_{index}", "unit": self.unit}}
        return {self.name: {"value": np.round(value.astype(np.float64), 6).tolist(), "unit": self.unit}}

    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that `files` may write."""
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

        `.npy`, an array in the form of the value, is always supported. pixel_centre: the tool's coordinate of the first
        pixel's centre. Readers raise DataError.
        """
        return {}
