"""The filter `visible`: enough of the face in the picture, by the sample's own landmarks; no detector, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Filter
from synthforge.core.records import Rendering, Verdict

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class VisibleConfig:
    """Enough of the face in the picture. The face is the convex hull of its landmarks, cut off at the image's edges."""

    landmarks: int = key(30, "Least number of visible landmarks.", low=0)
    inside: float = key(0.75, "Least share of the landmarks that lie in the image, hidden or not.", low=0, high=1)
    min_share: float = key(0.01, "Least share of the image's area that the face takes.", low=0, high=1)
    max_share: float = key(1.0, "Largest share of the image's area that the face takes.", low=0, high=1)

    def __post_init__(self) -> None:
        if self.min_share > self.max_share:
            raise ValueError(f"max_share: {self.max_share:g} lies below min_share ({self.min_share:g})")


class VisibleFilter(Filter):
    """Counts visible landmarks and measures how much of the image the face takes."""

    fields = ("landmarks2d", "landmark_visibility")

    def __init__(self, config: VisibleConfig) -> None:
        self.config = config

    def judge(self, rendering: Rendering, annotations: Mapping[str, Any]) -> Verdict:
        """See `Filter.judge`."""
        config = self.config
        height, width = rendering.image.shape[:2]
        points = np.asarray(annotations["landmarks2d"], np.float64)
        inside = (np.isfinite(points) & (points >= 0) & (points < (width, height))).all(-1).mean()
        figures = {
            "visible_landmarks": float(np.asarray(annotations["landmark_visibility"]).sum()),
            "inside": round(float(inside), 4),
            "face_share": round(face_share(points, width, height), 4),
        }
        checks = {
            "too few landmarks are visible": figures["visible_landmarks"] < config.landmarks,
            "too much of the face lies outside the image": figures["inside"] < config.inside,
            "the face is too small": figures["face_share"] < config.min_share,
            "the face is too large": figures["face_share"] > config.max_share,
        }
        reason = next((text for text, failed in checks.items() if failed), "")
        return Verdict(not reason, reason, figures)


def face_share(points: np.ndarray, width: int, height: int) -> float:
    """Area of the convex hull of points (N,2) in pixels, within the image, over the image's; points that are not finite
    are left out."""
    from PIL import Image, ImageDraw
    from scipy.spatial import ConvexHull, QhullError

    finite = points[np.isfinite(points).all(-1)]
    try:
        corners = finite[ConvexHull(finite).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on a line
        return 0.0
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([(float(x) - 0.5, float(y) - 0.5) for x, y in corners], fill=1)
    return float(np.asarray(canvas).mean())


@hookimpl
def register_filters(register: Register) -> None:
    """Offer the filter `visible`."""
    register(
        "visible",
        VisibleFilter,
        config=VisibleConfig,
        summary="keeps faces that are in the picture, large enough and not hidden, by the sample's own landmarks",
    )
