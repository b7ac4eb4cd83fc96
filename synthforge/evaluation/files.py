"""Reading the files of real datasets and of other tools, with errors that name the file and the line.

Coordinates come out in the house's convention: continuous pixels, the centre of the first pixel at (0.5, 0.5).
Photographs are read as they are stored; an EXIF orientation is not applied, since annotations refer to stored pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..core import foreign, images
from ..core.errors import DataError
from ..core.files import write_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

# A `.pts` file counts pixels from 1: its x = 1 is the centre of the first pixel, which here lies at 0.5.
PTS_ORIGIN = 0.5


def read_image(path: Path) -> np.ndarray:
    """A photograph (H,W,3) uint8 sRGB (JPEG or PNG). Raises DataError when it is missing, cut off or too large."""
    return images.read_photograph(_there(path))


def fit_image(image: np.ndarray, shape: tuple[int, int], where: Path) -> np.ndarray:
    """A photograph brought to the size (H,W) of its annotation, with anti-aliasing, where the two differ.

    Raises DataError naming the annotation when they do not show the same frame: sides whose ratios differ by over 1 %.
    """
    height, width = image.shape[:2]
    if (height, width) == shape:
        return image
    if abs(height * shape[1] / (width * shape[0]) - 1) > 0.01:
        raise DataError(f"{where} is {shape[1]} x {shape[0]}, its photograph {width} x {height}")
    # Pillow's resize keeps the outer edges of both frames in place, as every map here does.
    return np.array(Image.fromarray(image).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def read_label(path: Path, classes: int | None = None) -> np.ndarray:
    """A label map (H,W) uint8 of class ids from an 8-bit PNG: grey, or a palette.

    A palette of greys stands for its greys, one with colours for its indices. Raises DataError when it is missing, cut
    off, of another kind, or holds an id not below `classes` (255 aside).
    """
    label = images.read_map(_there(path), indices=True)
    if label.ndim != 2 or label.dtype != np.uint8:
        kind = "in colour" if label.ndim == 3 else "of 16 bits"
        raise DataError(
            f"{path} is an image {kind}; a label map has one 8-bit channel of class ids",
            hint="Colour-coded maps have to be turned into class ids first.",
        )
    if classes is not None:
        wrong = label[(label >= classes) & (label != 255)]
        if wrong.size:
            raise DataError(f"{path} holds the class id {wrong.max()}; its schema has {classes} classes")
    return label


def read_grey(path: Path) -> np.ndarray:
    """An 8- or 16-bit grey PNG (H,W) as float32, its values as stored. Raises DataError as `read_label` does."""
    return images.read_map(_there(path), grey=True).astype(np.float32)


def read_array(path: Path) -> np.ndarray:
    """A `.npy` array of numbers, never a pickle. Raises DataError naming the file for anything else."""
    return foreign.read_array(_there(path))


def read_pts(path: Path, count: int = 68) -> np.ndarray:
    """Points (count,2) float64, in pixels with centres at i + 0.5, from a 1-based `.pts` file.

    Both dialects are read: `version`, `n_points` and braces around the points, or bare lines of `x y`. Raises DataError
    naming file and line for anything else, and for another number of points than `count`.
    """
    points = []
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if not text or text in "{}" or text.lower().startswith("version"):
            continue
        if text.lower().startswith("n_points"):
            _check_count(path, number, text, count)
            continue
        points.append(_pair(path, number, text))
    if len(points) != count:
        raise DataError(f"{path} holds {len(points)} points instead of {count}")
    return np.array(points, np.float64) - PTS_ORIGIN


def write_pts(path: Path, points: np.ndarray) -> None:
    """Write points (N,2), in pixels with centres at i + 0.5, as a 1-based `.pts` file with header and braces."""
    write_text(path, pts_text(points))


def pts_text(points: np.ndarray) -> str:
    """What `write_pts` writes."""
    shifted = np.asarray(points, np.float64) + PTS_ORIGIN
    body = "\n".join(f"{x:.6f} {y:.6f}" for x, y in shifted)
    return f"version: 1\nn_points: {len(shifted)}\n{{\n{body}\n}}\n"


def read_pairs(path: Path, header: bool = False) -> np.ndarray:
    """Points (N,2) float64 from lines of `x y` (or `x,y`), as written; `header`: the first line is their number.

    Raises DataError naming file and line.
    """
    lines = [(number, line.strip()) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    expected = None
    if header and lines:
        number, text = lines.pop(0)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise DataError(f"{path}, line {number}: the number of points is expected here, not '{text[:40]}'")
        expected = int(text)
    points = [_pair(path, number, text) for number, text in lines]
    if expected is not None and expected != len(points):
        raise DataError(f"{path} promises {expected} points and holds {len(points)}")
    return np.array(points, np.float64).reshape(-1, 2)


def _lines(path: Path) -> list[str]:
    return foreign.read_text(_there(path)).splitlines()


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="Check the dataset's root folder.")
    return path


def _check_count(path: Path, number: int, text: str, count: int) -> None:
    value = text.partition(":")[2].strip()
    if value != str(count):
        raise DataError(f"{path}, line {number}: n_points is '{value}' where {count} are needed")


def _pair(path: Path, number: int, text: str) -> tuple[float, float]:
    try:
        x, y = (foreign.decimal(value) for value in text.replace(",", " ").split())
    except ValueError:
        raise DataError(f"{path}, line {number}: '{text[:40]}' is not a pair of finite coordinates") from None
    return x, y
