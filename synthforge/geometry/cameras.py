"""Placing cameras around a head, other projects' camera records, depth conventions, projection in torch.

Frames and units as in `synthforge.core.camera`. World: y up, metres; the head faces +z and the subject's left is +x.
Camera: OpenCV's axes (x right, y down, z forward). Angles are radians unless the name says degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from synthforge.core.camera import Camera, CameraError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]


def orbit_direction(azimuth: float, elevation: float) -> Array:
    """From the middle of an orbit to a camera on it, (3,) of length 1; angles as `orbit_camera` takes them."""
    across = math.cos(elevation)
    return np.array([math.sin(azimuth) * across, math.sin(elevation), math.cos(azimuth) * across])


def orbit_camera(
    azimuth: float,
    elevation: float,
    radius: float,
    fov_degrees: float,
    width: int,
    height: int,
    target: Sequence[float] = (0.0, 0.0, 0.0),
    roll: float = 0.0,
) -> Camera:
    """A camera on a sphere around `target`, looking at it.

    Args:
        azimuth: radians about the world's y axis; 0 looks at the face from +z, positive moves the camera to
            the subject's left (+x).
        elevation: radians in [-pi/2, pi/2]; positive moves the camera up (+y). At the poles the picture is
            the limit of approaching the pole at this azimuth.
        radius: distance from camera to target, metres, positive.
        fov_degrees: full horizontal field of view in degrees, in (0, 180);
            fx = fy = width / (2 tan(fov / 2)).
        width, height: pixels. The principal point is the image centre (width / 2, height / 2).
        target: the point looked at, world metres; it projects to the image centre.
        roll: radians about the viewing axis; positive turns the camera clockwise as seen from behind it, so
            the picture turns counter-clockwise.

    Raises:
        CameraError: an angle, the radius or the field of view is out of range.
    """
    if not 0 < fov_degrees < 180:
        raise CameraError(f"the field of view must lie between 0 and 180 degrees, got {fov_degrees:g}")
    if not (math.isfinite(radius) and radius > 0):
        raise CameraError(f"the orbit radius must be positive metres, got {radius:g}")
    if not abs(elevation) <= math.pi / 2 + 1e-9:
        raise CameraError(
            f"the elevation must lie in [-pi/2, pi/2], got {elevation:g}",
            hint="angles of orbit_camera are radians",
        )
    ca, sa, ce, se = math.cos(azimuth), math.sin(azimuth), math.cos(elevation), math.sin(elevation)
    backward = orbit_direction(azimuth, elevation)
    right = np.array([ca, 0.0, -sa])
    down = np.array([sa * se, -ce, ca * se])
    cr, sr = math.cos(roll), math.sin(roll)
    rotation = np.stack([cr * right + sr * down, cr * down - sr * right, -backward])
    position = np.asarray(target, dtype=np.float64) + radius * backward
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ position
    focal = width / (2 * math.tan(math.radians(fov_degrees) / 2))
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(width, height, intrinsics, pose)


def camera_from_eg3d(label: npt.ArrayLike, width: int, height: int) -> Camera:
    """The 25-number camera of EG3D and Next3D as a `Camera`.

    Args:
        label: (25,) camera-to-world 4x4, row-major, OpenCV axes, then intrinsics 3x3 with focal lengths and
            principal point divided by the image size.
        width, height: pixels of the image to describe.

    Raises:
        CameraError: not 25 numbers, or they are no camera.
    """
    numbers = np.asarray(label, dtype=np.float64).reshape(-1)
    if numbers.shape != (25,):
        raise CameraError(f"an EG3D camera has 25 numbers, got {numbers.size}")
    camera_to_world = numbers[:16].reshape(4, 4)
    # Not a general inverse: float32 labels are rigid only to about 1e-7, and a transpose keeps them so.
    rotation = camera_to_world[:3, :3].T
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ camera_to_world[:3, 3]
    intrinsics = np.diag([width, height, 1.0]) @ numbers[16:].reshape(3, 3)
    return Camera(width, height, intrinsics, pose)


def camera_to_eg3d(camera: Camera) -> Array:
    """`camera` as the (25,) float64 numbers of EG3D and Next3D; see `camera_from_eg3d`."""
    normalised = np.diag([1 / camera.width, 1 / camera.height, 1.0]) @ camera.intrinsics
    return np.concatenate([camera.camera_to_world.reshape(-1), normalised.reshape(-1)])


def ray_lengths(camera: Camera) -> Array:
    """(height, width): ray distance of a surface at z depth 1 m, seen through each pixel's centre."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    return np.asarray(np.linalg.norm(rays, axis=-1))


def z_to_distance(z: npt.NDArray[Any], camera: Camera) -> npt.NDArray[Any]:
    """z depth (..., height, width) in metres to distance from the camera centre along each pixel's ray."""
    _same_size(z, camera)
    return z * ray_lengths(camera).astype(z.dtype)


def _same_size(depth: npt.NDArray[Any], camera: Camera) -> None:
    if depth.shape[-2:] != (camera.height, camera.width):
        raise CameraError(
            f"a depth map of {depth.shape[-2:]} (height, width) does not fit a camera of "
            f"{(camera.height, camera.width)}"
        )


def stack_cameras(
    cameras: Sequence[Camera], device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cameras as tensors: intrinsics (B, 3, 3) pixels, world_to_camera (B, 4, 4); float32 by default."""
    import torch

    intrinsics = np.stack([camera.intrinsics for camera in cameras])
    poses = np.stack([camera.world_to_camera for camera in cameras])
    kind = dtype or torch.float32
    return torch.tensor(intrinsics, dtype=kind, device=device), torch.tensor(poses, dtype=kind, device=device)


def to_camera_torch(points: torch.Tensor, world_to_camera: torch.Tensor) -> torch.Tensor:
    """World points (B, N, 3) or (N, 3) into the camera frames of `world_to_camera` (B, 4, 4): (B, N, 3)."""
    return points @ world_to_camera[:, :3, :3].mT + world_to_camera[:, None, :3, 3]
