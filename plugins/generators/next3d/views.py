"""Cameras of the published networks, and their outputs as pictures and metric depth."""

from __future__ import annotations

from math import atan2, cos, hypot, pi, sin, sqrt, tan

import numpy as np
import torch
import torch.nn.functional as F

from synthforge.core.camera import Camera
from synthforge.geometry.cameras import camera_to_eg3d, orbit_camera, ray_lengths

PIVOT = (0.0, 0.0, 0.2)  # what cameras look at, volume units
_CLEAR = 0.5  # less opacity than this along a ray is no surface


def volume_camera(azimuth: float, elevation: float, radius: float, diagonal_fov: float, size: int) -> Camera:
    """A camera in volume units, on a sphere about the origin, looking at the pivot.

    Args: azimuth and elevation in radians, positive to the subject's left and upwards; radius in volume units;
    diagonal_fov in degrees over the image's diagonal, as the published intrinsics count it; size in pixels.
    """
    place = radius * np.array([sin(azimuth) * cos(elevation), sin(elevation), cos(azimuth) * cos(elevation)])
    away = place - PIVOT
    horizontal = 2 * atan2(tan(diagonal_fov * pi / 360), sqrt(2))
    return orbit_camera(
        atan2(away[0], away[2]),
        atan2(away[1], hypot(away[0], away[2])),
        float(np.linalg.norm(away)),
        horizontal * 180 / pi,
        size,
        size,
        target=PIVOT,
    )


def metric(camera: Camera, scale: float) -> Camera:
    """The same view of the world in metres; scale: volume units to the metre."""
    pose = camera.world_to_camera.copy()
    pose[:3, 3] /= scale
    return Camera(camera.width, camera.height, camera.intrinsics, pose)


def label(cameras: list[Camera]) -> torch.Tensor:
    """(B,25) float32 as the networks take it."""
    return torch.tensor(np.stack([camera_to_eg3d(camera) for camera in cameras]), dtype=torch.float32)


def picture(image: torch.Tensor, resolution: int) -> np.ndarray:
    """Image (3,N,N) in [-1,1] as (resolution,resolution,3) uint8."""
    if image.shape[-1] != resolution:
        image = F.interpolate(image[None], size=(resolution, resolution), mode="bilinear", antialias=True)[0]
    return (image * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def metric_depth(
    distance: torch.Tensor, opacity: torch.Tensor, camera: Camera, scale: float, resolution: int
) -> np.ndarray:
    """Camera z (resolution,resolution) float32 in metres, 0 where the volume is clear.

    distance (n,n): expected ray distance in volume units through the pixel centres of an n x n image; opacity (n,n).
    """
    size = len(distance)
    small = camera.resized(size, size)
    z = distance.double().cpu().numpy() / ray_lengths(small) / scale
    z = np.where(opacity.cpu().numpy() >= _CLEAR, z, np.nan)
    if size != resolution:
        z = F.interpolate(torch.from_numpy(z)[None, None], size=(resolution, resolution), mode="bilinear")[0, 0].numpy()
    return np.nan_to_num(z, nan=0.0).astype(np.float32)
