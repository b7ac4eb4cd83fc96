"""Where hands lie at the face, and things held in front of it: microphones, cups, phones, plain rounded things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .hands import Hand, gripping, laid
from .slots import RINGS, Patch, loft

_SPHERE = np.linspace(0, np.pi, RINGS)


def thing_patches(
    hand: Hand,
    thing: Mapping[str, Any],
    points: np.ndarray,
    frame: np.ndarray,
    camera: np.ndarray,
    vertices: np.ndarray,
    scale: float,
) -> dict[str, Patch]:
    """What is in front of a posed face: landmarks (68,3) m, frame rows x, y, z, camera rows right, down, forward."""
    x, y, z = frame
    right, down, forward = camera
    size, colour, left = thing["size"], thing["colour"], thing["left"]
    side = 1.0 if left else -1.0
    c, s = np.cos(thing["turn"]), np.sin(thing["turn"])
    mouth = points[[51, 57]].mean(0)
    shift = 0.001 * (thing["x"] * x + thing["y"] * y)
    kind = thing["kind"]
    if kind == "blob":
        place = points[27:36].mean(0) - forward * 0.06 + 0.001 * (thing["x"] * right - thing["y"] * down) * 2.0
        axis, across = c * right + s * down, c * down - s * right
        ball = -np.cos(_SPHERE)[:, None] * axis * 0.057 * size
        ring = np.sin(_SPHERE)
        return {
            "part0": Patch(loft(place + ball, 0.0225 * size * ring, 0.018 * size * ring, across), colour, "occluder")
        }
    if kind == "microphone":
        radius = 0.023 * size
        ball = mouth + shift - 0.018 * y + z * (0.012 + 0.001 * thing["near"] + radius)
        axis = -0.85 * c * y + 0.55 * z + s * x
        axis /= np.linalg.norm(axis)
        ring = np.sin(_SPHERE)
        head = loft(ball + np.cos(_SPHERE)[:, None] * -axis * radius * 1.1, radius * ring, radius * ring, x)
        mesh = np.where((np.add.outer(np.arange(10), np.arange(RINGS)) % 2)[..., None] == 0, 0.55, 1.0)
        along = np.array([0.8, 0.8, 1.2, 1.25, 1.6, 2.5, 4.0, 5.5, 7.0, 8.0, 8.1, 8.1]) * radius
        thick = np.array([0.0, 0.98, 0.98, 0.72, 0.68, 0.64, 0.6, 0.56, 0.52, 0.5, 0.4, 0.0]) * radius
        patches = {
            "part0": Patch(head, np.array([0.16, 0.16, 0.17]) * mesh * (0.5 + 1.2 * thing["grey"]), "occluder", 1.2),
            "part1": Patch(loft(ball + axis * along[:, None], thick, thick, x), colour, "occluder", 0.9),
        }
        if thing["held"]:
            up = -axis
            ex = np.cross(up, z)
            ex /= np.linalg.norm(ex)
            axes = np.stack([ex, up, np.cross(ex, up)])
            patches["hand"] = gripping(hand, thing, ball + axis * radius * 4.4, axes, 0.62 * radius, scale)
        return patches
    if kind == "cup":
        radius, tall = 0.036 * size, 0.095 * size
        up = c * y + 0.3 * z + 0.4 * s * x
        up /= np.linalg.norm(up)
        rim = mouth + 0.5 * shift - 0.004 * y + z * (0.012 + 0.0006 * thing["near"])
        centre = rim + (z - up * (z @ up)) * radius - up * tall / 2
        along = np.array([-0.5, -0.5, -0.5, -0.2, 0.1, 0.38, 0.5, 0.5, 0.5, 0.42, 0.38, 0.38]) * tall
        thick = np.array([0.0, 0.8, 0.8, 0.87, 0.93, 0.98, 1.0, 1.0, 0.93, 0.91, 0.9, 0.0]) * radius
        body = np.broadcast_to(colour, (10, RINGS, 3)).copy()
        body[:, 10:] = [0.03, 0.015, 0.008]
        body[:, 3:5] *= thing["band"]
        patches = {"part0": Patch(loft(centre + up * along[:, None], thick, thick, x), body, "occluder", 0.8)}
        if thing["held"]:
            ex = x - up * (x @ up)
            ex /= np.linalg.norm(ex)
            axes = np.stack([ex, up, np.cross(ex, up)])
            patches["hand"] = gripping(hand, thing, centre - 0.08 * tall * up, axes, 0.9 * radius, scale)
        return patches
    # a phone at the ear: from the ear to the corner of the mouth, flat on the cheek
    ear, corner, cheek = (points[16], points[54], points[13]) if left else (points[0], points[48], points[3])
    n = 0.93 * side * x + 0.25 * z - 0.1 * y
    n /= np.linalg.norm(n)
    ey = ear + 0.02 * y - 0.02 * z - corner
    ey = ey - n * (ey @ n)
    ey = ey / np.linalg.norm(ey) + 0.25 * s * z
    ey = ey - n * (ey @ n)
    ey /= np.linalg.norm(ey)
    axes = np.stack([np.cross(ey, n), ey, n])
    anchor = 0.5 * ear + 0.25 * corner + 0.25 * cheek + 0.5 * shift - 0.01 * y
    half = 0.074 * size
    along = np.array([-1, -1, -1, -0.97, -0.5, 0, 0.4, 0.8, 0.97, 1, 1, 1]) * half
    wide = np.array([0.0, 0.92, 0.92, 1, 1, 1, 1, 1, 1, 0.92, 0.92, 0.0]) * 0.036 * size
    deep = np.array([0.0, 0.7, 0.7, 1, 1, 1, 1, 1, 1, 0.7, 0.7, 0.0]) * 0.0045
    local = (vertices - anchor) @ axes.T
    under = (np.abs(local[:, 0]) < 0.03) & (np.abs(local[:, 1]) < half)
    level = np.quantile(local[under, 2], 0.97) + 0.006 if under.any() else 0.0
    phone = loft(anchor + n * level + ey * along[:, None], wide, deep, axes[0], power=7.0)
    patches = {"part0": Patch(phone, colour, "occluder", 1.4)}
    if thing["held"]:
        settings = {"left": left, "size": 1.0, "tone": thing["tone"], "sleeve": thing["sleeve"]}
        settings |= {"lift": 0.0, "spread": 0.02, "curl": 0.9}
        tilt = y - 0.35 * z  # the elbow is below, and a little in front
        tilt = tilt - n * (tilt @ n)
        tilt /= np.linalg.norm(tilt)
        held_axes = np.stack([np.cross(tilt, n), tilt, n])
        solid = np.concatenate([vertices[(local[:, 2] < level + 0.01)], _sheet(phone, n)])
        patches["hand"] = laid(hand, settings, anchor + n * level - 0.012 * ey, held_axes, solid, scale)
    return patches


def _sheet(patch: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Points (N,3) all over the outer side of a box."""
    flat = patch.reshape(-1, 3)
    low = flat[(flat @ n).argsort()[len(flat) // 2 :]]
    mix = np.linspace(0, 1, 7)[:, None, None]
    return np.asarray((low[None] * mix + low[::-1][None] * (1 - mix)).reshape(-1, 3))


#: where a hand rests: landmarks whose mean is the anchor if the hand is on the left, weight of each
ANCHORS: dict[str, tuple[int, ...]] = {
    "cheek": (11, 12, 12, 13),
    "chin": (10, 9, 8),
    "mouth": (54, 51, 33),
    "forehead": (24, 25, 23),
    "temple": (15, 16, 16, 26),
}
MIRROR = {11: 5, 12: 4, 13: 3, 15: 1, 10: 6, 9: 7, 8: 8, 54: 48, 51: 51, 33: 33, 24: 19, 25: 18, 23: 20, 16: 0, 26: 17}
# direction of the fingers in the face's plane (radians from up, towards the other side), and how much the palm faces
# the side of the head
_POSE = {
    "cheek": (0.0, 0.85),
    "chin": (0.75, 0.15),
    "mouth": (0.95, 0.1),
    "forehead": (0.85, 0.15),
    "temple": (0.25, 0.95),
}


def is_right(p: Mapping[str, Any]) -> bool:
    """Whether the hand of a scene, if there is one, is a right one."""
    return not p["occluder" if p["occluder"]["present"] else "hand"]["left"]


def place_hand(hand: Mapping[str, Any], points: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Anchor (3,) and axes (3,3) of a hand at the face of these landmarks."""
    x, y, z = frame
    side = 1.0 if hand["left"] else -1.0
    numbers = ANCHORS[hand["place"]]
    chosen = list(numbers) if hand["left"] else [MIRROR[i] for i in numbers]
    anchor = points[chosen].mean(0) + 0.001 * (hand["x"] * x + hand["y"] * y)
    lean, lateral = _POSE[hand["place"]]
    n = z + 1.2 * lateral * side * x
    if hand["place"] == "chin":
        n = n - 0.5 * y
    n /= np.linalg.norm(n)
    turn = lean + hand["turn"]
    ey = np.cos(turn) * y - side * np.sin(turn) * x
    ey = ey - n * (ey @ n)
    ey /= np.linalg.norm(ey)
    return anchor, np.stack([np.cross(ey, n), ey, n])
