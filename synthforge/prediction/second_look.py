"""Points of a first look made more exact: patches cut from the photograph at the resolution of `learning.looks`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..core.frames import apply
from ..learning.looks import Look
from ..learning.patches import cut_patches


@torch.no_grad()
def look_again(
    looks: Sequence[Look],
    images: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    corners: tuple[int, int],
) -> list[np.ndarray]:
    """The points of one face in each photograph, those of the looks' parts replaced by the mean of both looks.

    images (H,W,3) uint8; found (N,2): points of the first look, pixels; corners: indices of the outer eye corners,
    which make a patch upright. A part whose patch would be empty or absurdly large keeps its points.
    """
    results = [points.copy() for points in found]
    for look in looks:
        patches, places = cut_patches(look.info, images, found, corners)
        if places:
            answers = look(patches).double().cpu().numpy() * look.info.size
            for (face, part, back), answer in zip(places, answers, strict=True):
                results[face][part] += look.info.share * (apply(back, answer) - found[face][part])
    return results
