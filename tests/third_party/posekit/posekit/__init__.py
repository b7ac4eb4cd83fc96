"""A third-party plugin package: the task `headpose`, the annotator that labels it, and a benchmark that scores it.

A rotation (3,3) takes directions in the head's frame to the camera's. Head: x to the subject's left, y up, z out of the
face. Camera: x right, y down, z into the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from synthforge.core.errors import AnnotationError, DataError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, Benchmark, Task
from synthforge.core.records import FaceError, Field, RealItem, RealSample, Rendering, Scores


def turn(axis_angle: Sequence[float]) -> np.ndarray:
    """The rotation (3,3) about an axis by its length in radians."""
    x, y, z = axis_angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-9:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """The angle between two rotations, in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1))))


@dataclass
class RotationConfig:
    """Nothing to choose."""


class HeadRotation(Annotator):
    """The camera's rotation after the turns of neck and head, from the scene of the generator `anny`."""

    fields = (Field("head_rotation", "json", frame="camera", description="rows of a rotation, head to camera"),)

    def __init__(self, config: RotationConfig) -> None: ...

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        head = rendering.scene.parameters.get("head", {})
        if "neck" not in head:
            raise AnnotationError("head-rotation reads the neck of a scene of anny; this one has none")
        rotation = rendering.camera.world_to_camera[:3, :3] @ turn(head["neck"]) @ turn(head["head"])
        return {"head_rotation": rotation.tolist()}


@dataclass
class HeadPoseConfig:
    weight: float = 1.0


class RotationTarget:
    """Rotations are the same in every crop; they turn with the picture, and flip with it."""

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        return np.asarray(value, np.float32)

    def move(self, value: Any, moved: Any) -> dict[str, Any]:
        import torch

        rolled = torch.cat([moved.turn @ value[:, :2], value[:, 2:]], dim=1)
        # A mirrored head is one whose own left and right change places as well.
        return {"rotation": torch.where(moved.flipped[:, None, None], rolled * _left_right(value), rolled)}


class HeadPose(Task):
    """The rotation of the head as `rotation` (B,3,3)."""

    name = "headpose"
    output = "rotation"
    fields = ("head_rotation",)
    meaning = "rotation of the head, from its own axes to the camera's"
    error = FaceError("angle", "degrees", limit=90.0)

    def __init__(self, config: HeadPoseConfig) -> None:
        self.config, self.weight = config, config.weight

    def build_head(self, channels: int) -> Any:
        from .network import RotationHead

        return RotationHead(channels)

    def build_adapter(self, schema: str, channels: int) -> Any:
        from .network import RotationAdapter

        return RotationAdapter()

    def target_plan(self, field: Field, schema: str) -> RotationTarget:
        return RotationTarget()

    def loss(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
        return (prediction["rotation"] - target["rotation"]).square().sum((1, 2)).mean()

    def metrics(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        trace = (prediction["rotation"] * target["rotation"]).sum((1, 2))
        angle = torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))
        return {"angle_deg": torch.stack([angle.sum(), torch.tensor(float(len(angle)), device=angle.device)])}

    def example_target(self, count: int, size: int) -> dict[str, Any]:
        import torch

        rotations = [turn((0.1 * i, 0.3, 0.0)) @ np.diag([1.0, -1.0, -1.0]) for i in range(count)]
        return {"rotation": torch.from_numpy(np.stack(rotations)).float()}

    def flip(self, prediction: Mapping[str, Any], schema: str) -> dict[str, Any]:
        rotation = prediction["rotation"]
        sides = _left_right(rotation)
        return {"rotation": sides.view(3, 1) * rotation * sides}

    def mean(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The rotation nearest to the mean of the numbers."""
        import torch

        u, _, vt = torch.linalg.svd(super().mean(predictions)["rotation"])
        proper = torch.linalg.det(u @ vt)
        return {"rotation": torch.cat([u[:, :, :2], u[:, :, 2:] * proper[:, None, None]], dim=2) @ vt}


def _left_right(like: Any) -> Any:
    return like.new_tensor([-1.0, 1.0, 1.0])


@dataclass
class PosedConfig:
    root: str = MISSING
    task: str = "headpose"


class PosedFaces(Benchmark):
    """Folders `train`, `val`, `test` of NAME.npz with `image`, `box`, `headpose` and `normals`."""

    splits = ("train", "val", "test")
    crop_scale = 1.3
    schema = ""

    def __init__(self, config: PosedConfig) -> None:
        self.root, self.task = Path(config.root), config.task

    def items(self, split: str) -> list[RealItem]:
        files = sorted((self.root / split).glob("*.npz"))
        if not files:
            raise DataError(f"posed-faces: no .npz files in {self.root / split}")
        return [RealItem(f"{split}/{path.stem}", path, path) for path in files]

    def load(self, item: RealItem) -> RealSample:
        with np.load(item.image) as data:
            x0, y0, x1, y1 = data["box"].tolist()
            return RealSample(item, data["image"], (x0, y0, x1, y1), data[self.task])

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        from synthforge.evaluation.scoring import score_mean

        if self.task == "headpose":
            return score_mean(results, "angle", "degrees", lambda s, found: angle_between(s.target, found))
        return score_mean(results, "error", "", lambda s, found: float(np.abs(s.target - found).mean()))


@hookimpl
def register_annotators(register):
    register("head-rotation", HeadRotation, config=RotationConfig, summary="how the head is turned before the camera")


@hookimpl
def register_tasks(register):
    register("headpose", HeadPose, config=HeadPoseConfig, summary="the rotation of the head")


@hookimpl
def register_benchmarks(register):
    register("posed-faces", PosedFaces, config=PosedConfig, summary="faces with known rotations and normals")
