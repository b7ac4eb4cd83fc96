"""Points of a first look made more exact: patches cut from the photograph at the resolution of `learning.looks`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..core.frames import apply
from ..learning.looks import Look
from ..learning.patches import cut_patches


@torch.no_grad()
def look_again(
    looks: Sequence[Look],
    images: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    corners: tuple[int, int],
    firsts: Mapping[str, Sequence[np.ndarray]] = MappingProxyType({}),
) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """The points of one face in each photograph, those of the looks' parts replaced by the mean of both looks.

    images (H,W,3) uint8; found (N,2): points of the first look, pixels; corners: indices of the outer eye corners,
    which make a patch upright. A part whose patch would be empty or absurdly large keeps its points. firsts: answers of
    the first look by task, unit vectors (K,3) or a rotation (3,3), in the camera's axes. Vectors that looks answer are
    returned by task, the mean of all answers for each.
    """
    results = [points.copy() for points in found]
    aims = {look.info.directions for look in looks} & set(firsts)
    vectors = {task: [np.zeros(values.shape) for values in firsts[task]] for task in aims}
    for look in looks:
        info = look.info
        patches, places = cut_patches(info, images, found, corners)
        if not places:
            continue
        if {info.directions, info.pose} <= set(firsts):
            # between the axes of a patch, which may be mirrored, and the camera's
            turns = [back[:, :2] / math.sqrt(abs(np.linalg.det(back[:, :2]))) for *_, back in places]
            first = [
                _turned([firsts[info.directions][face][info.vectors[part]], *firsts[info.pose][face].T[1:]], turn.T)
                for (face, part, _), turn in zip(places, turns, strict=True)
            ]
            points, directions = look.with_directions(patches, torch.from_numpy(np.stack(first)).float())
            for (face, part, _), turn, seen in zip(places, turns, directions.double().cpu().numpy(), strict=True):
                vectors[info.directions][face][info.vectors[part]] += _turned(seen, turn)
        else:
            points = look(patches)
        answers = points.double().cpu().numpy() * info.size
        for (face, part, back), answer in zip(places, answers, strict=True):
            rows = list(info.parts[part])
            results[face][rows] += info.share * (apply(back, answer) - found[face][rows])
    for task in aims:
        for before, value in zip(firsts[task], vectors[task], strict=True):
            unseen = ~value.any(1)
            value[unseen] = before[unseen]
            value /= np.linalg.norm(value, axis=1, keepdims=True)
    return results, vectors


def _turned(vectors: ArrayLike, turn: np.ndarray) -> np.ndarray:
    """Vectors (...,3) whose x and y are turned by (2,2)."""
    values = np.asarray(vectors)
    return np.concatenate([values[..., :2] @ turn.T, values[..., 2:]], -1)
