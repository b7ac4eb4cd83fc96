"""Hats: caps, knitted caps, brimmed hats, headscarves and hoods, each one sheet from crown to rim and back under.

Every point stands off the skull's own skin, so that a hat fits whoever wears it. Hair below the rim stays as it is,
hair above it is pressed flat (`dress_kernels.hair_kernel` reads the same rim).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .binding import Shell
from .slots import KNIT, PLAIN, SLOTS, Patch

_CROWN = 13  # rows from the crown to the rim; then the brim's upper side, its edge, its underside, and the skin
_OUT = np.array([0.0] * _CROWN + [0.35, 0.7, 1.0, 1.0, 1.0, 0.6, 0.25, 0.0, 0.0])
_UNDER = np.array([0.0] * _CROWN + [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
_THICK = 2.2  # mm of a brim
_HANGS = 75.0  # mm of a headscarf or hood below the jaw
_FACE_OPENING = 1.02  # azimuth of a headscarf's edge beside the face


def rim_terms(front: float, side: float, back: float) -> np.ndarray:
    """Terms (3,) of the rim's height over the azimuth, a0 + a1 cos + a2 cos 2: mm above the canonical eyes."""
    second = ((front + back) / 2 - side) / 2
    return np.array([side + second, (front - back) / 2, second])


def rim_height(terms: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Height of the rim at azimuths, mm."""
    return np.asarray(terms[0] + terms[1] * np.cos(azimuth) + terms[2] * np.cos(2 * azimuth))


def _ramp(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def hat_patch(hat: Mapping[str, Any], shell: Shell, vertices: np.ndarray, frame: np.ndarray) -> Patch:
    """The hat on a posed head: vertices (V,3) metres; frame: rows x, y, z of the face."""
    kind, azimuth = hat["kind"], shell.azimuth
    points, outward = shell.posed(vertices)
    line = rim_height(hat["rim"], azimuth)
    covering = kind in ("headscarf", "hood")
    if covering:
        side = _ramp(_FACE_OPENING - 0.3, _FACE_OPENING + 0.12, np.abs(azimuth))
        line = line * (1 - side) - 150.0 * side
    last = np.array(
        [np.interp(-h, -column, np.arange(len(column))) for h, column in zip(line, shell.height, strict=True)]
    )
    share, stand, colour, uv = _rows(hat, azimuth)
    row = (last[:, None] * share).clip(0, shell.height.shape[1] - 1.001)
    low = row.astype(int)
    mix = (row - low)[..., None]
    column = np.arange(len(azimuth))[:, None]
    place = points[column, low] * (1 - mix) + points[column, low + 1] * mix
    normal = outward[column, low] * (1 - mix) + outward[column, low + 1] * mix
    if covering:  # ears wider than the reference head's stay inside
        stand = stand + 9.0 * np.minimum(shell.bulge[column, low] / 12.0, 1.0)
    place = place + normal * stand[..., None] * 0.001
    if covering:  # beside the face the cloth hangs on to the shoulders
        fall = (_HANGS * side)[:, None, None] * _OUT[None, :, None] * -np.array([0.0, 1.0, 0.0])
        place = place + 0.001 * (fall - 0.25 * _HANGS * (side[:, None] * _OUT)[..., None] * normal)
    if kind in ("cap", "brimmed"):
        place = place + 0.001 * _brim(hat, azimuth, normal[:, _CROWN - 1], frame)
    weave = KNIT if kind == "beanie" else PLAIN
    gloss = 0.12 if kind != "cap" else 0.2
    return Patch(place, colour, "hat", gloss, weave, hat["knit"] if kind == "beanie" else 0.5 * hat["knit"], uv)


def _rows(hat: Mapping[str, Any], azimuth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share of the way to the rim (R,), mm off the skin (C,R), colour (C,R,3), texture coordinates (C,R,2)."""
    rows = SLOTS["hat"].rows
    kind = hat["kind"]
    share = np.concatenate([np.linspace(0, 1, _CROWN), np.ones(rows - _CROWN)])
    colour = np.broadcast_to(hat["colour"], (len(azimuth), rows, 3)).copy()
    if kind == "beanie":
        cuff = hat["cuff"] / 135.0
        share[:_CROWN] = [*np.linspace(0, 1 - cuff, 8), *np.linspace(1 - cuff, 1, 5)] if cuff else share[:_CROWN]
        stand = 4.5 + hat["slouch"] * (1 - _ramp(0.0, 0.62, share))
        stand[:_CROWN] += 4.0 * (np.arange(_CROWN) >= 8) * (cuff > 0)
        # wool rolls in at its edge and gathers at the top
        colour[:, :2] *= 0.85
        if cuff:
            colour[:, 7] *= 0.7
    elif kind == "cap":
        stand = 5.0 + 7.0 * (1 - share**3)
    elif kind == "brimmed":
        stand = 4.0 + hat["crown"] * (1 - share**5)
        colour[:, 10:_CROWN] = hat["colour"] * hat["band"]
    else:
        stand = 7.0 + (9.0 if kind == "hood" else 2.5) * (1 - share**6)
    stand = np.tile(stand, (len(azimuth), 1))
    if kind == "cap":
        # the front panels stand up
        stand += (
            9.0
            * np.maximum(np.cos(azimuth - hat["turn"])[:, None], 0) ** 2
            * _ramp(0.15, 0.6, share)
            * _ramp(1.0, 0.7, share)
        )
        colour[:, :1] *= 0.8
    if kind == "brimmed":
        pinch = (
            np.exp(-(((np.abs(azimuth)[:, None] - 0.55) / 0.4) ** 2))
            * _ramp(0.75, 0.4, share)
            * _ramp(0.1, 0.35, share)
        )
        stand -= 12.0 * pinch + 9.0 * _ramp(0.3, 0.0, share)
    if kind in ("headscarf", "hood"):
        wave = np.sin(azimuth[:, None] * 5 + 9 * share + 40 * hat["knit"]) + 0.6 * np.sin(
            azimuth[:, None] * 9 - 14 * share
        )
        stand += (1.4 if kind == "headscarf" else 3.0) * wave * _ramp(0.2, 0.6, share)
        colour *= (1 + 0.09 * wave * _ramp(0.2, 0.6, share))[..., None]
    stand[:, -1] = -6.0
    under = _UNDER > 0
    stand[:, under] -= _THICK
    colour[:, under] *= 0.55
    # the texture runs along the hat: turns of ribs around, stitches down; texels for plain cloth
    around, down = azimuth[:, None] / (2 * np.pi), np.cumsum(np.concatenate([[0], np.diff(share)]))[None]
    if kind == "beanie":
        uv = np.stack([around * hat["ribs"] + 0 * down, 26.0 * down + 0 * around], axis=-1)
    else:
        uv = np.stack([around * 900.0 + 0 * down, 240.0 * down + 80.0 * _OUT + 0 * around], axis=-1)
    return share, stand, colour, uv


def _brim(hat: Mapping[str, Any], azimuth: np.ndarray, normal: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """How far (C,R,3), mm, each point is moved out by a brim; normal (C,3): outward at the rim."""
    x, y, z = frame
    flat = normal - (normal @ y)[:, None] * y
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    if hat["kind"] == "cap":
        off = (azimuth - hat["turn"] + np.pi) % (2 * np.pi) - np.pi
        width = hat["peak"] * np.sqrt(np.clip(1 - (off / 0.98) ** 2, 0, 1)) ** 0.8
        ahead = np.cos(hat["turn"]) * z + np.sin(hat["turn"]) * x
        way = 0.75 * ahead + 0.25 * flat - np.sin(hat["droop"]) * y
        sag = 0.0035 * (np.sin(off) * 80.0) ** 2  # a peak is bent about its middle
    else:
        width = np.full(len(azimuth), hat["brim"]) * (1 - 0.12 * np.abs(np.sin(azimuth)))
        # sides roll up where the front and back dip
        way = flat + (hat["curl"] - 0.25 * np.cos(2 * azimuth) * (hat["crown"] / 52.0))[:, None] * 0.6 * y
        sag = np.zeros(len(azimuth))
    move = _OUT[None, :, None] * width[:, None, None] * way[:, None]
    present = (_OUT > 0)[None, :, None] * (width > 1)[:, None, None]
    down = (sag[:, None] * _OUT + _THICK * _UNDER * (width > 1)[:, None])[..., None] * y
    return np.asarray(move - down * present)
