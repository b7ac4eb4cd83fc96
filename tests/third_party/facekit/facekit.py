"""A third-party package with everything of its own.

Labels: a schema of 98 points, eight classes and their mapping. Plugins: a generator, a benchmark with its test split
and stand-in, a licensed file, a policy, a backbone and a face detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from synthforge.assets.registry import Asset, find_asset
from synthforge.core.catalogue import FileNeed
from synthforge.core.errors import AssetError, DataError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark, Generator
from synthforge.core.records import RealItem, RealSample, Rendering, Scene, Scores
from synthforge.core.schemas import ClassMapping, ClassSchema, PointSchema
from synthforge.core.seeding import numpy_rng
from synthforge.evaluation.scoring import score_points
from synthforge.evaluation.standin import mark_stand_in, read_stand_in
from synthforge.geometry.cameras import orbit_camera
from synthforge.learning.networks.backbone import Backbone
from synthforge.learning.policies import Policy
from synthforge.prediction.detectors import Calibration, Detector, Found

# 98 points on two rings; point i and its twin lie opposite each other across the vertical axis.
RING = 49
ANGLES = np.concatenate([np.arange(RING) * 2 * np.pi / RING] * 2)
RADII = np.repeat([1.0, 0.5], RING)
POINTS98 = PointSchema(
    "rings98",
    mirror=tuple((RING - i % RING) % RING + i // RING * RING for i in range(98)),
    edges=tuple((i, i + 1) for i in (*range(48), *range(49, 97))),
    regions={"outer": tuple(range(RING)), "inner": tuple(range(RING, 98))},
    eye_corners=(12, 37),
)
PARTS = ("background", "rim", "disc", "left_spot", "right_spot", "top", "base", "core")
PARTS8 = ClassSchema("parts8", PARTS, tuple((30 * i, 255 - 30 * i, 90) for i in range(8)))
TO_PARTS = ClassMapping("synthforge", "parts8", {"skin": "disc", "left_eye": "left_spot", "right_eye": "right_spot"})


def picture(x: float, y: float, radius: float, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright disc at (x, y) pixels: image, its 98 points and its classes."""
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    away = np.hypot(columns - x, rows - y) / radius
    label = np.select([away < 0.3, away < 0.8, away < 1], [7, 2, 1], 0).astype(np.uint8)
    image = np.array([[20, 25, 30], [240, 120, 60], [220, 200, 80], [0] * 3, [0] * 3, [0] * 3, [0] * 3, [90, 90, 240]])
    points = np.stack([x + radius * RADII * np.sin(ANGLES), y - radius * RADII * np.cos(ANGLES)], -1)
    return image[label].astype(np.uint8), points, label


@dataclass
class DiscsConfig:
    radius: float = 0.3


class Discs(Generator):
    """Discs in a plane that faces the camera."""

    def __init__(self, config: DiscsConfig) -> None:
        self.radius = config.radius

    def sample(self, seed: int, index: int) -> Scene:
        x, y, r = numpy_rng(seed, index, "disc").uniform([0.4, 0.4, 0.7], [0.6, 0.6, 1])
        return Scene(seed, index, {"x": x, "y": y, "radius": self.radius * r})

    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        return [self._render(scene, resolution) for scene in scenes]

    def _render(self, scene: Scene, size: int) -> Rendering:
        p = scene.parameters
        image, points, label = picture(p["x"] * size, p["y"] * size, p["radius"] * size, size)
        camera = orbit_camera(0.0, 0.0, 1.0, 20, size, size)
        rays = np.concatenate([points, np.ones((98, 1))], 1) @ np.linalg.inv(camera.intrinsics).T  # camera z is 1
        world = (rays - camera.world_to_camera[:3, 3]) @ camera.world_to_camera[:3, :3]
        return Rendering(
            scene,
            camera,
            image,
            labels={"parts8": label},
            depth=np.ones((size, size), np.float32),
            points={"rings98": world.astype(np.float32)},
        )


@dataclass
class RingsConfig:
    root: str = MISSING
    crop_scale: float = 1.3


class Rings(Benchmark):
    """Folders `learn`, `check` and `final` of NAME.npz with `image` and `points`; `final` is the test."""

    task = "keypoints"
    schema = "rings98"
    splits = ("learn", "check", "final")
    test_splits = ("final",)

    def __init__(self, config: RingsConfig) -> None:
        self.root, self.crop_scale = Path(config.root), config.crop_scale
        self.stand_in = read_stand_in(self.root)

    def items(self, split: str) -> list[RealItem]:
        files = sorted((self.root / split).glob("*.npz"))
        if not files:
            raise DataError(f"rings: no .npz files in {self.root / split}")
        return [RealItem(f"{split}/{path.stem}", path, path) for path in files]

    def load(self, item: RealItem) -> RealSample:
        try:
            with np.load(item.image) as data:
                image, points = data["image"], data["points"]
        except Exception as error:
            raise DataError(f"{item.image} is not readable: {error}") from error
        return RealSample(item, image, (*points.min(0), *points.max(0)), points)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        return score_points(results, self.schema)

    def write_stand_in(self, samples: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, int]:
        wanted = dict(counts) or {"learn": 8, "check": 4, "final": 4}
        mark_stand_in(self.root, "rings", wanted)
        given = iter(samples)
        for split, count in wanted.items():
            (self.root / split).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                sample = next(given)
                np.savez(self.root / split / f"{number:03d}.npz", image=sample["image"], points=sample["landmarks2d"])
        return wanted


def tiny(config: Any) -> Any:
    """A backbone of three convolutions at full resolution."""
    from torch import nn

    width = int(config.options.get("hidden", 8))
    layers = [nn.Conv2d(3, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, config.channels, 5, padding=2), nn.ReLU()]
    return nn.Sequential(*layers)


def load_brightest(device: str, faces: bool, points: bool) -> Any:
    """A detector that takes everything bright for one face."""

    def detect(image: np.ndarray, box: Any) -> list[Found]:
        rows, columns = np.nonzero(image.max(-1) > 100)
        if not len(rows):
            return []
        return [Found((columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0), 0.75)]

    return detect


def check_key(path: Path) -> None:
    if path.read_bytes()[:4] != b"KEY1":
        raise AssetError(f"{path}: is no key of facekit")


@dataclass
class KeyedConfig(DiscsConfig):
    pass


def keyed(config: KeyedConfig) -> Discs:
    """Discs that need a licensed file."""
    find_asset("facekit-key")
    return Discs(config)


@hookimpl
def register_schemas(register):
    register(POINTS98)
    register(PARTS8)


@hookimpl
def register_mappings(register):
    register(TO_PARTS)


@hookimpl
def register_generators(register):
    register("discs", Discs, config=DiscsConfig, summary="bright discs with 98 points")
    register(
        "keyed-discs",
        keyed,
        config=KeyedConfig,
        summary="discs that need a licensed file",
        files=lambda config: [FileNeed("facekit-key")],
    )


@hookimpl
def register_benchmarks(register):
    register("rings", Rings, config=RingsConfig, summary="98 points on discs")


@hookimpl
def register_assets(register):
    register(
        Asset("facekit-key", "facekit/key.bin", "generator `keyed-discs`", "the authors", "by hand", False, check_key)
    )


@hookimpl
def register_policies(register):
    register(Policy("mild", rotation=5.0, flip=0.5))


@hookimpl
def register_backbones(register):
    register(Backbone("tiny", tiny, "three convolutions", options={"hidden": int}))


@hookimpl
def register_detectors(register):
    register(
        Detector(
            name="brightest",
            summary="everything bright is one face",
            licence="Apache-2.0",
            module="numpy",
            install="pip install numpy",
            convention="tight around what is bright",
            load=load_brightest,
            calibration=Calibration(0.0, 1.0, (0.0, 0.0), "by construction"),
            rank=-1,
        )
    )
