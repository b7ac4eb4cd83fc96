"""Points of a first look made more exact: patches cut from the photograph at the resolution of `learning.looks`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from ..core.frames import apply, invert
from ..datasets import crops
from ..learning.looks import ROOM, SecondLook


@torch.no_grad()
def look_again(
    looks: Sequence[SecondLook],
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
        info, patches, places = look.info, [], []
        for face, (image, points) in enumerate(zip(images, found, strict=True)):
            box = crops.tight_box(points)
            largest = max(box[2] - box[0], box[3] - box[1])
            dx, dy = points[corners[1]] - points[corners[0]]
            for part, mirrored, share in zip(info.parts, info.mirrored, info.sides, strict=True):
                side = share * largest
                centre = points[list(part)].mean(0)
                if not (np.isfinite(centre).all() and 1e-3 < side * ROOM < crops.MAX_SIDE):
                    continue
                patch, matrix = cut(image, centre, side, info.size, math.atan2(dy, dx), mirrored)
                patches.append(patch)
                places.append((face, list(part), invert(matrix)))
        if patches:
            answers = look(torch.stack(patches).to(look.mean.device)).double().cpu().numpy() * info.size
            for (face, part, back), answer in zip(places, answers, strict=True):
                results[face][part] += info.share * (apply(back, answer) - found[face][part])
    return results


def cut(
    image: np.ndarray, centre: np.ndarray, side: float, size: int, angle: float, mirrored: bool
) -> tuple[torch.Tensor, np.ndarray]:
    """A square patch (3,size,size) in [0,1] and the map (2,3) from pixels of the photograph to the patch's.

    centre (2,) and side in pixels of the photograph; angle: of the patch's rows, radians clockwise; mirrored: left and
    right of the patch change places.
    """
    room = round(size * ROOM)
    around = side * room / size
    x, y = centre - around / 2
    square, _ = crops.crop(image, (x, y, x + around, y + around), room)
    c, s, sign = math.cos(angle), math.sin(angle), -1.0 if mirrored else 1.0
    turn = np.array([[sign * c, -s], [sign * s, c]])  # from the patch's axes to the photograph's
    line = (torch.arange(size, dtype=torch.float32) + 0.5) / size * 2 - 1
    steps = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1) * (size / room)
    grid = steps @ torch.as_tensor(turn.T, dtype=torch.float32)
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255.0
    patch = functional.grid_sample(pixels, grid[None], mode="bilinear", align_corners=False)[0]
    linear = turn.T * (size / side)
    return patch, np.concatenate([linear, (size / 2 - linear @ centre)[:, None]], axis=1)
