"""What a single figure hides: errors by set and region, constant bias, groups of faces, the worst ones, label maps.

Everything here is computed from what one pass over the faces kept (`Kept`) and ends as plain data in
`Evaluation.details`; the scores themselves stay what the benchmark says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.factors import flat
from ..core.interfaces import Benchmark
from ..core.records import RealItem, RealSample, Scores
from ..core.schemas import PointSchema
from . import alignment, groups
from .metrics import point_errors


@dataclass(frozen=True)
class Analysis:
    """What is looked at besides the scores.

    align: faces to fit one map for each landmark on, 0 for none (see `alignment`). align_kind: `affine` or `offset`.
    align_split: the split they are taken from, empty for the evaluated one, which then reports on the others only.
    groups: attribute -> ascending edges, or [] for one group a value; empty for `groups.USUAL`. worst: how many of the
    worst faces to list. sheet: how many of them to draw.
    """

    align: int = 0
    align_kind: str = "affine"
    align_split: str = ""
    groups: Mapping[str, Sequence[float]] = field(default_factory=dict)
    worst: int = 20
    sheet: int = 0


@dataclass
class Kept:
    """What one pass keeps of the faces, by key: everything small. Points (N,2) float64 in pixels of the photograph.

    A face whose annotated eye corners coincide has no unit for its errors, so its points are not kept. only: the
    attributes that are kept, empty for all.
    """

    only: Collection[str] = ()
    items: dict[str, RealItem] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    sides: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        sample: RealSample,
        prediction: np.ndarray,
        side: float,
        known: Mapping[str, Any],
        schema: PointSchema | None,
    ) -> None:
        """Take in a face; side: of its crop, in pixels of the photograph; known: its attributes."""
        key = sample.item.key
        self.items[key] = sample.item
        everything = {**flat(known), "subset": sample.item.subset or None}
        self.attributes[key] = {name: everything[name] for name in self.only or everything if name in everything}
        if schema is not None and (sample.target[schema.eye_corners[0]] != sample.target[schema.eye_corners[1]]).any():
            self.predictions[key] = np.array(prediction, np.float64)
            self.targets[key] = np.array(sample.target, np.float64)
            self.sides[key] = side


def by_set(kept: Kept, schema: PointSchema) -> dict[str, dict[str, Any]]:
    """Faces, NME and NME by region of every subset, in the order they were met, and of all together."""
    subsets: dict[str, list[str]] = {}
    for key in kept.predictions:
        subsets.setdefault(kept.items[key].subset, []).append(key)
    rows = {name: _point_row(kept, keys, schema) for name, keys in subsets.items() if name}
    return {**rows, "all": _point_row(kept, list(kept.predictions), schema)}


def _errors(kept: Kept, keys: Sequence[str], schema: PointSchema) -> np.ndarray:
    """Percent of the distance of the eye corners (F,N)."""
    pairs = [(kept.predictions[key], kept.targets[key]) for key in keys]
    return np.array([point_errors(prediction, target, schema.eye_corners) for prediction, target in pairs])


def _point_row(kept: Kept, keys: Sequence[str], schema: PointSchema) -> dict[str, Any]:
    errors = _errors(kept, keys, schema)
    regions = {name: float(errors[:, list(points)].mean()) for name, points in schema.regions.items()}
    return {"faces": len(keys), "nme": float(errors.mean()), "median": float(np.median(errors.mean(axis=1))), **regions}


def bias(kept: Kept, schema: PointSchema, input_size: int | None) -> dict[str, Any]:
    """The mean signed error, prediction minus annotation, along the photograph's x (right) and y (down).

    Each has the standard error of its mean over the faces:

    - `points` (N,2) and `mean`, in percent of the distance of the outer eye corners;
    - `mean_image_px`, in pixels of the photograph: a wrong pixel centre in the annotations is +-0.5 here;
    - `mean_input_px`, in pixels of the network's input: a wrong pixel centre in the network is +-0.5 here.
    """
    keys = list(kept.predictions)
    signed = np.array([kept.predictions[key] - kept.targets[key] for key in keys])
    corners = np.array([kept.targets[key][list(schema.eye_corners)] for key in keys])
    span = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)[:, None, None]
    percent = 100.0 * signed / span
    found = {"points": percent.mean(axis=0).tolist(), **_mean("mean", percent), **_mean("mean_image_px", signed)}
    if input_size:
        scale = input_size / np.array([kept.sides[key] for key in keys])[:, None, None]
        found |= _mean("mean_input_px", signed * scale)
    return found


def _mean(name: str, signed: np.ndarray) -> dict[str, list[float]]:
    faces = signed.mean(axis=1)
    return {name: faces.mean(axis=0).tolist(), f"{name}_error": (faces.std(axis=0) / np.sqrt(len(faces))).tolist()}


def by_group(
    kept: Kept,
    asked: Mapping[str, Sequence[float]],
    per_item: Mapping[str, float],
    schema: PointSchema | None,
) -> dict[str, list[dict[str, Any]]]:
    """Figures of the groups of every attribute: those of `groups.figures`, for points with NME by region as well."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, edges in asked.items():
        rows = []
        for label, keys in groups.members(name, edges, kept.attributes).items():
            row: dict[str, Any] = {"group": label, **groups.figures(keys, per_item)}
            keys = [key for key in keys if key in kept.predictions]
            if schema is not None and keys:
                row["regions"] = {
                    part: value for part, value in _point_row(kept, keys, schema).items() if part in schema.regions
                }
            rows.append(row)
        found[name] = rows
    return found


def worst_first(per_item: Mapping[str, float]) -> list[str]:
    """Keys from the largest error to the smallest."""
    return sorted(per_item, key=lambda key: (-per_item[key], key))


def worst(kept: Kept, per_item: Mapping[str, float], count: int) -> list[dict[str, Any]]:
    """The faces with the largest errors: key, place in the split, error and photograph."""
    place = {key: number for number, key in enumerate(kept.items)}
    return [
        {"key": key, "index": place[key], "error": per_item[key], "image": str(kept.items[key].image)}
        for key in worst_first(per_item)[:count]
    ]


def with_maps(
    kept: Kept, fitting: Kept, fit_keys: Sequence[str], schema: PointSchema, analysis: Analysis
) -> dict[str, Any]:
    """NME and regions of the faces that were not fitted on: without a map, with an `offset`, and `with` the kind asked
    for."""
    fit_on = list(fit_keys)
    predictions = [fitting.predictions[key] for key in fit_on]
    targets = [fitting.targets[key] for key in fit_on]
    left = [key for key in kept.predictions if key not in set(fit_on)]

    def mapped_by(kind: str) -> Kept:
        maps = alignment.fit(predictions, targets, schema.eye_corners, kind)
        moved = {key: maps.apply(kept.predictions[key]) for key in left}
        return replace(_only(kept, left), predictions=moved)

    mapped = mapped_by(analysis.align_kind)
    return {
        "kind": analysis.align_kind,
        "split": analysis.align_split,
        "fitted_on": len(fit_on),
        "without": _point_row(kept, left, schema),
        "offset": _point_row(mapped_by("offset"), left, schema),
        "with": _point_row(mapped, left, schema),
        "by_set": {"without": by_set(_only(kept, left), schema), "with": by_set(mapped, schema)},
    }


def fitting(benchmark: Benchmark, split: str, items: Sequence[RealItem], look: Analysis) -> list[RealItem]:
    """The faces that maps are fitted on: of the split named for it, or a part of the evaluated ones. UserError."""
    if not look.align:
        return []
    if look.align_split and look.align_split not in benchmark.splits:
        raise UserError(f"align: there is no split '{look.align_split}'", hint=f"Known: {', '.join(benchmark.splits)}.")
    pool = benchmark.items(look.align_split) if look.align_split else items
    if look.align_split and {item.key for item in pool} & {item.key for item in items}:
        raise UserError(
            f"align: the split '{look.align_split}' holds faces of '{split}'",
            hint="Leave the split out to fit on a part of the evaluated faces and report the others.",
        )
    if len(pool) < look.align + (0 if look.align_split else 1):
        raise UserError(f"align: {look.align} faces to fit on are asked for, of {len(pool)}", hint="Fit on fewer.")
    chosen = alignment.chosen([item.key for item in pool], look.align)
    return [item for item in pool if item.key in chosen]


def details(
    scores: Scores,
    kept: Kept,
    fitting: Kept,
    fit_keys: Sequence[str],
    schema: PointSchema | None,
    look: Analysis,
    input_size: int | None,
) -> dict[str, Any]:
    """Everything asked for, as plain data. fitting: the faces maps are fitted on, where they are others than `kept`."""
    found: dict[str, Any] = {"worst": worst(kept, scores.per_item, look.worst)}
    if schema is not None and kept.predictions:
        found["sets"] = by_set(kept, schema)
        found["bias"] = bias(kept, schema, input_size)
    if asked := look.groups or groups.usual(kept.attributes):
        found["groups"] = by_group(kept, asked, scores.per_item, schema)
    if look.align and schema is not None:
        found["align"] = with_maps(kept, fitting if look.align_split else kept, fit_keys, schema, look)
    return found


def _only(kept: Kept, keys: Sequence[str]) -> Kept:
    return Kept(
        items={key: kept.items[key] for key in keys},
        predictions={key: kept.predictions[key] for key in keys},
        targets={key: kept.targets[key] for key in keys},
    )
