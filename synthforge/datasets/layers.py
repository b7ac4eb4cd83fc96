"""What each field of a sample looks like: one table by kind, for PNG sheets, HTML galleries and other viewers.

Nothing here knows a field by its name: kind, schema, unit and mark are part of its description in the manifest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.camera import Camera, CameraError
from ..core.factors import flat
from ..core.records import Field
from ..core.schemas import IGNORE
from . import drawing
from .checks import companions
from .drawing import Colour, Mark

_AXES: tuple[Colour, ...] = ((255, 80, 60), (70, 220, 120), (70, 140, 255))  # x, y, z
_ARROW: Colour = (255, 110, 180)
_ELLIPSE: Colour = (86, 180, 233)
_DENSE = 200  # points of a field that would hide the picture as larger dots
_LENGTH = 0.16  # of an arrow across the picture, in widths of it
_AROUND = np.linspace(0, 2 * np.pi, 33)


@dataclass(frozen=True)
class Layer:
    """What a field of one sample looks like: pixels (H,W,3) uint8 where `there` (H,W) bool, None for everywhere; marks
    over the picture; or numbers by name. note: a few words below it."""

    pixels: np.ndarray | None = None
    there: np.ndarray | None = None
    marks: Sequence[Mark] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def drawable(fields: Sequence[Field]) -> list[Field]:
    """The fields that have a layer, in order; without those that only complete another one."""
    needed = {name for item in fields for name in _beside(item)}
    return [
        item
        for item in fields
        if item.kind in _BY_KIND and item.name not in needed and (item.kind != "json" or item.mark or item.unit)
    ]


def layer(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    """The layer of a field that is `drawable`; fields: all of the sample's."""
    return _BY_KIND[item.kind](sample, item, fields)


def numbers(sample: Mapping[str, Any], item: Field) -> dict[str, float]:
    """The numbers of a `json` field by dotted path, the field's name first; what is no finite number is left out."""
    values = flat(sample[item.name], item.name)
    return {
        path: float(value)
        for path, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def camera_of(sample: Mapping[str, Any]) -> Camera | None:
    """The camera of a sample; None where there is none, or none that is one."""
    try:
        return Camera.from_json(sample["camera"]) if sample.get("camera") else None
    except CameraError:
        return None


def _beside(item: Field) -> list[str]:
    return [name.strip() for name in item.beside.split(",") if name.strip()]


def _image(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    return Layer(sample[item.name])


def _label(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    label = sample[item.name]
    return Layer(drawing.draw_labels(label, item.schema), label != IGNORE)


def _depth(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    depth = sample[item.name]
    near, far = drawing.depth_span(depth, depth > 0)
    note = f"{near:.3f}..{far:.3f} {item.unit or 'm'}" if far else "none"
    return Layer(drawing.draw_depth(depth, depth > 0, (near, far)), depth > 0, note=note)


def _normals(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    return Layer(drawing.draw_normals(sample[item.name]), np.any(sample[item.name], axis=-1))


def _uv(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    u, v = np.moveaxis((sample[item.name] * 255).astype(np.uint8), -1, 0)
    return Layer(np.stack([u, v, np.zeros_like(u)], -1), np.any(sample[item.name], axis=-1), note="u red, v green")


def _flow(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    picture, most = drawing.draw_flow(sample[item.name])
    return Layer(picture, np.isfinite(sample[item.name]).all(-1), note=f"up to {most:.1f} px")


def _matte(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    matte = (sample[item.name] * 255).astype(np.uint8)
    return Layer(np.stack([matte] * 3, -1), matte > 0)


def _points(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    points = sample[item.name]
    flags = companions(fields).get(item.name, {}).get("flags")
    seen = sample.get(flags.name) if flags is not None else None
    if seen is None or len(seen) != len(points):
        seen = np.ones(len(points), np.bool_)
    radius = 1.5 if len(points) < _DENSE else 0.8
    marks = drawing.marks_of(drawing.Points(points, item.schema, visible=seen, radius=radius))
    return Layer(marks=marks, note=f"{int(seen.sum())} of {len(points)} visible")


def _directions(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    """Vectors of the camera frame, as lines from a point: with the camera's perspective where that is known."""
    vectors = np.asarray(sample[item.name], np.float64)
    anchor, length = _anchor(sample, fields)

    def arrow(vector: np.ndarray, colour: Colour) -> Mark:
        return Mark("lines", colour, [np.stack([anchor, anchor + length * vector[:2]])])

    if item.mark == "axes" and vectors.shape == (3, 3):
        return Layer(marks=[arrow(vector, colour) for vector, colour in zip(vectors.T, _AXES, strict=True)])
    camera, width = camera_of(sample), sample["image"].shape[1]
    from_there = next((sample.get(name) for name in _beside(item)), None)
    if camera is None or from_there is None or len(from_there) != len(vectors) or not (from_there[:, 2] > 0).all():
        return Layer(marks=[arrow(vector, _ARROW) for vector in vectors])
    starts = np.asarray(from_there, np.float64)
    ends = starts + vectors * (_LENGTH * width * starts[:, 2:] / camera.intrinsics[0, 0])
    pixels = [each @ camera.intrinsics.T for each in (starts, ends)]
    pairs = [(a[:2] / a[2], b[:2] / b[2]) for a, b in zip(*pixels, strict=True) if b[2] > 0]
    dots = np.array([start for start, _ in pairs]).reshape(-1, 2)
    return Layer(marks=[Mark("lines", _ARROW, [np.stack(pair) for pair in pairs]), Mark("dots", _ARROW, [dots], 2.0)])


def _anchor(sample: Mapping[str, Any], fields: Sequence[Field]) -> tuple[np.ndarray, float]:
    """Where directions without a place of their own are drawn, and their length: the middle of the first points."""
    height, width = sample["image"].shape[:2]
    for item in fields:
        if item.kind == "points2d" and item.name in sample:
            known = sample[item.name][np.isfinite(sample[item.name]).all(-1)]
            if len(known):
                return known.mean(axis=0).astype(np.float64), _LENGTH * 1.5 * width
    return np.array([width / 2, height / 2]), _LENGTH * 1.5 * width


def _json(sample: Mapping[str, Any], item: Field, fields: Sequence[Field]) -> Layer:
    if item.mark == "box":
        boxes = list(_boxes(sample[item.name]))
        corners = [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]) for x0, y0, x1, y1 in boxes]
        note = f"{len(boxes)} boxes" if len(boxes) > 1 else "none"
        if len(boxes) == 1:
            note = f"{boxes[0][2] - boxes[0][0]:.0f} x {boxes[0][3] - boxes[0][1]:.0f} px"
        return Layer(marks=[Mark("lines", drawing.MARK, corners)] if boxes else [], note=note)
    if item.mark == "ellipses":
        angles = next((sample.get(name) for name in _beside(item)), None)
        found = list(_ellipses(sample[item.name], angles))
        return Layer(marks=[Mark("lines", _ELLIPSE, found, 0.75)] if found else [], note=f"{len(found)} ellipses")
    return Layer(numbers=numbers(sample, item), note=item.unit)


def _boxes(value: Any) -> Iterator[list[float]]:
    """The boxes at any depth of a value."""
    if _numeric(value, 4):
        yield [float(edge) for edge in value]
    elif isinstance(value, list | Mapping):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _boxes(part)


def _ellipses(value: Any, angles: Any) -> Iterator[np.ndarray]:
    """Outlines (K,2) of the ellipses at any depth of a value."""
    if not isinstance(value, Mapping):
        return
    if _numeric(value.get("centre"), 2) and _numeric(value.get("axes"), 2):
        turn = math.radians(angles) if _numeric([angles], 1) else 0.0
        a, b = value["axes"][0] * np.cos(_AROUND), value["axes"][1] * np.sin(_AROUND)
        x, y = a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn)
        yield np.stack([x, y], -1) + value["centre"]
        return
    for name, part in value.items():
        yield from _ellipses(part, angles.get(name) if isinstance(angles, Mapping) else None)


def _numeric(value: Any, count: int) -> bool:
    """Whether a value of a foreign file is a list of so many finite numbers."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )


_BY_KIND: dict[str, Callable[[Mapping[str, Any], Field, Sequence[Field]], Layer]] = {
    "image": _image,
    "label": _label,
    "depth": _depth,
    "normals": _normals,
    "uv": _uv,
    "flow": _flow,
    "matte": _matte,
    "points2d": _points,
    "directions": _directions,
    "json": _json,
}
