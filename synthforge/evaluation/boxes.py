"""Where the face box of a crop comes from: the annotation, a disturbed copy of it, or a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from ..datasets import crops

#: the first is the default; `ground-truth` is accepted for `truth`
MODES = ("truth", "jitter", "detector")
#: a photograph (H,W,3) uint8 -> face boxes (x0, y0, x1, y1) in its pixels, drawn as tight boxes around landmarks are
Finder = Callable[[np.ndarray], Sequence[crops.Box]]

JITTER_SHIFT, JITTER_SCALE = 0.10, 0.20
#: a found box belongs to an annotated face when their intersection over union is at least this
LEAST_OVERLAP = 0.3


def box_mode(name: str) -> str:
    """The name of a mode, however it was spelled. Raises ValueError for one that does not exist."""
    mode = "truth" if name == "ground-truth" else name
    if mode not in MODES:
        raise ValueError(f"box is one of {', '.join(MODES)}; got '{name}'")
    return mode


def jittered(box: crops.Box, key: str) -> crops.Box:
    """A face box as a poor detector would give it, drawn from the face's key alone.

    The centre moves by up to JITTER_SHIFT of the larger side along each axis and both sides are multiplied by
    1 - JITTER_SCALE to 1 + JITTER_SCALE; all three are uniform and independent.
    """
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    dx, dy, grow = np.random.default_rng(seed).uniform(-1.0, 1.0, 3)
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    cx, cy = (x0 + x1) / 2 + JITTER_SHIFT * dx * side, (y0 + y1) / 2 + JITTER_SHIFT * dy * side
    half = float(1.0 + JITTER_SCALE * grow) / 2
    width, height = (x1 - x0) * half, (y1 - y0) * half
    return cx - width, cy - height, cx + width, cy + height


def overlap(a: crops.Box, b: crops.Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both
    return both / whole if whole > 0 else 0.0


def matching(truth: crops.Box, found: Sequence[crops.Box], least: float = LEAST_OVERLAP) -> crops.Box | None:
    """The found box that overlaps the annotated one most; None when none overlaps it by at least `least`."""
    best = max(found, key=lambda box: overlap(truth, box), default=None)
    return best if best is not None and overlap(truth, best) >= least else None
