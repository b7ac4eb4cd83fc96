"""The filter `visible`: enough of the face in the picture, by the sample's own landmarks; no detector, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Filter
from synthforge.core.records import Rendering, Verdict

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class VisibleConfig:
    """landmarks: least number of landmarks that must be visible; inside: least share of them that must lie in the
    image, hidden or not; share: least and most of the image's area that the face may take, the face being the convex
    hull of its landmarks, cut off at the image's edges.
    """

    landmarks: int = 30
    inside: float = 0.75
    min_share: float = 0.01
    max_share: float = 1.0

    def __post_init__(self) -> None:
        if self.landmarks < 0:
            raise ValueError(f"landmarks must be a number from 0 on, got {self.landmarks}")
        if not 0 <= self.inside <= 1:
            raise ValueError(f"inside must lie in 0..1, got {self.inside}")
        if not 0 <= self.min_share <= self.max_share <= 1:
            raise ValueError(f"0 <= min_share <= max_share <= 1 is needed, got {self.min_share} and {self.max_share}")


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
