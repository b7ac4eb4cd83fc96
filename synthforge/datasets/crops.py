"""Square crops of photographs and the affine maps that tie them to their pixels.

One convention, everywhere: coordinates are continuous, pixel i covers [i, i + 1) and its centre lies at i + 0.5. A
crop maps the box's corners to the crop's corners, so there is no half-pixel term to remember or to forget. Every matrix
here is (2,3) float64 and takes image pixel coordinates to crop pixel coordinates.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image

from ..core.frames import Box as Box
from ..core.frames import CropFrame
from ..core.frames import apply as apply
from ..core.frames import invert as invert
from ..core.schemas import IGNORE

Padding = Literal["zero", "edge"]

# A box this large is a mistake, and the padding around it would fill the memory.
MAX_SIDE = 20_000


def tight_box(points: np.ndarray) -> Box:
    """The box (x0, y0, x1, y1) around points (N,2)."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def square_box(box: Box, scale: float = 1.0) -> Box:
    """The square around `box` (x0, y0, x1, y1), same centre, whose side is `scale` times the box's larger side.

    Raises ValueError for a box that is empty or not finite, or a scale that is not positive.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(x1 - x0, y1 - y0) * scale
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    if not (math.isfinite(side + cx + cy) and side > 0 and scale > 0):
        raise ValueError(f"no square around the box {box} at scale {scale}")
    return cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2


def pixel_box(box: Box, least: int) -> Box:
    """The square of whole pixels that shows the square `box` best, or `least` pixels around its centre if that is more.

    Cut out at `least` pixels it is never enlarged: every pixel of a small box stays as it was.
    """
    x0, y0, x1, y1 = box
    side = max(least, round(x1 - x0))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    return float(left), float(top), float(left + side), float(top + side)


def box_matrix(box: Box, size: int) -> np.ndarray:
    """The map (2,3) float64 from image pixels to a crop of `size` pixels that shows exactly `box`."""
    x0, y0, x1, y1 = (float(value) for value in box)
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x1 > x0 and y1 > y0):
        raise ValueError(f"the box {box} is empty or not finite")
    sx, sy = size / (x1 - x0), size / (y1 - y0)
    return np.array([[sx, 0.0, -sx * x0], [0.0, sy, -sy * y0]])


def crop(
    image: np.ndarray, box: Box, size: int, antialias: bool = True, padding: Padding = "zero"
) -> tuple[np.ndarray, np.ndarray]:
    """Cut `box` out of `image` (H,W,3) uint8 and resample it to (size,size,3) uint8.

    Returns the crop and its matrix (2,3) float64: image pixel coordinates -> crop pixel coordinates. With `antialias`
    each crop pixel is a triangle-weighted mean over its whole footprint; without, it is plain bilinear interpolation.
    A box of `size` whole pixels (`pixel_box`) is copied. What lies outside of the image is black (`zero`) or repeats
    the nearest pixel (`edge`). Raises ValueError for an empty, endless or absurdly large box.
    """
    matrix = box_matrix(box, size)
    x0, y0, x1, y1 = (float(value) for value in box)
    if max(x1 - x0, y1 - y0) > MAX_SIDE:
        raise ValueError(f"the box {box} is larger than {MAX_SIDE} pixels")
    if (y1 - y0, x1 - x0) == (size, size) and x0.is_integer() and y0.is_integer():
        return _region(image, int(x0), int(y0), int(x1), int(y1), padding), matrix
    # Keep only what the filter can reach: the box and the filter's support around it.
    reach_x, reach_y = (math.ceil(max(1.0, 1.0 / matrix[axis, axis])) + 1 for axis in (0, 1))
    left, right = math.floor(x0) - reach_x, math.ceil(x1) + reach_x
    top, bottom = math.floor(y0) - reach_y, math.ceil(y1) + reach_y
    region = Image.fromarray(_region(image, left, top, right, bottom, padding))
    if antialias:
        local = (x0 - left, y0 - top, x1 - left, y1 - top)
        resized = region.resize((size, size), Image.Resampling.BILINEAR, box=local)
    else:
        a, b = 1.0 / matrix[0, 0], 1.0 / matrix[1, 1]
        coefficients = (a, 0.0, x0 - left, 0.0, b, y0 - top)
        resized = region.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.array(resized), matrix


def _region(
    image: np.ndarray, left: int, top: int, right: int, bottom: int, padding: Padding, fill: float = 0
) -> np.ndarray:
    """A copy of the pixels [top, bottom) x [left, right), padded outside of the image (`zero`: with `fill`)."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return image[top:bottom, left:right].copy()
    if padding == "edge":
        rows = np.clip(np.arange(top, bottom), 0, height - 1)
        columns = np.clip(np.arange(left, right), 0, width - 1)
        return image[np.ix_(rows, columns)]
    if padding != "zero":
        raise ValueError(f"padding must be 'zero' or 'edge', not {padding!r}")
    out = np.full((bottom - top, right - left, *image.shape[2:]), fill, image.dtype)
    y0, y1, x0, x1 = max(top, 0), min(bottom, height), max(left, 0), min(right, width)
    if y0 < y1 and x0 < x1:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return out


def region_seen(value: np.ndarray, frame: CropFrame, fill: float) -> np.ndarray:
    """A map (h,w,...) over the region of a frame as its crop shows it: (size,size,...), see `warp_label`."""
    moved = frame.matrix.copy()
    moved[:, 2] += frame.matrix[:, :2] @ frame.region[:2]
    return warp_label(value, moved, frame.size, fill)


def warp_label(label: np.ndarray, matrix: np.ndarray, size: int, fill: float = IGNORE) -> np.ndarray:
    """A map (H,W,...) seen through `matrix`: (size,size,...), the value under each crop pixel's centre.

    Crop pixels whose centre lies outside of the map get `fill`, by default the id that losses ignore.
    """
    back = invert(matrix)
    if np.array_equal(back[:, :2], np.eye(2)) and np.array_equal(back[:, 2], np.rint(back[:, 2])):  # whole pixels
        left, top = map(int, back[:, 2])
        return _region(label, left, top, left + size, top + size, "zero", fill)
    centres = np.arange(size) + 0.5
    height, width = label.shape[:2]
    if back[0, 1] == 0.0 and back[1, 0] == 0.0:  # no rotation: rows and columns are independent
        columns = np.floor(back[0, 0] * centres + back[0, 2])
        rows = np.floor(back[1, 1] * centres + back[1, 2])
        # Whole rows, then whole columns: many times faster than picking pixels one by one.
        seen = label.take(_index(rows, height), axis=0).take(_index(columns, width), axis=1)
        seen[(rows < 0) | (rows >= height)] = fill
        seen[:, (columns < 0) | (columns >= width)] = fill
        return seen
    grid = np.stack(np.meshgrid(centres, centres), axis=-1)
    at = np.floor(apply(back, grid))
    inside = ((at >= 0) & (at < (width, height))).all(axis=-1)
    picked = label[_index(at[..., 1], height), _index(at[..., 0], width)]
    return np.where(inside.reshape(*inside.shape, *(1,) * (label.ndim - 2)), picked, np.asarray(fill, label.dtype))


def _index(values: np.ndarray, length: int) -> np.ndarray:
    return np.clip(values, 0, length - 1).astype(np.intp)
