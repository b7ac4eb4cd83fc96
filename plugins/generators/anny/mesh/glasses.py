"""Glasses as geometry: two rims, a bridge, two temples, two lenses. Topology and shape here; the renderer places them.

Coordinates are the wearer's: millimetres, x to the subject's left, y up, z forward, from the midpoint between the eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

RIM_POINTS = 28
TUBE = 5  # corners of a rim's cross-section
BRIDGE_POINTS = 5
TEMPLE_POINTS = 4
_TUBES = (
    (RIM_POINTS, True),
    (RIM_POINTS, True),
    (BRIDGE_POINTS, False),
    (TEMPLE_POINTS, False),
    (TEMPLE_POINTS, False),
)


def _topology() -> tuple[np.ndarray, np.ndarray, int]:
    frame, lens, first = [], [], 0
    for points, closed in _TUBES:
        for i in range(points if closed else points - 1):
            for k in range(TUBE):
                a, b = first + i * TUBE + k, first + i * TUBE + (k + 1) % TUBE
                c = first + ((i + 1) % points) * TUBE + k
                d = first + ((i + 1) % points) * TUBE + (k + 1) % TUBE
                frame += [(a, c, d), (a, d, b)]
        first += points * TUBE
    for _ in range(2):
        lens += [(first, first + 1 + i, first + 1 + (i + 1) % RIM_POINTS) for i in range(RIM_POINTS)]
        first += RIM_POINTS + 1
    return np.array(frame, np.int32), np.array(lens, np.int32), first


FRAME_FACES, LENS_FACES, GLASSES_VERTICES = _topology()


def glasses_shape(glasses: Mapping[str, Any], half_gap: float) -> np.ndarray:
    """Vertices (GLASSES_VERTICES,3) in mm of glasses whose lens centres lie `half_gap` mm from the middle.

    The lenses lie in the plane z = 0, slightly wrapped; temples run back 95 mm.
    """
    width, height, rim = glasses["width"], glasses["height"], glasses["rim"] / 2
    turn = np.arange(RIM_POINTS) / RIM_POINTS * 2 * np.pi
    power = 2 / (2 + 6 * (1 - glasses["roundness"]))
    cos, sin = np.cos(turn), np.sin(turn)
    outline = np.stack(
        [width * np.sign(cos) * np.abs(cos) ** power, height * np.sign(sin) * np.abs(sin) ** power, 0 * cos], axis=1
    )
    outline[:, 1] -= glasses["drop"]
    parts, lenses = [], []
    for side in (1.0, -1.0):
        ring = outline + np.array([side * half_gap, 0.0, 0.0])
        ring[:, 2] = -0.0035 * np.abs(ring[:, 0]) ** 1.7 * 0.5
        parts.append(_tube(ring, rim, closed=True))
        middle = ring.mean(0)
        lenses.append(np.concatenate([middle[None], ring]))
    inner = half_gap - width
    t = np.linspace(-1, 1, BRIDGE_POINTS)
    bridge = np.stack([t * max(inner, 2.0), 3.5 - glasses["drop"] + 2.5 * (1 - t**2), 1.0 - t**2 * 0.5], axis=1)
    parts.append(_tube(bridge, rim * 1.1, closed=False))
    for side in (1.0, -1.0):
        hinge = np.array([side * (half_gap + width), height * 0.35 - glasses["drop"], 0.0])
        hinge[2] = -0.0035 * abs(hinge[0]) ** 1.7 * 0.5
        ear = np.array([side * 2.4 * half_gap, 2.0, -100.0])
        corner = np.array([side * 2.35 * half_gap, hinge[1], hinge[2] - 9.0])
        line = np.stack([hinge, corner, corner * 0.5 + ear * 0.5, ear])
        parts.append(_tube(line, rim * 0.9, closed=False))
    return np.concatenate(parts + lenses)


def _tube(line: np.ndarray, radius: float, closed: bool) -> np.ndarray:
    """Rings of TUBE points around a line (N,3): (N * TUBE,3)."""
    if closed:
        tangent = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    else:
        tangent = np.gradient(line, axis=0)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(tangent[:, 2:3]) < 0.8, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    a = np.cross(tangent, helper)
    a /= np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-9)
    b = np.cross(tangent, a)
    angle = np.arange(TUBE) / TUBE * 2 * np.pi
    ring = a[:, None] * np.cos(angle)[:, None] + b[:, None] * np.sin(angle)[:, None]
    return np.asarray((line[:, None] + radius * ring).reshape(-1, 3))
