"""arkit, head-pose, gaze, openness: numbers of the whole face, one task for each row of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synthforge.core.config import key
from synthforge.core.frames import CropFrame
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.records import FaceError, Field

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register
    from synthforge.core.interfaces import TargetPlan
    from synthforge.learning.fields import Moved

_BOTH = ("Left", "Right")
_SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
#: ARKit's 52 facial actions (ARFaceAnchor.BlendShapeLocation); those with a side twice
ARKIT = (
    *(f"{name}{side}" for name in ("browDown", "browOuterUp", "cheekSquint") for side in _BOTH),
    *(f"eye{name}{side}" for name in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp") for side in _BOTH),
    *(f"eye{name}{side}" for name in ("Squint", "Wide") for side in _BOTH),
    *(f"mouth{name}{side}" for name in ("Dimple", "Frown", "LowerDown", "Press") for side in _BOTH),
    *(f"mouth{name}{side}" for name in ("Smile", "Stretch", "UpperUp") for side in _BOTH),
    *(f"{name}{side}" for name in ("noseSneer", "jaw", "mouth") for side in _BOTH),
    *("browInnerUp", "cheekPuff", "jawForward", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "tongueOut"),
)
_COLUMNS = ", the columns of the rotation"
_CAMERA = "in the camera frame: x right, y down, z into the picture"


@dataclass(frozen=True)
class Row:
    """A task: its name, which is the annotator's as well, the dataset's field, and the names of what it holds.

    vectors: each name is a unit vector (3,) in the camera frame; rotation: these are the columns of the field's
    matrix, and the first one points to the subject's left. cost: the error that costs 1. start: the answer at first.
    """

    name: str
    field: str
    names: tuple[str, ...]
    meaning: str
    start: tuple[float, ...]
    unit: str
    cost: float
    vectors: bool = False
    rotation: bool = False

    @property
    def mirror(self) -> tuple[int, ...]:
        """Whose place each takes in the mirrored picture."""
        turned = [re.sub("|".join(_SIDES), lambda found: _SIDES[found.group()], name) for name in self.names]
        return tuple(map(self.names.index, turned))


ROWS = (
    Row(
        name="arkit",
        field="arkit",
        names=ARKIT,
        meaning="coefficients of ARKit's facial actions, 0 at rest",
        start=(0.1,) * len(ARKIT),
        unit="share",
        cost=0.2,
    ),
    Row(
        name="openness",
        field="openness",
        names=("left_eye", "right_eye", "mouth"),
        meaning="height over width of the openings of eyes and mouth, in space",
        start=(0.3, 0.3, 0.1),
        unit="ratio",
        cost=0.1,
    ),
    Row(
        name="head-pose",
        field="head_pose",
        names=("aside", "up", "forward"),
        meaning=f"rotation from the head's axes (x to its left, y up, z out of the face) to the camera's, {_CAMERA}",
        start=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
        unit="",
        cost=0.2,
        vectors=True,
        rotation=True,
    ),
    Row(
        name="gaze",
        field="gaze",
        names=("left_eye", "right_eye"),
        meaning=f"unit vectors along the eyes' optical axes, {_CAMERA}",
        start=(0.0, 0.0, -1.0) * 2,
        unit="",
        cost=0.2,
        vectors=True,
    ),
)


@dataclass
class NumbersConfig:
    """The network."""

    width: int = key(20, "Channels inside the output head.", low=1, high=4096)
    stride: int = key(1, "Of the output head's maps, in places of the feature map.", low=1, high=8)
    places: int = key(10, "Places of the picture that the output head reads.", low=1, high=4096)
    weight: float = key(1.0, "Factor on the loss.", low=0)


@dataclass(frozen=True)
class NumbersTarget:
    """Numbers are the same in every crop; vectors turn with the picture."""

    row: Row

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        """A value of the field as (K,), or (K,3) for vectors."""
        if isinstance(value, Mapping):
            value = [value[name] for name in self.row.names]
        values = np.asarray(value, np.float32)
        return np.ascontiguousarray(values.T) if self.row.rotation else values

    def move(self, value: torch.Tensor, moved: Moved) -> dict[str, torch.Tensor]:
        """Turned with the picture; mirrored, left and right change places."""
        import torch

        from synthforge.learning.fields import swapped

        if self.row.vectors:
            value = torch.cat([value[..., :2] @ moved.turn.transpose(1, 2), value[..., 2:]], -1)
        value = swapped(value, moved.flipped, self.row.mirror)
        if self.row.rotation:
            value = torch.where(moved.flipped[:, None, None], _other_left(value), value)
        return {"values": value}


class Numbers(Task):
    """`values` (B,K), or unit vectors (B,K,3), by the names of its `Row`."""

    row: ClassVar[Row]
    output: ClassVar[str] = "values"
    on_request: ClassVar[bool] = True

    def __init__(self, config: NumbersConfig) -> None:
        self.config, self.weight = config, config.weight
        self.fields = (self.row.field,)

    def build_head(self, channels: int) -> nn.Module:
        """A perceptron on what a few places of the picture show."""
        import torch

        from synthforge.learning.networks.heads import VectorHead

        form = "rotation" if self.row.rotation else "unit" if self.row.vectors else ""
        sizes = {"width": self.config.width, "stride": self.config.stride, "places": self.config.places}
        return VectorHead(channels, self.output, torch.tensor(self.row.start), form=form, **sizes)

    def target_plan(self, field: Field, schema: str) -> TargetPlan:
        """See `NumbersTarget`."""
        return NumbersTarget(self.row)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Huber's in units of `Row.cost`, the mean over the numbers."""
        from torch.nn.functional import huber_loss

        return huber_loss(prediction["values"].float() / self.row.cost, target["values"].float() / self.row.cost)

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Mean absolute error `mae`, or `angle_deg` of the rotation or the vectors. `start_...`: the same of the answer
        that a network begins with, to compare with."""
        import torch

        wanted = target["values"].float()
        start = wanted.new_tensor(self.row.start).view(1, *wanted.shape[1:]).expand_as(wanted)
        name = "angle_deg" if self.row.vectors else "mae"
        pairs = {name: prediction["values"].float(), f"start_{name}": start}
        errors = {name: self._error(found, wanted) for name, found in pairs.items()}
        return {name: torch.stack([e.sum(), torch.tensor(float(len(e))).to(e)]) for name, e in errors.items()}

    def _error(self, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The error of each face (B,)."""
        import torch

        if not self.row.vectors:
            return (found - wanted).abs().mean(1)
        cosine = (found * wanted).sum(-1)
        cosine = (cosine.sum(1, keepdim=True) - 1) / 2 if self.row.rotation else cosine
        return torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean(1)

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`values` that are not those at first."""
        import torch

        start = torch.tensor(self.row.start).expand(count, -1)
        if not self.row.vectors:
            return {"values": start + torch.rand(start.shape, generator=torch.Generator().manual_seed(1))}
        angle = torch.linspace(0.5, 1.0, count)
        sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros(count)
        one = torch.ones(count)
        rows = [cosine, zero, sine, zero, one, zero, -sine, zero, cosine]  # about the vertical axis
        turn = torch.stack(rows, 1).view(count, 3, 3)
        return {"values": start.view(count, -1, 3) @ turn.transpose(1, 2)}

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """Left and right change places; vectors are mirrored."""
        values = prediction["values"][:, list(self.row.mirror)]
        if self.row.vectors:
            values = values * values.new_tensor([-1.0, 1.0, 1.0])
        return {"values": _other_left(values) if self.row.rotation else values}

    def mean(self, predictions: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Of vectors those nearest to the mean."""
        from synthforge.learning.networks.heads import as_vectors

        values = super().mean(predictions)["values"]
        return {"values": as_vectors(values.flatten(1), self.row.rotation) if self.row.vectors else values}

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """The values as the field has them: a rotation is (3,3), its columns the head's axes."""
        values = super().to_photograph(value, frame)
        return values.T if self.row.rotation else values

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Numbers by name as bars; vectors are written."""
        from synthforge.datasets import drawing

        if self.row.vectors:
            return None
        named = dict(zip(self.row.names, value.tolist(), strict=True))
        return drawing.draw_numbers(image, named, max(11, len(image) // 24))

    def record(self, value: np.ndarray, schema: str, index: int) -> dict[str, Any]:
        """The task's name: values by name and their unit; of a rotation its rows."""
        if self.row.rotation:
            return super().record(value, schema, index)
        values = np.round(value.astype(np.float64), 6).tolist()
        return {self.name: {"values": dict(zip(self.row.names, values, strict=True)), "unit": self.unit}}


def _other_left(values: torch.Tensor) -> torch.Tensor:
    """The axes (B,3,3) of a head whose own left and right change places: the first one turns round."""
    return values * values.new_tensor([[-1.0], [1.0], [1.0]])


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer a task for each of `ROWS`."""
    for row in ROWS:
        error = FaceError("mean angle", "degrees", limit=90.0) if row.vectors else FaceError("mean error", row.unit)
        raw = f"in this order: {', '.join(row.names)}{'; each x, y, z' * row.vectors}{_COLUMNS * row.rotation}"
        told = {"unit": row.unit, "meaning": row.meaning, "raw": raw}
        attributes = {"row": row, "name": row.name, "error": error, **told}
        register(row.name, type(row.name, (Numbers,), attributes), config=NumbersConfig, summary=row.meaning)
