"""A data set in memory with the interface of `synthforge.datasets.reader.ShardDataset`: coloured blobs for faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synthforge.core.records import Field
from synthforge.core.schemas import SYNTHFORGE
from synthforge.core.seeding import numpy_rng

FIELDS = (
    Field("landmarks2d", "points2d", unit="px", schema="ibug68"),
    Field("landmark_visibility", "flags", schema="ibug68"),
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", unit="m"),
)


class Blobs:
    """Faces that can be learned in seconds: an ellipse whose place, size and colour say where the 68 points are."""

    def __init__(self, count: int = 24, size: int = 48, seed: int = 0, fields: tuple[Field, ...] = FIELDS) -> None:
        self.count, self.size, self.seed = count, size, seed
        self.fields = fields
        self.manifest = {"count": count, "seed": seed}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = numpy_rng(self.seed, index, "blob")
        s = self.size
        centre = s * rng.uniform(0.42, 0.58, 2)
        radius = s * rng.uniform(0.22, 0.3, 2)
        angle = np.linspace(0.0, 2 * np.pi, 68, endpoint=False)
        points = centre + 0.9 * radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        y, x = np.mgrid[:s, :s] + 0.5
        inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
        upper = inside & (y < centre[1])
        image = np.full((s, s, 3), (40, 60, 90), np.uint8)
        image[inside] = (200, 150, 120)
        image[upper] = (90, 60, 40)
        label = np.where(upper, SYNTHFORGE.id("hair"), np.where(inside, SYNTHFORGE.id("skin"), 0)).astype(np.uint8)
        depth = np.where(inside, 0.6 + 0.05 * (x - centre[0]) / s, 0.0).astype(np.float32)
        return {
            "__key__": f"{index:05d}",
            "image": image,
            "landmarks2d": points.astype(np.float32),
            "landmark_visibility": np.ones(68, bool),
            "segmentation": label,
            "depth": depth,
        }


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()
