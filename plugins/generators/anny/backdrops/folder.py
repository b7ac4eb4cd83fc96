"""A folder of the user's own pictures as backgrounds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthforge.core.files import files_in
from synthforge.core.images import from_srgb, read_photograph
from synthforge.core.machine import need_folder

from ..factors.picture import PICTURES

_FORMATS = ("JPEG", "PNG", "WEBP")


class Folder:
    """Pictures of the user's own as backgrounds, by name in the order of their names.

    Raises ConfigError when there is no such folder or no JPEG, PNG or WebP file in it.
    """

    blurred = False  # photographs are as sharp as they were taken

    def __init__(self, path: str, where: str) -> None:
        self.path = Path(path).expanduser()
        need_folder(where, path, PICTURES)
        self.names = [path.name for path in files_in(self.path, PICTURES)]

    def choose(self, parameters: dict[str, Any], share: float) -> None:
        """Write the name of its background's picture into a scene's parameters, in that share of all backgrounds."""
        background = parameters["background"]
        if background["crop"][5] >= share:
            return
        background["file"] = self.names[int(background["crop"][0] * len(self.names))]
        background["count"] = 0

    def behind(self, background: Mapping[str, Any], look: Any, side: int, size: int) -> np.ndarray:
        """Light (side,side,3) behind the head, as bright as it was taken: exposure and balance are the face's."""
        return np.asarray(self.load(background, side) / np.maximum(look["gain"], 1e-3), np.float32)

    def load(self, background: Mapping[str, Any], size: int) -> np.ndarray:
        """The background's picture (size,size,3), linear light: a square crop of at least half its shorter side,
        perhaps mirrored. Raises DataError when it cannot be read."""
        linear = _linear(self.path / background["file"])
        _, across, down, zoom, mirror, _ = background["crop"]
        height, width = linear.shape[:2]
        side = max(1, int(min(height, width) * (0.5 + 0.5 * zoom)))
        x, y = int(across * (width - side)), int(down * (height - side))
        square = linear[y : y + side, x : x + side]
        square = square[:, ::-1] if mirror < 0.5 else square
        place = (np.arange(size) + 0.5) * side / size - 0.5
        return _resized(_resized(square, place, 0), place, 1)

    def provenance(self) -> dict[str, Any]:
        """The folder, how many pictures it holds, and a digest of their names and sizes."""
        listing = "\n".join(f"{name} {(self.path / name).stat().st_size}" for name in self.names)
        digest = hashlib.sha256(listing.encode()).hexdigest()
        return {"folder": str(self.path), "pictures": len(self.names), "names_and_sizes_sha256": digest}


_WORKING = 512  # px: larger pictures are made smaller once


@lru_cache(maxsize=32)
def _linear(path: Path) -> np.ndarray:
    """The whole picture, at most _WORKING on its shorter side, linear float32."""
    image = Image.fromarray(read_photograph(path, _FORMATS))
    scale = min(1.0, _WORKING / min(image.size))
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = np.asarray(image.resize(small, Image.Resampling.BOX), np.float32) / 255
    return from_srgb(pixels).astype(np.float32)


def _resized(image: np.ndarray, place: np.ndarray, axis: int) -> np.ndarray:
    """Rows or columns at fractional places: linear between neighbours, means where it shrinks."""
    count = image.shape[axis]
    shrink = max(1, int(count / len(place)))
    steps = (np.arange(shrink) + 0.5) / shrink - 0.5
    total = np.zeros((), np.float32)
    for step in steps * count / len(place):
        p = np.clip(place + step, 0, count - 1)
        low = np.floor(p).astype(int)
        share = (p - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        above = np.minimum(low + 1, count - 1)
        total = total + image.take(low, axis) * (1 - share) + image.take(above, axis) * share
    return np.asarray(total / len(steps), np.float32)
