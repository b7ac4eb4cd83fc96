"""Face masks: cloth stretched over nose, mouth and chin, with pleats, and loops around the ears."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .binding import relief
from .slots import PLAIN, SLOTS, Patch, loft

#: linear colours; the last is replaced by a drawn hue
COLOURS = np.array([[0.30, 0.52, 0.66], [0.72, 0.73, 0.73], [0.014, 0.014, 0.016], [0.4, 0.4, 0.4]])
_AXIS = 0.062  # m behind the eyes' middle: the axis the cloth is wound about
_REACH = 1.08  # radians to each side
_PASSES = 60


def mask_patches(
    mask: Mapping[str, Any], points: np.ndarray, vertices: np.ndarray, frame: np.ndarray, origin: np.ndarray
) -> dict[str, Patch]:
    """Mask and loops on a posed face: points (68,3), skin vertices (V,3), metres; frame rows x, y, z; origin between
    the eyes. The cloth is a membrane: it touches what stands out and spans what does not."""
    slot = SLOTS["mask"]
    local, marks = (vertices - origin) @ frame.T, (points - origin) @ frame.T
    angle = np.linspace(-_REACH, _REACH, slot.columns)
    down = np.linspace(0, 1, slot.rows)[None, :]
    side = (np.abs(angle) / _REACH)[:, None]
    root, tip, base, chin = marks[27, 1], marks[30, 1], marks[33, 1], marks[8, 1]
    nose, sag = root + mask["top"] * (tip - root), 0.012
    if mask["under_nose"]:  # between nose and lips, rising to the sides
        nose, sag = max(base - 0.004, marks[48:55, 1].max() + 0.003), -0.01
    cheek = min(nose, marks[28, 1]) - sag
    top = nose + (cheek - nose) * np.clip(side / 0.55, 0, 1) ** 1.3 - 0.012 * side**2
    bottom = chin - 0.003 + (marks[[4, 12], 1].mean() + 0.006 - chin) * side**2.2
    y = top + (bottom - top) * down
    front = (local[:, 2] > -0.09) & (local[:, 1] < top.max() + 0.02) & (np.abs(local[:, 0]) < 0.095)
    skin = local[front]
    polar = np.arctan2(skin[:, 0], skin[:, 2] + _AXIS)
    table = relief(
        np.stack([polar, skin[:, 1]], axis=1),
        np.hypot(skin[:, 0], skin[:, 2] + _AXIS),
        np.array([-1.3, chin - 0.02]),
        np.array([1.3, 0.02]),
        (38, 34),
    )
    spread = np.broadcast_to(angle[:, None], y.shape)
    floor = table.at(np.stack([spread, y], axis=-1))
    floor = np.where(np.isfinite(floor), floor, 0.05) + 0.0025
    cloth = floor.copy()
    for _ in range(_PASSES):
        padded = np.pad(cloth, 1, mode="edge")
        mean = (padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]) / 4
        cloth = np.maximum(mean, floor)
    bulge = 0.001 * mask["slack"] * np.sin(np.pi * down) * (1 - side**2)
    pleat = (down * 4.0) % 1.0
    cloth = cloth + bulge + 0.001 * mask["folds"] * (pleat - 0.5) * (1 - side**4) * (down > 0.15) * (down < 0.9)
    # the lower edge turns in under the chin
    tuck = 0.001 * mask["chin"]
    cloth[:, -1] = np.minimum(cloth[:, -1], cloth[:, -2]) - tuck
    y = y.copy()
    y[:, -1] -= 0.5 * tuck
    inner = np.stack([np.sin(spread) * cloth, y, np.cos(spread) * cloth - _AXIS], axis=-1)
    place = origin + inner @ frame
    shade = np.ones((slot.columns, slot.rows))
    shade -= 0.16 * (mask["folds"] / 2.2) * (pleat < 0.3) * (1 - side**4)
    shade[:, [0, -1]] *= 0.92
    colour = mask["colour"] * shade[..., None]
    uv = np.stack([spread * 500.0, y * 7000.0], axis=-1)
    patches = {"mask": Patch(place, colour, "face_mask", 0.12, PLAIN, 0.05, uv)}
    for name, column, mark, sign in (("left_loop", -1, marks[16], 1.0), ("right_loop", 0, marks[0], -1.0)):
        upper, lower = inner[column, 0], inner[column, -2]
        ear = mark + np.array([0.006 * sign, 0.018, -0.03])
        lobe = mark + np.array([0.008 * sign, -0.032, -0.022])
        line = np.stack([upper, upper * 0.5 + ear * 0.5 + [0.004 * sign, 0, 0], ear, ear, lobe, lobe])
        line = np.concatenate([line, (lower * 0.5 + lobe * 0.5 + [0.003 * sign, 0, 0])[None], lower[None]])
        line[3] = ear * 0.7 + lobe * 0.3 + [0, 0, -0.012]
        line[4] = ear * 0.2 + lobe * 0.8 + [0, 0, -0.008]
        size = np.full(len(line), 0.0012)
        tube = loft(origin + line @ frame, size, size, frame[1], SLOTS[name].columns)
        patches[name] = Patch(tube, np.minimum(mask["colour"] * 1.1, 0.8), "face_mask", 0.1)
    return patches
