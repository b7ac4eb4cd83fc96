"""What must hold within one sample: sizes, points on their camera, landmarks on the classes they name."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from synthforge.core.camera import Camera, CameraError
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS, class_mapping

from .codecs import CODECS

Expected = dict[str, tuple[Sequence[int], np.ndarray, np.ndarray]]
#: where every number of a `json` field of this unit lies
RANGES = {"share": (0.0, 1.0), "degrees": (-180.0, 180.0)}
REPROJECTION = 0.05  # pixels; float32 pixels are exact to about 1e-4


def check_sample(sample: Mapping[str, Any], fields: Sequence[Field]) -> Iterator[str]:
    """What is wrong with a decoded sample, one sentence each. Values themselves were checked by their codecs."""
    height, width = sample["image"].shape[:2]
    for item in fields:
        value = sample[item.name]
        if CODECS[item.kind].member and value.shape[:2] != (height, width):
            yield f"{item.name} is {value.shape[1]} x {value.shape[0]}, the image {width} x {height}"
        if item.schema in POINT_SCHEMAS and len(value) != len(POINT_SCHEMAS[item.schema]):
            yield f"{item.name} has {len(value)} entries, schema '{item.schema}' {len(POINT_SCHEMAS[item.schema])}"
        if item.kind == "json" and item.unit in RANGES:
            low, high = RANGES[item.unit]
            beyond = [number for number in _numbers(value) if not low <= number <= high]
            if beyond:
                yield f"{item.name} holds {beyond[0]:g}; in {item.unit}, numbers lie in {low:g} to {high:g}"
    if sample["camera"] is None:
        return
    try:
        camera = Camera.from_json(sample["camera"])
    except CameraError as error:
        yield f"the camera is wrong: {error.message}"
        return
    if (camera.width, camera.height) != (width, height):
        yield f"the camera is of {camera.width} x {camera.height} pixels, the image {width} x {height}"
        return
    yield from _reprojection(sample, fields, camera)


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value as JSON holds it."""
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def companions(fields: Sequence[Field]) -> dict[str, dict[str, Field]]:
    """By name of each `points2d` field: the `points3d` and the `flags` of the same points, by kind.

    They are the first of their kind and schema after it: an annotator lists what belongs together in this order.
    """
    found: dict[str, dict[str, Field]] = {}
    latest: dict[str, dict[str, Field]] = {}
    for item in fields:
        if item.kind == "points2d":
            found[item.name] = latest[item.schema] = {}
        elif item.kind in ("points3d", "flags") and item.schema:
            latest.get(item.schema, {}).setdefault(item.kind, item)
    return found


def _reprojection(sample: Mapping[str, Any], fields: Sequence[Field], camera: Camera) -> Iterator[str]:
    for flat, more in companions(fields).items():
        solid = more.get("points3d")
        if solid is None or not solid.frame.startswith("world") or len(sample[flat]) != len(sample[solid.name]):
            continue
        pixels, _ = camera.project(sample[solid.name])
        # A point far outside the image (NaN behind the camera) has few exact digits and no weight.
        near = (np.abs(pixels) < 10 * max(camera.width, camera.height)).all(-1)
        error = np.abs(pixels - sample[flat])[near]
        if error.size and not error.max() <= REPROJECTION:
            yield f"{solid.name} project up to {error.max():.2f} px away from {flat}"


def landmark_agreement(sample: Mapping[str, Any], fields: Sequence[Field]) -> tuple[Counter[str], Counter[str]]:
    """How many visible landmarks have one of their classes near them: (checked, agreeing) by region.

    Near is within 2 % of the image's width, at least two pixels. Every set of points with flags is held against every
    label map; both counters stay empty where no relation between their schemas is known (`schemas.PointClasses`).
    """
    checked: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    points = {item.name: item for item in fields}
    for flat, more in companions(fields).items():
        for item in fields:
            expected = _expected(points[flat].schema, item.schema) if item.kind == "label" else None
            if expected is not None and "flags" in more:
                _compare(sample[flat], sample[more["flags"].name], sample[item.name], expected, (checked, agreed))
    return checked, agreed


def _compare(
    points: np.ndarray,
    visible: np.ndarray,
    labels: np.ndarray,
    expected: Expected,
    counts: tuple[Counter[str], Counter[str]],
) -> None:
    """Add to `counts` (checked, agreed) of points (N,2) in the pixels of labels (H,W); visible: (N,)."""
    height, width = labels.shape
    radius = max(2, round(0.02 * width))
    for region, (members, allowed, covers) in expected.items():
        for point in members:
            if not visible[point]:
                continue
            column, row = (int(v) for v in points[point])
            window = labels[
                max(row - radius, 0) : min(row + radius + 1, height),
                max(column - radius, 0) : min(column + radius + 1, width),
            ]
            if window.size == 0 or covers[labels[row, column]]:
                continue
            counts[0][region] += 1
            counts[1][region] += bool(allowed[window].any())


@functools.cache
def _expected(points: str, schema: str) -> Expected | None:
    """By region, its points, and allowed classes and covers as look-up tables (256,) bool for ids of `schema`."""
    known = POINT_SCHEMAS.get(points)
    if known is None or known.classes is None:
        return None
    relation, own = known.classes, CLASS_SCHEMAS[known.classes.schema]

    def table(names: Sequence[str]) -> np.ndarray:
        wanted = np.zeros(256, np.bool_)
        ids = [own.id(name) for name in names]
        if forward is not None:
            wanted[forward[ids]] = True
            if relation.everywhere and relation.everywhere not in names:  # where lids, say, are skin
                wanted[forward[own.id(relation.everywhere)]] = False
        elif backward is not None:
            wanted[np.isin(backward, ids)] = True
        wanted[0] = False
        return wanted

    forward, backward = _mapping(own.name, schema), _mapping(schema, own.name)
    if forward is None and backward is None:
        return None
    result: Expected = {}
    for region, (members, names) in relation.regions.items():
        allowed = table(names)
        covers = table(relation.covers) & ~allowed
        covers[IGNORE] = True
        result[region] = (members, allowed, covers)
    return result


def _mapping(source: str, target: str) -> np.ndarray | None:
    try:
        return class_mapping(source, target)
    except KeyError:
        return None
