"""Hands at the face and things held in front of it: microphones, cups, phones, plain rounded things.

A hand is six lofts (palm with forearm, four fingers, a thumb) draped over the face. Each ring lies on the skin or,
where the skin falls away faster than a finger bends, above it. Local axes: x towards the thumb of a right hand, y along
the fingers, n away from the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .binding import Relief, relief
from .slots import RINGS, SKIN, Patch, loft

_PLANE = 0.2  # m to each side of the anchor that the face's relief covers
# palm and forearm, mm: place along y, half width, half thickness
_PALM = np.array(
    [
        *((-240, 37, 31), (-112, 33, 26), (-110, 29, 21), (-82, 26, 18), (-62, 28, 17), (-40, 35, 16.5)),
        *((-15, 40, 15.5), (8, 42, 14), (26, 41, 12), (38, 36, 10), (46, 24, 7), (48, 0, 0)),
    ],
    float,
)
_ALONG = np.array([0, 0.12, 0.27, 0.4, 0.46, 0.54, 0.66, 0.72, 0.82, 0.92, 0.98, 1.0])
_THICK = np.array([1.0, 1.02, 0.97, 0.97, 1.03, 0.97, 0.9, 0.92, 0.88, 0.74, 0.45, 0.0])
# index to little finger, then thumb: base x, base y, length, radius, direction outward (radians)
_FINGERS = np.array(
    [
        *((28.0, 30.0, 80.0, 8.6, 0.10), (10.0, 36.0, 86.0, 8.8, 0.02), (-8.5, 32.0, 80.0, 8.2, -0.06)),
        *((-26.0, 21.0, 64.0, 7.2, -0.16), (30.0, -40.0, 78.0, 10.6, 0.75)),
    ]
)
_FAN = np.array([1.0, 0.3, -0.4, -1.2, 0.8])
_SPHERE = np.linspace(0, np.pi, RINGS)


def _skin_colour(tone: np.ndarray, rings: int, finger: bool) -> np.ndarray:
    """(sides,rings,3): redder joints and tips, paler nails, darker between fingers."""
    colour = np.broadcast_to(tone, (10, rings, 3)).copy()
    turn = np.arange(10) / 10 * 2 * np.pi
    colour *= (0.78 + 0.22 * np.abs(np.sin(turn)))[:, None, None]
    if finger:
        red = np.exp(-(((_ALONG - 0.46) / 0.07) ** 2)) + np.exp(-(((_ALONG - 0.72) / 0.05) ** 2)) + (_ALONG > 0.9)
        colour *= 1 - 0.12 * red[:, None] * np.array([0.3, 1.0, 0.9])
        colour[2:4, 8:10] = np.minimum(tone * [1.25, 1.15, 1.12] + 0.03, 0.85)
    return colour


def _drape(centres: np.ndarray, deep: np.ndarray, table: Relief, slope: float, lift: float) -> np.ndarray:
    """Heights (R,) mm above the plane for rings at centres (R,2) mm: on the skin, falling by at most `slope`."""
    need = table.at(centres * 0.001) * 1000.0 + 0.9 * deep + lift
    need = np.where(np.isfinite(need), need, -400.0)
    height = need.copy()
    step = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    for i in range(1, len(height)):
        height[i] = max(need[i], height[i - 1] - slope * step[i - 1])
    for i in range(len(height) - 2, -1, -1):
        height[i] = max(height[i], height[i + 1] - 0.9 * step[i])
    return height


def face_relief(vertices: np.ndarray, anchor: np.ndarray, axes: np.ndarray) -> Relief:
    """Height (m) of skin vertices (V,3) over the plane through `anchor` with rows ex, ey, n."""
    local = (vertices - anchor) @ axes.T
    corner = np.full(2, _PLANE)
    return relief(local[:, :2], local[:, 2], -corner, corner, (66, 66))


def hand_patches(
    hand: Mapping[str, Any], anchor: np.ndarray, axes: np.ndarray, vertices: np.ndarray, scale: float
) -> dict[str, Patch]:
    """A hand whose middle fingers' bases lie at `anchor` (3,); axes: rows ex, ey, n; scale: of the person's face."""
    mirror = 1.0 if hand["left"] else -1.0
    size = hand["size"] * scale
    table = face_relief(vertices, anchor, axes)
    tone = hand["tone"]

    def world(local: np.ndarray) -> np.ndarray:
        return anchor + 0.001 * local @ axes

    patches = {}
    along, wide, deep = (_PALM * size).T
    flat = np.stack([np.zeros(RINGS), along - 30.0 * size], axis=1)
    height = _drape(flat[::-1], deep[::-1], table, 0.35, hand["lift"])[::-1]
    arm = np.clip(-(along / size + 60.0), 0, None)
    height = np.maximum(height, height[4] + 0.22 * arm * size)
    centres = np.concatenate([flat, height[:, None]], axis=1)
    colour = _skin_colour(tone, RINGS, False)
    colour[:, :2] = hand["sleeve"]
    uv = np.stack([np.arange(10)[:, None] * 9.0 + 0 * along, along[None] * 1.3 + np.zeros((10, 1))], axis=-1)
    palm = loft(world(centres), 0.001 * wide, 0.001 * deep, axes[0], power=2.6)
    patches["part0"] = Patch(palm, colour, "occluder", 0.5, SKIN, 0.5, uv)
    root = height[9]
    for i, (x, y, length, radius, lean) in enumerate(_FINGERS):
        turn = lean + hand["spread"] * _FAN[i]
        bent = hand["curl"] * (0.6 if i == 4 else 1.0)
        # a bent finger looks shorter from the back
        reach = _ALONG * length * size * (1 - 0.16 * bent * _ALONG)
        flat = np.stack([mirror * (x * size + np.sin(turn) * reach), (y - 30.0) * size + np.cos(turn) * reach], axis=1)
        thick = _THICK * radius * size
        height = _drape(flat, thick, table, 0.25 + 0.8 * bent, hand["lift"])
        start = root if i < 4 else centres[5, 2]
        blend = np.clip(1 - _ALONG / 0.35, 0, 1)
        height = np.maximum(height, start * blend + height * (1 - blend))
        tube = loft(world(np.concatenate([flat, height[:, None]], axis=1)), 0.001 * thick, 0.00092 * thick, axes[0])
        uv = np.stack([np.arange(10)[:, None] * 5.0 + 0 * reach, reach[None] * 1.5 + np.zeros((10, 1))], axis=-1)
        patches[f"part{i + 1}"] = Patch(tube, _skin_colour(tone, RINGS, True), "occluder", 0.55, SKIN, 0.5, uv)
    return patches


def grip_patches(
    centre: np.ndarray, axes: np.ndarray, radius: float, tone: np.ndarray, sleeve: np.ndarray, scale: float, left: bool
) -> dict[str, Patch]:
    """A fist around a rod: centre (3,) m on the rod, rows ex (to the fingertips), ey (up the rod), n (to the viewer);
    radius of the rod in m. The palm and the forearm are behind, fingers come round to the viewer's side."""
    ex, ey, n = axes
    side = 1.0 if left else -1.0
    patches = {}
    for i in range(4):
        thick = 0.001 * scale * (7.9, 8.1, 7.6, 6.6)[i] * _THICK
        around = np.radians(200.0 - (215.0 - 12.0 * abs(i - 1)) * _ALONG)
        out = radius + 0.95 * thick.max()
        line = centre + ey * 0.001 * scale * (26.0 - 17.5 * i)
        line = line + out * (np.cos(around)[:, None] * -ex * side + np.sin(around)[:, None] * n)
        tube = loft(line, thick, thick, ey)
        colour = _skin_colour(tone, RINGS, True)
        uv = np.stack([np.arange(10)[:, None] * 5.0 + 0 * _ALONG, _ALONG[None] * 110.0 + np.zeros((10, 1))], axis=-1)
        patches[f"part{i + 1}"] = Patch(tube, colour, "occluder", 0.55, SKIN, 0.5, uv)
    # palm and forearm: from the rod's far side away and down
    along, wide, deep = _PALM.T * 0.001 * scale
    away = -0.55 * ey + 0.75 * side * ex - 0.25 * n
    away /= np.linalg.norm(away)
    base = centre + side * ex * (radius + 0.012 * scale) - 0.004 * n
    line = base + away * (0.03 * scale - along)[:, None]
    colour = _skin_colour(tone, RINGS, False)
    colour[:, :2] = sleeve
    palm = loft(line, 0.85 * wide, 1.2 * deep, ey)
    patches["part0"] = Patch(palm, colour, "occluder", 0.5, SKIN, 0.4)
    thick = 0.001 * scale * 10.0 * _THICK
    around = np.radians(-20.0 + 130.0 * _ALONG)
    line = centre + ey * 0.001 * scale * (34.0 + 14.0 * _ALONG)[:, None]
    line = line + (radius + thick.max()) * (np.cos(around)[:, None] * ex * side + np.sin(around)[:, None] * n)
    patches["part5"] = Patch(loft(line, thick, thick, ey), _skin_colour(tone, RINGS, True), "occluder", 0.55, SKIN, 0.5)
    return patches


def thing_patches(
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
            "part6": Patch(loft(place + ball, 0.0225 * size * ring, 0.018 * size * ring, across), colour, "occluder")
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
            "part6": Patch(head, np.array([0.16, 0.16, 0.17]) * mesh * (0.5 + 1.2 * thing["grey"]), "occluder", 1.2),
            "part7": Patch(loft(ball + axis * along[:, None], thick, thick, x), colour, "occluder", 0.9),
        }
        if thing["held"]:
            up = -axis
            ex = np.cross(up, z)
            ex /= np.linalg.norm(ex)
            axes = np.stack([ex, up, np.cross(ex, up)])
            patches |= grip_patches(
                ball + axis * radius * 4.4, axes, 0.62 * radius, thing["tone"], thing["sleeve"], scale, left
            )
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
        patches = {"part6": Patch(loft(centre + up * along[:, None], thick, thick, x), body, "occluder", 0.8)}
        if thing["held"]:
            ex = x - up * (x @ up)
            ex /= np.linalg.norm(ex)
            axes = np.stack([ex, up, np.cross(ex, up)])
            patches |= grip_patches(
                centre - 0.08 * tall * up, axes, 0.9 * radius, thing["tone"], thing["sleeve"], scale, left
            )
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
    patches = {"part6": Patch(phone, colour, "occluder", 1.4)}
    if thing["held"]:
        hand = {"left": not left, "size": 1.0, "tone": thing["tone"], "sleeve": thing["sleeve"]}
        hand |= {"lift": 0.0, "spread": 0.02, "curl": 0.9}
        tilt = np.cos(0.3) * ey + side * np.sin(0.3) * axes[0]
        held_axes = np.stack([np.cross(tilt, n), tilt, n])
        solid = np.concatenate([vertices[(local[:, 2] < level + 0.01)], _sheet(phone, n)])
        patches |= hand_patches(hand, anchor + n * level - 0.012 * ey, held_axes, solid, scale)
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
