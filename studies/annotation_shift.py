"""Do the annotated eye points of 300W lie where the eyes are? Measured without any model, by how dark an iris is.

    python studies/annotation_shift.py DIR          DIR: a folder of 300W (afw/, helen/, lfpw/)

In every frontal face with open eyes, a disc as large as an iris slides over each eye; where it is darkest
against the ring around it lies the iris. People look left as often as right, so the mean offset of irises from the
middle of their six points is 0 where images and points agree. Pixels of the photograph, positive to image right; both
eyes of a face count as one measurement. Eyes that look aside spread the figure and do not move it: read it with its
standard error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.schemas import IBUG68

from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.evaluation.pose import yaw_in_image

EYES = (slice(36, 42), slice(42, 48))
SMALLEST = 90  # pixels between the outer eye corners: below, an iris is too few pixels
IRIS, RING = 0.2, 0.28  # radius of the disc and of the ring around it, in widths of the eye opening
OPEN = 0.2  # height of an open eye in its widths
FRONTAL = 5.0  # degrees of yaw either way


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="300W's folder")
    parser.add_argument("--limit", type=int, default=0, help="use only so many faces, 0 for all")
    options = parser.parse_args()
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(options.root)}, where="perf")
    items = benchmark.items("all-train")[: options.limit or None]
    found = []
    with progress_bar("irises", len(items), unit="faces") as advance:
        for item in items:
            sample = benchmark.load(item)
            if (offset := iris_offset(sample.image, np.asarray(sample.target))) is not None:
                found.append(offset)
            advance(1)
    if len(found) < 2:
        print(f"fewer than two of {len(items)} faces are large, frontal and look with both eyes")
        return
    offsets = np.array(found)
    error = offsets.std() / np.sqrt(len(offsets))
    print(f"{len(offsets)} of {len(items)} faces are large, frontal and look with both eyes")
    print(f"irises against annotated eyes, pixels to image right: mean {offsets.mean():+.2f} +- {error:.2f}", end="")
    print(f", median {np.median(offsets):+.2f}")


def iris_offset(image: np.ndarray, points: np.ndarray) -> float | None:
    """Mean x offset of both irises from their eyes' middles, pixels; None for a face that is not fit to tell.

    image (H,W,3) uint8; points (68,2) in pixels with centres at i + 0.5.
    """
    right, left = IBUG68.eye_corners
    if np.linalg.norm(points[left] - points[right]) < SMALLEST or abs(yaw_in_image(points)) > FRONTAL:
        return None
    grey = image.astype(np.float64).mean(axis=2)
    offsets = [offset for eye in EYES if (offset := eye_offset(grey, points[eye])) is not None]
    return float(np.mean(offsets)) if len(offsets) == len(EYES) else None


def eye_offset(grey: np.ndarray, eye: np.ndarray) -> float | None:
    """x offset of the iris from the mean of an eye's six points, pixels; None where it is shut or off the picture."""
    width = float(np.linalg.norm(eye[3] - eye[0]))
    if eye[4:6, 1].mean() - eye[1:3, 1].mean() < OPEN * width:
        return None
    middle = eye.mean(axis=0)
    low = np.floor(middle - width).astype(int)
    high = np.ceil(middle + width).astype(int)
    if low.min() < 0 or (high > grey.shape[::-1]).any():
        return None
    patch = grey[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
    best, where = -np.inf, 0.0
    for dx in np.arange(-0.3, 0.301, 0.02) * width:
        for dy in np.array([-0.05, 0.0, 0.05]) * width:
            away = np.hypot(x - middle[0] - dx, y - middle[1] - dy)
            # lids cover an iris above and below: only its sides are compared
            ring = (away > IRIS * width) & (away < RING * width) & (np.abs(y - middle[1] - dy) < 0.6 * IRIS * width)
            contrast = patch[ring].mean() - patch[away < IRIS * width].mean()
            if contrast > best:
                best, where = contrast, float(dx)
    return where


if __name__ == "__main__":
    main()
