"""Automatic exposure: how a camera that looks at faces keeps their highlights and shadows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ....schemas import SYNTHFORGE
from ..light.palette import LUMA
from .develop import MID_GREY, STEPS_AT_MID_GREY, shouldered

#: classes that count as face, sides left out
FACE = ("skin", "nose", "brow", "lid", "eye", "lip")
IN_FACE = np.array([name.rpartition("_")[2] in FACE for name in SYNTHFORGE.classes])
_LUMA = LUMA.astype(np.float32)
_GRID = 64  # pixels a side that are looked at
_FEWEST = 16  # of the face
_HIGHLIGHTS, _SHADOWS = 0.5, 0.2  # parts of what is allowed; what is not foreseen here takes the rest
_SHARPENED = 0.08  # by which sharpening brightens the brightest, at its full strength
_DARKEST = 7.6e-4  # linear light that becomes 2.5 of 255
_BRIGHTEST = 0.92  # that becomes 246: JPEG and scaling move a little beyond it
_LEAST = 1.0  # slope of the tone curve; what is still too bright then, exposure alone corrects


def expose(light: torch.Tensor, label: torch.Tensor, films: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Scale light (B,H,W,3) in place, and return films whose contrast is lowered, so that no more of a face than its
    film's `clipped` is over- or under-exposed. label (B,H,W): classes of `SYNTHFORGE`."""
    step = max(1, light.shape[1] // _GRID)
    seen = light[:, step // 2 :: step, step // 2 :: step].cpu().numpy()
    face = IN_FACE[label[:, step // 2 :: step, step // 2 :: step].cpu().numpy()]
    found = []
    for i, film in enumerate(films):
        pixels = seen[i][face[i]]
        if film["clipped"] < 1 and len(pixels) >= _FEWEST:
            grey = (pixels @ _LUMA)[:, None]
            strongest = (grey + film["saturation"] * (pixels - grey)).max(1)
            ranks = np.array([_SHADOWS * film["clipped"], 1 - _HIGHLIGHTS * film["clipped"]])
            places = (ranks * (len(strongest) - 1)).astype(int)
            ends = np.partition(strongest, places)[places]
            low, high = np.maximum(ends, 1e-6).tolist()
            # noise and sharpening come later and brighten some pixels more
            noisy = film["noise"] / STEPS_AT_MID_GREY * math.sqrt(film["noise_floor"] + high / MID_GREY)
            high = (high + noisy) * (1 + _SHARPENED * max(0.0, -film["blur"]))
            gain, contrast = fitted(low, high, film["contrast"], film["shoulder"])
            if gain != 1:
                light[i] *= gain
            film = {**film, "contrast": contrast}
        found.append(film)
    return found


def fitted(low: float, high: float, contrast: float, shoulder: float) -> tuple[float, float]:
    """Factor of the light and slope of the tone curve with which light from `low` to `high` fits into its range."""
    ends = _DARKEST, _brightest(shoulder)

    def light_at(slope: float) -> tuple[float, float]:
        return MID_GREY * (ends[0] / MID_GREY) ** (1 / slope), MID_GREY * (ends[1] / MID_GREY) ** (1 / slope)

    darkest, brightest = light_at(contrast)
    if high > brightest:  # half of it by exposure, half by contrast
        middle = math.sqrt(high * brightest) / MID_GREY
        if middle > 1:
            contrast = min(contrast, max(_LEAST, math.log(ends[1] / MID_GREY) / math.log(middle)))
    if high / low > brightest / darkest:
        contrast = min(contrast, math.log(ends[1] / ends[0]) / math.log(high / low))
    darkest, brightest = light_at(contrast)
    return min(max(1.0, darkest / low), brightest / high), contrast


@lru_cache(maxsize=64)
def _brightest(shoulder: float) -> float:
    """What becomes `_BRIGHTEST` after the roll-off."""
    levels = np.linspace(0.5, 3.0, 251)
    return float(np.interp(_BRIGHTEST, shouldered(levels, shoulder), levels))
