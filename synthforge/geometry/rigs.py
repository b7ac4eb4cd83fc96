"""Rigs of cameras: where the cameras stand that see one scene, relative to a first camera that looks at a point.

Frames and units as in `synthforge.core.camera`; angles are radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.camera import Camera
from ..core.keys import key

RIGS = ("none", "ring", "arc", "stereo", "nir-pair")
_CAMERAS = {"none": 1, "ring": 8, "arc": 5, "stereo": 2, "nir-pair": 2}


@dataclass(frozen=True)
class Placement:
    """One camera of a rig. azimuth, elevation: radians further along the first camera's orbit; aside: metres to the
    right of where it would stand, its axes unturned; infrared: whether it sees near infrared instead of colour."""

    azimuth: float = 0.0
    elevation: float = 0.0
    aside: float = 0.0
    infrared: bool = False


@dataclass
class RigConfig:
    """Several cameras that see each scene. All have the first one's distance, field of view and roll."""

    kind: str = key(
        "none",
        "ring: all around; arc: a part of it, the drawn camera in its middle; stereo: side by side with parallel axes; "
        "nir-pair: a colour camera and beside it one for near infrared.",
        choices=RIGS,
    )
    cameras: int = key(0, "Number of cameras a level; 0 is 8 in a ring, 5 in an arc, else 2.", low=0, high=1000)
    span: float = key(
        math.pi / 2, "Angle between the first and the last camera of an arc.", unit="rad", above=0, high=2 * math.pi
    )
    levels: list[float] = key(  # noqa: RUF009
        [0.0], "Elevations of the levels, added to the drawn camera's.", unit="rad", low=-3, high=3
    )
    baseline: float = key(0.065, "Distance between neighbours side by side.", unit="m", above=0, high=2)

    def __post_init__(self) -> None:
        """Raises ValueError for numbers of cameras that a kind cannot have."""
        if self.kind == "none" and self.cameras > 1:
            raise ValueError(f"cameras: {self.cameras} cameras need a kind: {', '.join(RIGS[1:])}")
        if self.kind == "nir-pair" and self.cameras not in (0, 2):
            raise ValueError(f"cameras: a nir-pair has 2 cameras, not {self.cameras}")
        if self.kind != "none" and self.cameras == 1:
            raise ValueError("cameras: a rig has two cameras or more")
        if not self.levels:
            raise ValueError("levels: a rig needs at least one level")

    def placements(self) -> list[Placement]:
        """The cameras in order: along each level towards the subject's left, side by side from left to right."""
        if self.kind == "none":
            return [Placement()]
        count = self.cameras or _CAMERAS[self.kind]
        middle = np.arange(count) - (count - 1) / 2
        around: np.ndarray = 0.0 * middle
        aside: np.ndarray = 0.0 * middle
        if self.kind == "ring":
            around = 2 * math.pi / count * np.arange(count)
        elif self.kind == "arc":
            around = self.span / (count - 1) * middle
        else:
            aside = self.baseline * middle
        return [
            Placement(float(around[k]), level, float(aside[k]), self.kind == "nir-pair" and k == 1)
            for level in self.levels
            for k in range(count)
        ]


def carried(camera: Camera, pivot: np.ndarray, turn: np.ndarray, step: np.ndarray) -> Camera:
    """The camera after a rigid motion of what holds it: turned about `pivot` (3,) by the rotation vector `turn` (3,),
    then moved by `step` (3,); world axes, metres."""
    from scipy.spatial.transform import Rotation

    motion = Rotation.from_rotvec(turn).as_matrix()
    rotation = camera.world_to_camera[:3, :3] @ motion.T
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ (pivot + motion @ (camera.position - pivot) + step)
    return Camera(camera.width, camera.height, camera.intrinsics, pose)


def triangulate(cameras: list[Camera], pixels: np.ndarray) -> np.ndarray:
    """Points (N,3) in the world seen by C cameras at pixels (C,N,2): least squares over all rays, then over pixels.

    The linear solution (Hartley & Zisserman 2004, section 12.2) is refined by two Gauss-Newton steps on the
    reprojection. Pixels that are NaN do not count. Raises ValueError where fewer than two cameras see a point.
    """
    pixels = np.asarray(pixels, np.float64)
    seen = np.isfinite(pixels).all(-1)
    if (seen.sum(0) < 2).any():
        raise ValueError("a point is seen by fewer than two cameras")
    matrices = np.stack([camera.intrinsics @ camera.world_to_camera[:3] for camera in cameras])
    flat = np.where(seen[..., None], pixels, 0.0)
    rows = flat[..., None] * matrices[:, None, 2:3] - matrices[:, None, :2]
    rows /= np.linalg.norm(rows[..., :3], axis=-1, keepdims=True)
    rows = np.moveaxis(rows * seen[..., None, None], 1, 0).reshape(pixels.shape[1], -1, 4)
    points = np.linalg.svd(rows)[2][:, -1]
    points = points[:, :3] / points[:, 3:]
    for _ in range(2):
        image = np.einsum("cij,nj->cni", matrices[:, :, :3], points) + matrices[:, None, :, 3]
        flow = matrices[:, None, :2, :3] / image[..., 2, None, None]
        flow = flow - (image[..., :2, None] * matrices[:, None, 2:3, :3]) / image[..., 2, None, None] ** 2
        error = np.where(seen[..., None], flat - image[..., :2] / image[..., 2:], 0.0)
        flow = flow * seen[..., None, None]
        normal = np.einsum("cnki,cnkj->nij", flow, flow)
        points = points + np.linalg.solve(normal, np.einsum("cnki,cnk->ni", flow, error)[..., None])[..., 0]
    return points
