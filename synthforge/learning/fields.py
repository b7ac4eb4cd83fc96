"""Dataset fields as training targets: cut out with the image, moved and flipped with it, handed to tasks.

One row of a table for each kind of field (`core.records.Field.kind`); a task whose fields need something else brings
its own plan (`Task.target_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..core.errors import ConfigError, DataError
from ..core.interfaces import TargetPlan, Task
from ..core.records import Field
from ..core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS, class_mapping
from ..datasets import crops
from . import augment

Targets = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """How one field is read: its kind, and look-up tables for classes (`lut`, `mirror_ids`) and points (`mirror`)."""

    name: str
    kind: str
    lut: np.ndarray | None = None
    mirror_ids: np.ndarray | None = None
    mirror: tuple[int, ...] = ()

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        """See `core.interfaces.TargetPlan`; points in [0,1] of the crop."""
        return _KINDS[self.kind][0](value, matrix, size)

    def move(self, value: torch.Tensor, moved: Moved) -> Targets:
        """See `core.interfaces.TargetPlan`."""
        return _KINDS[self.kind][1](value, moved, self)


@dataclass(frozen=True)
class Moved:
    """What happened to a batch: matrix (B,3,3), the grid of its inverse, flipped (B,) bool, hidden (B,H,W) bool."""

    matrix: torch.Tensor
    grid: torch.Tensor
    flipped: torch.Tensor
    hidden: torch.Tensor

    @cached_property
    def turn(self) -> torch.Tensor:
        """The rotation, or rotation and flip, (B,2,2) nearest to what happened around the middle of the crop."""
        u, _, v = torch.linalg.svd(self.matrix[:, :2, :2].double())
        return (u @ v).float()


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
        return Plan(field.name, field.kind, lut=lut, mirror_ids=CLASS_SCHEMAS[schema].mirror)
    if field.kind in ("points2d", "flags"):
        if field.schema and wanted_schema and field.schema != wanted_schema:
            raise ConfigError(f"the field '{field.name}' holds {field.schema} points, the task wants {wanted_schema}")
        if schema not in POINT_SCHEMAS:
            raise ConfigError(f"the field '{field.name}' has the unknown point schema '{schema}'")
        return Plan(field.name, field.kind, mirror=POINT_SCHEMAS[schema].mirror)
    return Plan(field.name, field.kind)


def _cut_points(value: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    return (crops.apply(matrix, value) / size).astype(np.float32)


def _cut_flags(value: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(value, bool)


def _cut_label(value: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    return crops.warp_label(np.asarray(value, np.uint8), matrix, size)


def _cut_map(value: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    return crops.warp_label(np.asarray(value, np.float32), matrix, size, fill=0)


def swapped(x: torch.Tensor, flipped: torch.Tensor, mirror: tuple[int, ...]) -> torch.Tensor:
    """x (B,N,...), its rows in the order `mirror` where flipped (B,)."""
    rows = flipped.view(-1, *(1,) * (x.ndim - 1))
    return torch.where(rows, x[:, list(mirror)], x)


def _move_points(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    return {"points": swapped(augment.warp_points(value, moved.matrix), moved.flipped, plan.mirror)}


def _move_flags(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    return {"visible": swapped(value, moved.flipped, plan.mirror)}


def _move_label(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    # Read as the difference from IGNORE, so that the 0 from outside of the map is IGNORE.
    label = augment.warp(value[:, None].float().sub_(IGNORE), moved.grid, nearest=True)[:, 0].add_(IGNORE)
    if plan.mirror_ids is not None:
        # Classes of the task, then the same flipped: flipped samples read the second half.
        classes = np.arange(256) if plan.lut is None else plan.lut
        table = torch.from_numpy(np.concatenate([classes, plan.mirror_ids[classes]]).astype(np.int64)).to(label.device)
        label += 256.0 * moved.flipped[:, None, None]
        label = table.index_select(0, label.int().view(-1)).view(label.shape)
    return {"label": label.long().masked_fill_(moved.hidden, IGNORE)}


def _move_depth(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    depth = augment.warp(value[:, None].float().nan_to_num(0.0, 0.0, 0.0), moved.grid, nearest=True)
    return {"depth": depth, "mask": (depth > 0) & ~moved.hidden[:, None]}


def _move_normals(value: torch.Tensor, moved: Moved, plan: Plan) -> Targets:
    normals = augment.warp(value.movedim(-1, 1).float().nan_to_num(0.0, 0.0, 0.0), moved.grid, nearest=True)
    across = torch.einsum("bij,bjhw->bihw", moved.turn, normals[:, :2])
    there = (normals != 0).any(1, keepdim=True)
    return {"normals": torch.cat([across, normals[:, 2:]], 1), "mask": there & ~moved.hidden[:, None]}


Cut = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Move = Callable[[torch.Tensor, Moved, Plan], Targets]

_KINDS: dict[str, tuple[Cut, Move]] = {
    "points2d": (_cut_points, _move_points),
    "flags": (_cut_flags, _move_flags),
    "label": (_cut_label, _move_label),
    "depth": (_cut_map, _move_depth),
    "normals": (_cut_map, _move_normals),
}


def plan_for(task: Task, field: Field, schema: str = "") -> TargetPlan:
    """How a task learns from a field, in `schema`: its own plan, or that of the field's kind."""
    return task.target_plan(field, schema) or plan_field(field, schema)


def plan_tasks(
    fields: Mapping[str, Field], tasks: Mapping[str, Task], *, where: str
) -> tuple[dict[str, TargetPlan], dict[str, tuple[str, ...]]]:
    """Plans of all fields that tasks, by name, learn from, and the fields of each task.

    The first of a task's fields must be there, the others add to it. Raises DataError, naming the dataset `where`.
    """
    plans: dict[str, TargetPlan] = {}
    members: dict[str, tuple[str, ...]] = {}
    for key, task in tasks.items():
        names = task.fields
        if names[0] not in fields:
            there = ", ".join(fields) or "none"
            raise DataError(
                f"{where}: the task '{key}' learns from the field '{names[0]}', which is not there",
                hint=f"It has: {there}. Generate with the annotator that writes it, or drop the task.",
            )
        members[key] = tuple(name for name in names if name in fields)
        try:
            plans |= {name: plan_for(task, fields[name], task.schema) for name in members[key]}
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    return plans, members
