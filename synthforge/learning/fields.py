"""Dataset fields as training targets: cut out with the image, moved and mirrored with it, handed to tasks.

One row of a table for each kind of field (`core.records.Field.kind`) instead of a branch in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ..core.errors import ConfigError, DataError
from ..core.records import Field
from ..core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS, class_mapping
from ..datasets import crops
from . import augment

Targets = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """How one field is read: its kind, and look-up tables for classes (`lut`, `flip`) and points (`mirror`)."""

    name: str
    kind: str
    lut: np.ndarray | None = None
    flip: np.ndarray | None = None
    mirror: tuple[int, ...] = ()


@dataclass(frozen=True)
class Moved:
    """What happened to a batch: matrix (B,3,3), the grid of its inverse, mirrored (B,) bool, hidden (B,H,W) bool."""

    matrix: torch.Tensor
    grid: torch.Tensor
    mirrored: torch.Tensor
    hidden: torch.Tensor
    _read: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)

    def nearest(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A map (B,h,w) of any type read at the nearest pixel of the grid (B,H,W), and where the grid lies inside.

        Outside of the map the value is that of some pixel. The places are found once for all maps of one size.
        """
        count, height, width = value.shape
        if (height, width) not in self._read:
            # As grid_sample without aligned corners: the pixel's centre i + 0.5 lies at 2 (i + 0.5) / size - 1.
            column = (self.grid[..., 0] + 1.0).mul_(width / 2).sub_(0.5).round_()
            row = (self.grid[..., 1] + 1.0).mul_(height / 2).sub_(0.5).round_()
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = row.clamp_(0, height - 1).mul_(width).add_(column.clamp_(0, width - 1))
            self._read[height, width] = place.long(), inside
        place, inside = self._read[height, width]
        return value.reshape(count, -1).gather(1, place.view(count, -1)).view(place.shape), inside


def plan_field(field: Field, wanted_schema: str = "") -> Plan:
    """The plan of a field, its classes mapped to `wanted_schema` where that differs.

    Raises ConfigError for a kind that training cannot use or a mapping nobody knows.
    """
    if field.kind not in _KINDS:
        raise ConfigError(
            f"the field '{field.name}' is {field.kind}, which cannot be trained on",
            hint=f"Fields of these kinds can: {', '.join(_KINDS)}.",
        )
    schema = wanted_schema or field.schema
    if field.kind == "label" and schema in CLASS_SCHEMAS:
        try:
            lut = class_mapping(field.schema or schema, schema)
        except KeyError as error:
            raise ConfigError(f"the field '{field.name}': {error.args[0]}") from None
        return Plan(field.name, field.kind, lut=lut, flip=CLASS_SCHEMAS[schema].flip)
    if field.kind in ("points2d", "flags"):
        if field.schema and wanted_schema and field.schema != wanted_schema:
            raise ConfigError(f"the field '{field.name}' holds {field.schema} points, the task wants {wanted_schema}")
        if schema not in POINT_SCHEMAS:
            raise ConfigError(f"the field '{field.name}' has the unknown point schema '{schema}'")
        return Plan(field.name, field.kind, mirror=POINT_SCHEMAS[schema].mirror)
    return Plan(field.name, field.kind)


def _cut_points(value: np.ndarray, matrix: np.ndarray, size: int, plan: Plan) -> np.ndarray:
    return (crops.apply(matrix, value) / size).astype(np.float32)


def _cut_flags(value: np.ndarray, matrix: np.ndarray, size: int, plan: Plan) -> np.ndarray:
    return np.asarray(value, bool)


def _cut_label(value: np.ndarray, matrix: np.ndarray, size: int, plan: Plan) -> np.ndarray:
    cut = crops.warp_label(np.asarray(value, np.uint8), matrix, size)
    return cut if plan.lut is None else plan.lut.take(cut)


def _cut_depth(value: np.ndarray, matrix: np.ndarray, size: int, plan: Plan) -> np.ndarray:
    return crops.warp_label(np.asarray(value, np.float32), matrix, size, fill=0)


def _swap(x: torch.Tensor, mirrored: torch.Tensor, mirror: tuple[int, ...]) -> torch.Tensor:
    rows = mirrored.view(-1, *(1,) * (x.ndim - 1))
    return torch.where(rows, x[:, list(mirror)], x)


def _move_points(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    return {"points": _swap(augment.warp_points(value, moved.matrix), moved.mirrored, plan.mirror)}


def _move_flags(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    return {"visible": _swap(value, moved.mirrored, plan.mirror)}


def _move_label(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    label, inside = moved.nearest(value)
    if plan.flip is not None:
        table = torch.from_numpy(plan.flip).to(label.device)
        rows = torch.nonzero(moved.mirrored).flatten()
        label[rows] = table[label[rows].long()]
    return {"label": label.masked_fill_(moved.hidden | ~inside, IGNORE).long()}


def _move_depth(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    read, inside = moved.nearest(value.float())
    depth = read.masked_fill_(~inside, 0.0)[:, None]
    return {"depth": depth, "mask": (depth > 0) & ~moved.hidden[:, None]}


Cut = Callable[[np.ndarray, np.ndarray, int, Plan], np.ndarray]
Move = Callable[[torch.Tensor, Moved, Plan], Targets]

_KINDS: dict[str, tuple[Cut, Move]] = {
    "points2d": (_cut_points, _move_points),
    "flags": (_cut_flags, _move_flags),
    "label": (_cut_label, _move_label),
    "depth": (_cut_depth, _move_depth),
}


def cut(plan: Plan, value: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """A field of a whole image as seen by a crop of `size` pixels; points in [0,1] of the crop."""
    return _KINDS[plan.kind][0](value, matrix, size, plan)


def move(plan: Plan, value: torch.Tensor, moved: Moved) -> Targets:
    """A batch of cut fields after augmentation, in the form `core.interfaces.Task.loss` takes."""
    return _KINDS[plan.kind][1](value, moved, plan)


def plan_tasks(
    fields: Mapping[str, Field], tasks: Mapping[str, tuple[tuple[str, ...], str]], *, where: str
) -> tuple[dict[str, Plan], dict[str, tuple[str, ...]]]:
    """Plans of all fields that tasks, given as (fields, schema), learn from, and the fields of each task.

    The first of a task's fields must be there, the others add to it. Raises DataError, naming the dataset `where`.
    """
    plans: dict[str, Plan] = {}
    members: dict[str, tuple[str, ...]] = {}
    for task, (names, schema) in tasks.items():
        if names[0] not in fields:
            raise DataError(
                f"{where}: the task '{task}' learns from the field '{names[0]}', which is not there",
                hint=f"It has: {', '.join(fields)}. Generate with the annotator that writes it, or drop the task.",
            )
        members[task] = tuple(name for name in names if name in fields)
        plans |= {name: plan_field(fields[name], schema) for name in members[task]}
    return plans, members
