"""Head pose in degrees, for figures by pose: exact from points in space, estimated from annotated points in an image.

All angles are relative to the camera's axis. Yaw is positive when the nose points to image right (the subject's
left), pitch when it points up, roll when the head turns clockwise in the image. The face's plane is that of
the outer eye corners and the mouth corners. So a head that looks straight ahead has a pitch of some degrees, constant
for one person.
"""

from __future__ import annotations

import numpy as np

from ..core.camera import Camera

_NOSE_TIP, _JAW_ENDS = 30, (0, 16)
_EYES, _MOUTH = slice(36, 48), (48, 54)
_EYE_CORNERS = (36, 45)
# atan(k * ratio) fitted to 625 rendered faces (yaw -71 to 57 degrees, exact from their points in space): mean error 2.5
# degrees, 95 % below 7.4, correlation 0.99. Never fitted to photographs, which come without a pose.
_YAW_SLOPE = 0.686


def pose_in_space(points: np.ndarray, camera: Camera) -> dict[str, float]:
    """Yaw, pitch and roll of iBUG's 68 points (68,3) in world metres as this camera sees them."""
    pose = np.asarray(camera.world_to_camera, np.float64)
    seen = np.asarray(points, np.float64) @ pose[:3, :3].T + pose[:3, 3]
    right = _unit(seen[_EYE_CORNERS[1]] - seen[_EYE_CORNERS[0]])
    down = seen[list(_MOUTH)].mean(axis=0) - seen[list(_EYE_CORNERS)].mean(axis=0)
    down = _unit(down - right * (down @ right))
    return angles(right, np.cross(down, right))  # out of the face: x right and y down give z into it


def angles(right: np.ndarray, forward: np.ndarray) -> dict[str, float]:
    """Yaw, pitch and roll of unit vectors (3,) in the camera frame: to the subject's left, and out of the face."""
    return {
        "yaw": float(np.degrees(np.arctan2(forward[0], -forward[2]))),
        "pitch": float(np.degrees(np.arcsin(np.clip(-forward[1], -1.0, 1.0)))),
        "roll": float(np.degrees(np.arctan2(right[1], right[0]))),
    }


def yaw_in_image(points: np.ndarray) -> float:
    """An estimate of the yaw from 68 annotated points (68,2): how far the nose tip is off the middle of the jaw's ends.

    Measured across the line from the eyes to the mouth, so roll does not count. NaN where that line has no length.
    """
    points = np.asarray(points, np.float64)
    down = points[list(_MOUTH)].mean(axis=0) - points[_EYES].mean(axis=0)
    if not np.linalg.norm(down) > 0:
        return float("nan")
    across = points @ np.array([down[1], -down[0]]) / np.linalg.norm(down)
    low, high = across[list(_JAW_ENDS)]
    if high <= low:
        return float("nan")
    ratio = (2 * across[_NOSE_TIP] - low - high) / (high - low)
    return float(np.degrees(np.arctan(_YAW_SLOPE * ratio)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
