"""A data set in memory with the interface of `synthforge.datasets.reader.ShardDataset`: coloured blobs for faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from synthforge_plugins.schemas import IBUG68, SYNTHFORGE

from synthforge.core.interfaces import Benchmark
from synthforge.core.records import Field, RealItem, RealSample, Scores
from synthforge.core.schemas import class_mapping
from synthforge.core.seeding import numpy_rng
from synthforge.learning.config import (
    FramingConfig,
    HardwareConfig,
    NetworkConfig,
    OptimiserConfig,
    SelfSupervisionConfig,
    TrainConfig,
)

FIELDS = (
    Field("landmarks2d", "points2d", unit="px", schema="ibug68"),
    Field("landmark_visibility", "flags", schema="ibug68"),
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", unit="m"),
)


def _places() -> np.ndarray:
    """Points (68,2) on an ellipse of radius 0.9, mirrored as the schema says: pairs face each other."""
    places = np.zeros((68, 2))
    for index, twin in enumerate(IBUG68.mirror):
        angle = np.pi * (min(index, twin) + 0.5) / 68
        side = -1.0 if index < twin else 1.0 if index > twin else 0.0
        places[index] = 0.9 * side * np.sin(angle), -0.9 * np.cos(angle)
    return places


PLACES = _places()


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
        points = centre + radius * PLACES
        y, x = np.mgrid[:s, :s] + 0.5
        inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
        upper = inside & (y < centre[1])
        image = np.full((s, s, 3), (40, 60, 90), np.uint8)
        image[inside] = (200, 150, 120)
        image[upper] = (90, 60, 40)
        label = np.where(upper, SYNTHFORGE.id("hair"), np.where(inside, SYNTHFORGE.id("skin"), 0)).astype(np.uint8)
        depth = np.where(inside, 0.6 + 0.3 * (y - centre[1]) / s, 0.0).astype(np.float32)
        return {
            "__key__": f"{index:05d}",
            "image": image,
            "landmarks2d": points.astype(np.float32),
            "landmark_visibility": np.ones(68, bool),
            "segmentation": label,
            "depth": depth,
        }


class BlobBenchmark(Benchmark):
    """Photographs with labels: blobs whose 68 points are shifted by a constant part of the face, or whose classes are
    called otherwise."""

    crop_scale = 1.5
    splits = ("train", "val", "common")
    test_splits = ("common",)

    def __init__(self, task: str = "keypoints", count: int = 24, size: int = 48) -> None:
        self.task = task
        self.schema = {"keypoints": "ibug68", "segmentation": "lapa11", "depth": ""}[task]
        self.blobs = Blobs(count, size, seed=7)
        self.asked: list[str] = []

    def items(self, split: str) -> list[RealItem]:
        self.asked.append(split)
        chosen = {"train": range(16), "val": range(16, 20), "common": range(20, 24)}[split]
        return [RealItem(f"{i:03d}", Path(f"{i:03d}"), Path(f"{i:03d}")) for i in chosen]

    def load(self, item: RealItem) -> RealSample:
        sample = self.blobs[int(item.key)]
        points = sample["landmarks2d"].astype(np.float64)
        low, high = points.min(0), points.max(0)
        target: Any = {
            "keypoints": points + 0.1 * (high - low),
            "segmentation": class_mapping("synthforge", "lapa11")[sample["segmentation"]],
            "depth": np.where(sample["depth"] > 0, 1.3 * sample["depth"] + 0.1, 0.0).astype(np.float32),
        }[self.task]
        return RealSample(item, sample["image"], (low[0], low[1], high[0], high[1]), target)

    def score(self, results: Any) -> Scores:
        raise AssertionError("training never scores a benchmark")


def light_tasks(width: float = 0.25) -> list[Any]:
    """References to the three tasks with small heads."""
    return [
        {"name": "keypoints", "head": "light", "width": 16},
        {"name": "segmentation", "head": "light", "width": width},
        {"name": "depth", "head": "light", "width": width},
    ]


def tiny(**changes: Any) -> TrainConfig:
    """A configuration that trains in seconds."""
    values: dict[str, Any] = {
        "tasks": light_tasks(),
        "network": NetworkConfig(backbone="residual", width=0.125, channels=16, input_size=32),
        "optimiser": OptimiserConfig(lr=3e-3, final_lr=1e-4, encoder_factor=1.0),
        "hardware": HardwareConfig(accelerator="cpu", workers=0, deterministic=True, threads=1),
        "self_supervision": SelfSupervisionConfig(weight=0.1, on="both"),
        "framing": FramingConfig(jitter_shift=0.05, jitter_scale=0.1),
        "epochs": 2,
        "batch_size": 8,
        "augmentation": "light",
        "val_fraction": 0.25,
        "ema": 0.9,
        "precision": "32-true",
    }
    return TrainConfig(**(values | changes))
