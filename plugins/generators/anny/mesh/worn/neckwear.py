"""Around the neck: scarves, the lower part of a headscarf, chains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .binding import Relief, relief
from .slots import KNIT, PLAIN, SLOTS, Patch, loft

_ANGLES, _LEVELS = 36, 44  # cells of the relief around the neck and up it
_UP, _DOWN = 0.02, -0.26  # m from the chin: where the relief starts and ends


def neck_axis(points: np.ndarray, vertices: np.ndarray, mm: np.ndarray) -> np.ndarray:
    """A point (3,) m in the middle of the posed neck: of the skin between 105 and 150 mm below the canonical eyes."""
    ring = (mm[:, 1] < -105) & (mm[:, 1] > -150) & (mm[:, 2] < -20) & (np.abs(mm[:, 0]) < 75)
    low, high = vertices[ring].min(0), vertices[ring].max(0)
    return np.asarray(np.where([True, False, True], (low + high) / 2, points[8]))


def neck_relief(vertices: np.ndarray, mm: np.ndarray, axis: np.ndarray) -> Relief:
    """Greatest distance (m) of the skin below the face from the neck's upright axis, over azimuth and height."""
    body = vertices[mm[:, 1] < -98]
    offset = body - axis
    angle = np.arctan2(offset[:, 0], offset[:, 2])
    place = np.stack([angle, offset[:, 1]], axis=1)
    return relief(
        place,
        np.hypot(offset[:, 0], offset[:, 2]),
        np.array([-np.pi, _DOWN]),
        np.array([np.pi, _UP]),
        (_ANGLES, _LEVELS),
    )


def scarf_patch(scarf: Mapping[str, Any], points: np.ndarray, vertices: np.ndarray, mm: np.ndarray) -> Patch:
    """A scarf wound around a posed neck; a headscarf's neck (`label` hat) is the same, tighter and longer."""
    slot = SLOTS["neck"]
    axis = neck_axis(points, vertices, mm)
    around = np.linspace(-np.pi, np.pi, slot.columns)
    turn = np.linspace(0, 2 * np.pi, slot.rows)
    front = (1 + np.cos(around)) / 2
    tall = 0.001 * scarf["tall"] * (0.85 + 0.25 * front)
    # cloth hangs unevenly, lowest in front
    uneven = 5.0 * np.sin(around + scarf["phase"]) + 3.0 * np.sin(3 * around + 2 * scarf["phase"])
    top = 0.001 * (scarf["rise"] * front + scarf.get("nape", 14.0) * (1 - front) + uneven)
    level = top - tall
    table = neck_relief(vertices, mm, axis)
    # the neck's own radius where the cloth touches it: low shoulders are not wound around
    levels = level[:, None] + np.linspace(0.1, 0.9, 6)[None] * tall[:, None]
    found = table.at(np.stack([np.broadcast_to(around[:, None].clip(-3.14, 3.14), levels.shape), levels], axis=-1))
    near = np.where(np.isfinite(found), found, np.inf).min(1).clip(0.045, 0.078)
    for _ in range(3):
        near = np.maximum(near, (np.roll(near[:-1], 1) + np.roll(near[:-1], -1))[np.r_[0 : slot.columns - 1, 0]] / 2)
    bulk = 0.001 * scarf["bulk"] / 2 * (0.8 + 0.35 * front)
    middle = near + 0.001 * scarf["loose"] * front + 0.4 * bulk
    fold = np.sin(3 * turn[None] + 2.2 * np.sin(around * 1.5 + scarf["phase"])[:, None] + scarf["phase"])
    fold = fold + 0.5 * np.sin(7 * turn[None] - 3 * around[:, None] + 2 * scarf["phase"])
    swell = 1 + scarf["folds"] * fold
    radius = middle[:, None] + bulk[:, None] * swell * -np.cos(turn)[None]
    height = level[:, None] + tall[:, None] * (1 + 0.5 * scarf["folds"] * fold) * np.sin(turn)[None]
    place = axis + np.stack([np.sin(around)[:, None] * radius, height, np.cos(around)[:, None] * radius], axis=-1)
    inner = 0.62 + 0.38 * np.clip(-np.cos(turn) * 1.2 + 0.5, 0, 1)
    colour = scarf["colour"] * ((1 + 0.3 * fold * scarf["folds"] / 0.2 * 0.5) * inner[None])[..., None].clip(0.2, 1.4)
    knit = scarf.get("label", "cloth") == "cloth" and scarf["phase"] > 3.0
    ribs = (around[:, None] / (2 * np.pi) * 150.0 + 0 * turn, turn[None] * 9.0 + 0 * around[:, None])
    plain = (around[:, None] * 140.0 + 0 * turn, turn[None] * 40.0 + 0 * around[:, None])
    uv = np.stack(ribs if knit else plain, axis=-1)
    return Patch(place, colour, scarf.get("label", "cloth"), 0.1, KNIT if knit else PLAIN, scarf["knit"], uv)


def chain_patch(jewellery: Mapping[str, Any], points: np.ndarray, vertices: np.ndarray, mm: np.ndarray) -> Patch:
    """A chain on the skin: level behind the neck, hanging in front."""
    slot = SLOTS["chain"]
    axis = neck_axis(points, vertices, mm)
    around = np.linspace(-np.pi, np.pi, slot.rows)
    hang = np.exp(-((around / 0.55) ** 2))
    level = -0.052 + 0.02 * (1 - np.cos(around)) / 2 - 0.001 * jewellery["droop"] * hang
    table = neck_relief(vertices, mm, axis)
    radius = table.at(np.stack([around.clip(-3.14, 3.14), level], axis=-1))
    # over the shoulders it disappears behind the neck
    radius = np.where(np.isfinite(radius), radius, 0.06).clip(0.045, 0.066 + 0.07 * np.exp(-((around / 0.8) ** 2)))
    for _ in range(2):
        radius = (np.roll(radius, 1) + radius + np.roll(radius, -1)) / 3
    thick = 0.001 * jewellery["chain"]
    centres = axis + np.stack([np.sin(around) * (radius + thick), level, np.cos(around) * (radius + thick)], axis=-1)
    size = np.full(slot.rows, thick)
    place = loft(centres, size, size, np.array([0.0, 1.0, 0.0]), slot.columns)
    shade = 0.6 + 0.4 * (np.arange(slot.rows) % 2)
    return Patch(place, jewellery["colour"] * shade[None, :, None] * np.ones((slot.columns, 1, 1)), "necklace", 2.5)
