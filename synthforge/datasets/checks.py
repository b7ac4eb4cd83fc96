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

REPROJECTION = 0.05  # pixels; float32 pixels are exact to about 1e-4

# Landmarks (iBUG-68) and the classes of schema `synthforge` they lie on or beside; left and right are the subject's.
LANDMARK_CLASSES: dict[str, tuple[Sequence[int], tuple[str, ...]]] = {
    "right_brow": (range(17, 22), ("right_brow", "skin", "right_lid")),
    "left_brow": (range(22, 27), ("left_brow", "skin", "left_lid")),
    "nose": (range(27, 36), ("nose",)),
    "right_eye": (range(36, 42), ("right_eye", "right_lid")),
    "left_eye": (range(42, 48), ("left_eye", "left_lid")),
    "mouth": (range(48, 68), ("upper_lip", "lower_lip", "inner_mouth", "teeth", "tongue")),
}
# What may cover a landmark without hiding the surface the labels of a generator speak of.
COVERS = ("hair", "facial_hair", "glasses", "lens", "hat", "face_mask", "occluder")


def check_sample(sample: Mapping[str, Any], fields: Sequence[Field]) -> Iterator[str]:
    """What is wrong with a decoded sample, one sentence each. Values themselves were checked by their codecs."""
    height, width = sample["image"].shape[:2]
    for item in fields:
        value = sample[item.name]
        if CODECS[item.kind].member and value.shape[:2] != (height, width):
            yield f"{item.name} is {value.shape[1]} x {value.shape[0]}, the image {width} x {height}"
        if item.schema in POINT_SCHEMAS and len(value) != len(POINT_SCHEMAS[item.schema]):
            yield f"{item.name} has {len(value)} entries, schema '{item.schema}' {len(POINT_SCHEMAS[item.schema])}"
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


def _reprojection(sample: Mapping[str, Any], fields: Sequence[Field], camera: Camera) -> Iterator[str]:
    names = {item.name: item for item in fields}
    flat, solid = names.get("landmarks2d"), names.get("landmarks3d")
    if flat is None or solid is None or len(sample["landmarks2d"]) != len(sample["landmarks3d"]):
        return
    pixels, _ = camera.project(sample["landmarks3d"])
    # A point far outside the image (NaN behind the camera) has few exact digits and no weight.
    near = (np.abs(pixels) < 10 * max(camera.width, camera.height)).all(-1)
    error = np.abs(pixels - sample["landmarks2d"])[near]
    if error.size and not error.max() <= REPROJECTION:
        yield f"landmarks3d project up to {error.max():.2f} px away from landmarks2d"


def landmark_agreement(sample: Mapping[str, Any], schema: str, radius: int) -> tuple[Counter[str], Counter[str]]:
    """How many visible landmarks have one of their classes within `radius` pixels: (checked, agreeing) by region.

    sample: with landmarks2d, landmark_visibility and segmentation in class schema `schema`; both counters are empty
    when the schema has no relation to `synthforge`.
    """
    checked: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    labels = sample["segmentation"]
    expected = _expected(schema)
    if expected is None:
        return checked, agreed
    height, width = labels.shape
    for region, (points, allowed, covers) in expected.items():
        for point in points:
            if not sample["landmark_visibility"][point]:
                continue
            column, row = (int(v) for v in sample["landmarks2d"][point])
            window = labels[
                max(row - radius, 0) : min(row + radius + 1, height),
                max(column - radius, 0) : min(column + radius + 1, width),
            ]
            if window.size == 0 or covers[labels[row, column]]:
                continue
            checked[region] += 1
            agreed[region] += bool(allowed[window].any())
    return checked, agreed


@functools.cache
def _expected(schema: str) -> dict[str, tuple[Sequence[int], np.ndarray, np.ndarray]] | None:
    """LANDMARK_CLASSES as look-up tables (256,) bool for ids of `schema`: allowed classes and covers."""
    own = CLASS_SCHEMAS["synthforge"]

    def table(names: Sequence[str]) -> np.ndarray:
        wanted = np.zeros(256, np.bool_)
        ids = [own.id(name) for name in names]
        if forward is not None:
            wanted[forward[ids]] = True
            if "skin" not in names:  # where lids, say, are skin: skin is everywhere and proves nothing
                wanted[forward[own.id("skin")]] = False
        elif backward is not None:
            wanted[np.isin(backward, ids)] = True
        wanted[0] = False
        return wanted

    forward, backward = _mapping("synthforge", schema), _mapping(schema, "synthforge")
    if forward is None and backward is None:
        return None
    result = {}
    for region, (points, names) in LANDMARK_CLASSES.items():
        allowed = table(names)
        covers = table(COVERS) & ~allowed
        covers[IGNORE] = True
        result[region] = (points, allowed, covers)
    return result


def _mapping(source: str, target: str) -> np.ndarray | None:
    try:
        return class_mapping(source, target)
    except KeyError:
        return None
