"""Patches of a second look, cut from photographs: squares around parts of a face, turned so that the eyes are level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from ..datasets import crops
from .looks import ROOM, SecondLookInfo

#: face, index of the part, and the map (2,3) from pixels of its patch to those of the photograph
Place = tuple[int, int, np.ndarray]


def cut_patches(
    info: SecondLookInfo, images: Sequence[np.ndarray], found: Sequence[np.ndarray], corners: tuple[int, int]
) -> tuple[torch.Tensor, list[Place]]:
    """The patches (B,3,size,size) in [0,1] of one face in each photograph, and where each lies.

    images (H,W,3) uint8; found (N,2): points, pixels; corners: indices of the outer eye corners. A part whose patch
    would be empty or absurdly large is left out.
    """
    cuts: dict[tuple[int, frozenset[int], float], int] = {}
    squares: list[np.ndarray] = []
    turns, rows, mirrors, places = [], [], [], []
    room = round(info.size * ROOM)
    for face, (image, points) in enumerate(zip(images, found, strict=True)):
        box = crops.tight_box(points)
        largest = max(box[2] - box[0], box[3] - box[1])
        dx, dy = points[corners[1]] - points[corners[0]]
        turn = _turn(math.atan2(dy, dx))
        for number, (part, mirrored, share) in enumerate(zip(info.parts, info.mirrored, info.sides, strict=True)):
            side, centre = share * largest, points[list(part)].mean(0)
            if not (np.isfinite(centre).all() and 1e-3 < side * ROOM < crops.MAX_SIDE):
                continue
            index = cuts.setdefault((face, frozenset(part), side), len(squares))  # a mirrored patch is cut but once
            if index == len(squares):
                squares.append(_square(image, centre, side, info.size))
                turns.append(turn)
            rows.append(index)
            mirrors.append(mirrored)
            places.append((face, number, crops.invert(patch_matrix(centre, side, info.size, turn, mirrored))))
    if not rows:
        return torch.zeros(0, 3, info.size, info.size), places
    patches = _turned(np.stack(squares), np.stack(turns), info.size / room, info.size)[rows]
    flips = torch.tensor(mirrors)
    patches[flips] = patches[flips].flip(-1)
    return patches, places


def cut(
    image: np.ndarray, centre: np.ndarray, side: float, size: int, angle: float, mirrored: bool
) -> tuple[torch.Tensor, np.ndarray]:
    """A square patch (3,size,size) in [0,1] and the map (2,3) from pixels of the photograph to the patch's.

    centre (2,) and side in pixels of the photograph; angle: of the patch's rows, radians clockwise; mirrored: left and
    right of the patch change places.
    """
    square, turn = _square(image, centre, side, size), _turn(angle)
    patch = _turned(square[None], turn[None], size / len(square), size)[0]
    return patch.flip(-1) if mirrored else patch, patch_matrix(centre, side, size, turn, mirrored)


def patch_matrix(centre: np.ndarray, side: float, size: int, turn: np.ndarray, mirrored: bool) -> np.ndarray:
    """The map (2,3) from pixels of the photograph to the patch's; turn (2,2): its axes in those of the photograph."""
    linear = (turn * [-1.0 if mirrored else 1.0, 1.0]).T * (size / side)
    return np.concatenate([linear, (size / 2 - linear @ centre)[:, None]], axis=1)


def _turn(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def _square(image: np.ndarray, centre: np.ndarray, side: float, size: int) -> np.ndarray:
    """The upright square (room,room,3) in which a patch is turned."""
    room = round(size * ROOM)
    around = side * room / size
    x, y = centre - around / 2
    return crops.crop(image, (x, y, x + around, y + around), room)[0]


def _turned(squares: np.ndarray, turns: np.ndarray, share: float, size: int) -> torch.Tensor:
    """The patches (N,3,size,size) in [0,1] within squares (N,room,room,3) uint8; share: a patch's side over theirs."""
    line = (torch.arange(size, dtype=torch.float32) + 0.5) / size * 2 - 1
    steps = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1) * share
    grid = steps.flatten(0, 1) @ torch.from_numpy(turns).float().transpose(1, 2)
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255.0
    return functional.grid_sample(pixels, grid.unflatten(1, (size, size)), mode="bilinear", align_corners=False)
