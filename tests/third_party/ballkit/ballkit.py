"""A plugin package of someone else: the generator `ball` and the benchmark `painted-balls`, in one module.

It is installed outside of the repository by the tests, and is the shortest complete example of both kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from synthforge.core.errors import DataError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark, Generator
from synthforge.core.records import RealItem, RealSample, Rendering, Scene, Scores
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.core.seeding import numpy_rng
from synthforge.geometry.cameras import orbit_camera


@dataclass
class BallConfig:
    radius: float = 0.1


class Ball(Generator):
    """A skin-coloured ball before a grey wall, traced in closed form."""

    def __init__(self, config: BallConfig) -> None:
        self.radius = config.radius

    def sample(self, seed: int, index: int) -> Scene:
        rng = numpy_rng(seed, index, "ball")
        angles = {"azimuth": rng.uniform(-0.8, 0.8), "elevation": rng.uniform(-0.3, 0.3)}
        centre = rng.uniform(-0.05, 0.05, 3)
        return Scene(seed, index, {**angles, "centre": centre, "radius": self.radius * rng.uniform(0.5, 1)})

    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        return [self._render(scene, resolution) for scene in scenes]

    def _render(self, scene: Scene, size: int) -> Rendering:
        p = scene.parameters
        camera = orbit_camera(p["azimuth"], p["elevation"], 1.0, 20, size, size)
        centre = camera.world_to_camera[:3, :3] @ p["centre"] + camera.world_to_camera[:3, 3]
        x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.intrinsics).T  # camera z is 1
        a, b = (rays**2).sum(-1), rays @ centre
        root = b**2 - a * (centre @ centre - p["radius"] ** 2)
        hit = root > 0
        z = np.where(hit, (b - np.sqrt(np.maximum(root, 0))) / a, 0)
        facing = (centre[2] - z) / p["radius"]
        image = np.where(hit[..., None], np.array([230, 180, 150]) * (0.5 + 0.5 * facing)[..., None], 90)
        label = np.where(hit, CLASS_SCHEMAS["synthforge"].id("skin"), 0).astype(np.uint8)
        return Rendering(
            scene, camera, image.clip(0, 255).astype(np.uint8), labels={"synthforge": label}, depth=z.astype(np.float32)
        )


@dataclass
class PaintedConfig:
    root: str = MISSING


class PaintedBalls(Benchmark):
    """Folders `train`, `val`, `test` of NAME.npz with `image` and `label`; scored by pixel accuracy."""

    task = "segmentation"
    schema = "synthforge"
    splits = ("train", "val", "test")

    def __init__(self, config: PaintedConfig) -> None:
        self.root = Path(config.root)

    def items(self, split: str) -> list[RealItem]:
        files = sorted((self.root / split).glob("*.npz"))
        if not files:
            raise DataError(f"painted-balls: no .npz files in {self.root / split}")
        return [RealItem(path.stem, path, path) for path in files]

    def load(self, item: RealItem) -> RealSample:
        try:
            with np.load(item.image) as data:
                image, label = data["image"], data["label"]
        except Exception as error:
            raise DataError(f"{item.image} is not readable: {error}") from error
        return RealSample(item, image, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])), label)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        errors = {s.item.key: 100 * float((s.target != predicted).mean()) for s, predicted in results}
        value = 100 - sum(errors.values()) / len(errors)
        return Scores({"accuracy": value}, {"accuracy": "%"}, errors, "accuracy")


@hookimpl
def register_generators(register):
    register("ball", Ball, config=BallConfig, summary="a ball before a wall", licence="CC0-1.0")


@hookimpl
def register_benchmarks(register):
    register("painted-balls", PaintedBalls, config=PaintedConfig, summary="balls with painted labels")
