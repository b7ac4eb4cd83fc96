"""The pinhole camera that all generators, annotators and files share. numpy only, cheap to import.

Frames and units: the world is right-handed, y up, metres. The camera frame has OpenCV axes (x right, y down,
z forward). Pixels are continuous coordinates: the first pixel spans [0, 1] and its centre lies at 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import UserError

Array = npt.NDArray[np.float64]

ROTATION_TOLERANCE = 1e-4  # float32 matrices read from files are orthonormal to about 1e-6


class CameraError(UserError, ValueError):
    """A camera whose numbers cannot be a pinhole camera."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; immutable, its arrays are read-only copies.

    Args:
        width, height: image size in pixels, positive.
        intrinsics: (3, 3) `[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]` in pixels, focal lengths positive.
        world_to_camera: (4, 4) rigid transform from world metres to camera metres.

    Raises:
        CameraError: wrong shape, a value that is not finite, a matrix of another form than above.
    """

    width: int
    height: int
    intrinsics: Array
    world_to_camera: Array

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise CameraError(f"camera {name} must be a positive whole number of pixels, got {value!r}")
            object.__setattr__(self, name, int(value))
        intrinsics = _matrix("intrinsics", self.intrinsics, 3)
        pose = _matrix("world_to_camera", self.world_to_camera, 4)
        if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
            raise CameraError(
                f"focal lengths must be positive, got fx={intrinsics[0, 0]:g}, fy={intrinsics[1, 1]:g}",
                hint="flip the camera axes (OpenCV: x right, y down, z forward) instead of the focal length",
            )
        if intrinsics[1, 0] != 0 or not np.array_equal(intrinsics[2], [0, 0, 1]):
            raise CameraError(
                f"camera intrinsics must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]], got {intrinsics.tolist()}"
            )
        if not np.allclose(pose[3], [0, 0, 0, 1], rtol=0, atol=1e-9):
            raise CameraError(
                f"the last row of world_to_camera must be [0, 0, 0, 1], got {pose[3].tolist()}",
                hint="is the matrix transposed?",
            )
        rotation = pose[:3, :3]
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if error > ROTATION_TOLERANCE:
            raise CameraError(
                f"the rotation in world_to_camera is not orthonormal (off by {error:.2g})",
                hint="remove scale and shear: the world and the camera are both in metres",
            )
        if np.linalg.det(rotation) < 0:
            raise CameraError(
                "the rotation in world_to_camera mirrors the world (determinant -1)",
                hint="camera axes are OpenCV's: x right, y down, z forward, right-handed",
            )
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "world_to_camera", pose)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Camera):
            return NotImplemented
        return (
            (self.width, self.height) == (other.width, other.height)
            and np.array_equal(self.intrinsics, other.intrinsics)
            and np.array_equal(self.world_to_camera, other.world_to_camera)
        )

    def __hash__(self) -> int:
        return hash((self.width, self.height, self.intrinsics.tobytes(), self.world_to_camera.tobytes()))

    @property
    def position(self) -> Array:
        """Camera centre in the world, (3,) metres."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]

    @property
    def camera_to_world(self) -> Array:
        """Inverse of `world_to_camera`, (4, 4)."""
        inverse = np.eye(4)
        inverse[:3, :3] = self.world_to_camera[:3, :3].T
        inverse[:3, 3] = self.position
        return inverse

    def to_camera(self, points: npt.ArrayLike) -> Array:
        """World points (..., 3) in metres to the camera frame (..., 3)."""
        return _points(points, 3) @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]

    def project(self, points: npt.ArrayLike) -> tuple[Array, Array]:
        """World points (..., 3) in metres to pixels (..., 2) and z depth (...) in metres.

        A point on or behind the camera plane (z <= 0) has no image: its pixels are NaN, its z is returned.
        """
        in_camera = self.to_camera(points)
        z = in_camera[..., 2]
        scale = np.where(z > 0, z, np.nan)
        return (in_camera @ self.intrinsics.T)[..., :2] / scale[..., None], z

    def unproject(self, pixels: npt.ArrayLike, z: npt.ArrayLike) -> Array:
        """Pixels (..., 2) at z depth (...) in metres to world points (..., 3); the inverse of `project`."""
        image = _points(pixels, 2)
        depth = np.broadcast_to(np.asarray(z, dtype=np.float64), image.shape[:-1])
        homogeneous = np.concatenate([image, np.ones_like(image[..., :1])], axis=-1)
        in_camera = homogeneous @ np.linalg.inv(self.intrinsics).T * depth[..., None]
        return (in_camera - self.world_to_camera[:3, 3]) @ self.world_to_camera[:3, :3]

    def resized(self, width: int, height: int) -> Camera:
        """The same view on another pixel grid; a new aspect ratio makes pixels that are not square."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return Camera(width, height, scale @ self.intrinsics, self.world_to_camera)

    def crop(self, left: float, top: float, width: int, height: int) -> Camera:
        """The window of `width` x `height` pixels with its upper left corner at (left, top).

        The corner may be fractional and the window may reach outside the image.
        """
        shifted = self.intrinsics.copy()
        shifted[:2, 2] -= (left, top)
        return Camera(width, height, shifted, self.world_to_camera)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists for `json.dumps`; exact, since JSON numbers print float64 in full."""
        return {
            "width": self.width,
            "height": self.height,
            "intrinsics": self.intrinsics.tolist(),
            "world_to_camera": self.world_to_camera.tolist(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Camera:
        """The camera written by `to_json`.

        Raises:
            CameraError: a key is missing or a value is wrong.
        """
        try:
            return cls(record["width"], record["height"], record["intrinsics"], record["world_to_camera"])
        except (KeyError, TypeError) as error:
            raise CameraError(
                f"not a camera record: {error}",
                hint="a camera has the keys width, height, intrinsics (3x3) and world_to_camera (4x4)",
            ) from error


def _matrix(name: str, value: npt.ArrayLike, size: int) -> Array:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CameraError(f"camera {name} is not a matrix of numbers: {error}") from error
    if matrix.shape != (size, size):
        raise CameraError(f"camera {name} must have shape ({size}, {size}), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise CameraError(f"camera {name} holds a value that is not finite: {matrix.tolist()}")
    matrix.setflags(write=False)
    return matrix


def _points(value: npt.ArrayLike, components: int) -> Array:
    points = np.asarray(value, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != components:
        raise CameraError(f"expected points of shape (..., {components}), got {points.shape}")
    return points
