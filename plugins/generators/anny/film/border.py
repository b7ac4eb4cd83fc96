"""Pictures that reach beyond the photograph they were cut from: a margin of black, white or repeated pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_CLEAR = 0.03  # image sizes kept between the margin and the outermost landmark


def add_margin(border: Mapping[str, Any], pixels: np.ndarray, image: np.ndarray, *maps: tuple[np.ndarray, int]) -> None:
    """Overwrite a margin of one rendering in place.

    pixels (N,2): landmarks, which stay inside the photograph; image (H,W,3) uint8; maps: (array (H,W,...), value
    there). Where nothing was photographed there is no surface: class background, no face, depth 0.
    """
    size = image.shape[0]
    side, along_y = border["side"], border["side"] >= 2
    place = pixels[:, 1 if along_y else 0]
    room = place.min() if side in (0, 2) else size - place.max()
    wide = int(min(border["wide"] * size, room - _CLEAR * size))
    if wide < 1:
        return
    inside = slice(0, wide) if side in (0, 2) else slice(size - wide, size)
    edge = wide if side in (0, 2) else size - wide - 1
    where = (inside,) if along_y else (slice(None), inside)
    if border["fill"] == "repeated":
        image[where] = image[edge][None] if along_y else image[:, edge][:, None]
    else:
        image[where] = 0 if border["fill"] == "black" else 255
    for array, value in maps:
        array[where] = value
