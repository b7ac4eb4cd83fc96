"""MediaPipe's 478 points as iBUG's 68: the vertices nearest to them, and a jaw at equal steps on the mesh's outline."""

from __future__ import annotations

import numpy as np

from synthforge.core.schemas import PointMapping

#: vertices of the outline, ear to chin and chin to ear
OUTLINE = (
    (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356),
)
#: vertices at iBUG's points 17 to 67
INNER = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 6, 195, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 81, 13, 311, 308, 402, 14, 178),
)


def along(line: np.ndarray, count: int) -> np.ndarray:
    """Points (count,2) at equal steps on a polyline (N,2), its ends included."""
    lengths = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    places = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(places, lengths, line[:, axis]) for axis in (0, 1)], axis=1)


def to_ibug(points: np.ndarray) -> np.ndarray:
    """See `PointMapping.translate`; z is not known."""
    right, left = (along(points[list(half), :2], 9) for half in OUTLINE)
    found = np.concatenate([right, left[1:], points[list(INNER), :2]])
    return np.concatenate([found, np.full((len(found), 1), np.nan)], axis=1)


MAPPING = PointMapping("mediapipe478", "ibug68", to_ibug)
