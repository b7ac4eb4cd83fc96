"""Small made-up samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synthforge.core.records import Field
from synthforge.datasets.writer import sample_key
from synthforge.geometry.cameras import orbit_camera

FIELDS = (
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", "m", "camera"),
    Field("normals", "normals", frame="camera"),
    Field("landmarks2d", "points2d", "px", "image", "ibug68"),
    Field("landmarks3d", "points3d", "m", "world", "ibug68"),
    Field("landmark_visibility", "flags", schema="ibug68"),
    Field("words", "json"),
)


def make_sample(index: int, size: int = 24) -> dict[str, Any]:
    """A sample that `verify` finds nothing wrong with."""
    rng = np.random.default_rng(index)
    camera = orbit_camera(0.1, 0.0, 1.0, 20, size, size)
    points = rng.uniform(-0.1, 0.1, (68, 3)).astype(np.float32)
    normals = rng.normal(size=(size, size, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[:3] = 0
    depth = rng.uniform(0.5, 2, (size, size))
    depth[:3] = 0
    return {
        "__key__": sample_key(index),
        "image": rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        "segmentation": rng.integers(0, 29, (size, size), dtype=np.uint8),
        "depth": depth.astype(np.float32),
        "normals": normals.astype(np.float32),
        "landmarks2d": camera.project(points)[0].astype(np.float32),
        "landmarks3d": points,
        "landmark_visibility": rng.random(68) > 0.5,
        "words": {"index": index},
        "scene": {"seed": 3, "index": index, "parameters": {"shape": rng.random(4), "z": [1.0, 2.0]}},
        "camera": camera.to_json(),
    }


def make_samples(first: int, count: int) -> Iterator[dict[str, Any]]:
    return (make_sample(index) for index in range(first, first + count))
