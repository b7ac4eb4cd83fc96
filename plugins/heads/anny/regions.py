"""Which part of the face a surface point belongs to.

The answer is a table: every triangle has its own little map of CELLS x CELLS class ids, indexed by the first two
barycentric coordinates. One look-up a pixel, no seams, and the same array serves a GPU kernel. It is computed from the
canonical head. Each class is bounded there by a level set of `anatomy`, on which the landmarks lie, too, or by a smooth
curve in the front or side view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator

from synthforge.core.schemas import CLASS_SCHEMAS

from .anatomy import Anatomy, nose_base, nose_tip, nose_width, study

if TYPE_CHECKING:
    from .head import AnnyHead

CELLS = 32
_COARSE = 4

_BY_GROUP = {
    "body": "skin",
    "left_eye": "left_eye",
    "right_eye": "right_eye",
    "upper_teeth": "teeth",
    "lower_teeth": "teeth",
    "tongue": "tongue",
    "left_lower_lashes": "left_lid",
    "left_upper_lashes": "left_lid",
    "right_lower_lashes": "right_lid",
    "right_upper_lashes": "right_lid",
    "hair": "hair",
}
_BY_CAVITY = ("skin", "left_eye", "right_eye", "inner_mouth")

# Hairline in the side view, (z, y) in metres from behind the head to the forehead: nape, behind the ear, over the ear,
# sideburn down to the tragus, temple, and the trichion some 65 mm above the root of the nose.
_HAIRLINE = (
    *((-0.200, -0.036), (-0.090, -0.036), (-0.065, -0.026), (-0.046, -0.012), (-0.038, 0.028), (-0.014, 0.028)),
    *((-0.010, 0.000), (0.007, 0.000), (0.016, 0.016), (0.024, 0.031), (0.034, 0.047), (0.050, 0.071)),
    *((0.064, 0.085), (0.075, 0.089), (0.200, 0.089)),
)
# Where neck meets torso, along the slope of the trapezius and following the rig's own neck bone. Height (m) on the
# midline at z = 0; its rise towards the back per metre; its rise with the squared distance from the midline (1/m).
_COLLAR = (-0.1456, 0.2, 4.5)
#: the face goes on a little below the jaw line (m): its landmarks lie in the skin, not on the boundary
_JAW_MARGIN = 0.004


@dataclass(frozen=True)
class RegionTable:
    """table (F,CELLS,CELLS) uint8 class ids.

    Face f at barycentric (a, b, c) reads table[f, min(int(a * CELLS), CELLS - 1), min(int(b * CELLS), CELLS - 1)].
    """

    table: np.ndarray

    def at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 of points given by face_id (N,) and barycentric (N,3)."""
        cells = self.table.shape[1]
        first = np.minimum((barycentric[:, 0] * cells).astype(np.int32), cells - 1)
        second = np.minimum((barycentric[:, 1] * cells).astype(np.int32), cells - 1)
        index = (face_id.astype(np.int32, copy=False) * cells + first) * cells + second
        return self.table.reshape(-1).take(index)


def build_regions(head: AnnyHead) -> RegionTable:
    """The region table of a head. Faces whose coarse map has one class are filled with it, the others done in full."""
    classify = _Classifier(head)
    everything = np.arange(len(head.faces))
    rim = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    coarse = classify(everything, np.concatenate([rim, _cell_centres(_COARSE)]))
    mixed = np.flatnonzero((coarse != coarse[:, :1]).any(1))
    table = np.repeat(coarse[:, :1], CELLS * CELLS, axis=1)
    table[mixed] = classify(mixed, _cell_centres(CELLS))
    return RegionTable(np.ascontiguousarray(table.reshape(-1, CELLS, CELLS)))


def _cell_centres(cells: int) -> np.ndarray:
    """Barycentric coordinates (cells * cells, 3) of the cells' centres, moved onto the triangle where outside."""
    a, b = np.meshgrid((np.arange(cells) + 0.5) / cells, (np.arange(cells) + 0.5) / cells, indexing="ij")
    weight = np.stack([a, b, np.clip(1 - a - b, 0, None)], axis=-1).reshape(-1, 3)
    return weight / weight.sum(1, keepdims=True)


class _Classifier:
    """Class ids of points given by face and barycentric coordinates, straight from the anatomy."""

    def __init__(self, head: AnnyHead) -> None:
        self._anatomy = anatomy = study(head)
        self._faces = head.faces
        self._body = head.face_group == 0
        self._id = CLASS_SCHEMAS[head.region_schema].id
        flat = np.array([self._id(_BY_GROUP[name]) for name in head.group_names])[head.face_group]
        cavity = np.array([self._id(name) for name in _BY_CAVITY])[anatomy.cavity]
        self._flat = np.where(anatomy.cavity > 0, cavity, flat).astype(np.uint8)
        self._open = self._body & (anatomy.cavity == 0)
        self._fields = np.stack(
            [
                *anatomy.rest.T,
                *anatomy.lid,
                *anatomy.lid_skin,
                anatomy.lips,
                anatomy.mouth,
                anatomy.lip_line,
                head.ear - 0.5,
            ],
            axis=1,
        ).astype(np.float32)
        self._brow = _brow_edges(head, anatomy)
        self._hairline = PchipInterpolator(*np.array(_HAIRLINE).T)
        self._neckline = _neckline(head, anatomy)
        self._nose_half, self._nose_floor = _nose_outline(anatomy)

    def __call__(self, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """faces (N,), weights (M,3) -> (N,M) uint8."""
        result = np.repeat(self._flat[faces][:, None], len(weights), axis=1)
        chosen = np.flatnonzero(self._open[faces])
        corners = self._fields[self._faces[faces[chosen]]]
        values = np.einsum("mk,nkf->nmf", weights.astype(np.float32), corners)
        result[chosen] = self._surface(values.reshape(-1, values.shape[-1])).reshape(len(chosen), -1)
        return result

    def _surface(self, values: np.ndarray) -> np.ndarray:
        """Classes of points of the outer skin from their interpolated fields: later rules overrule earlier ones."""
        x, y, z, left_lid, right_lid, left_skin, right_skin, lips, mouth, lip_line, ear = values.T
        side = np.abs(x)
        left = x > 0
        front = z > 0.03
        rules = (
            (y < self._neckline(z), "neck"),
            (y > self._hairline(z), "scalp"),
            (y < _COLLAR[0] - _COLLAR[1] * z + _COLLAR[2] * x * x, "torso"),
            ((ear > 0) & left, "left_ear"),
            ((ear > 0) & ~left, "right_ear"),
            ((z > 0.055) & (side < self._nose_half(y)) & (y > self._nose_floor(side)), "nose"),
            (front & left & _in_brow(self._brow, side, y), "left_brow"),
            (front & ~left & _in_brow(self._brow, side, y), "right_brow"),
            (left_skin < 0, "left_lid"),
            (right_skin < 0, "right_lid"),
            (left_lid < 0, "left_eye"),
            (right_lid < 0, "right_eye"),
            ((lips < 0) & (lip_line > 0), "upper_lip"),
            ((lips < 0) & (lip_line <= 0), "lower_lip"),
            (mouth < 0, "inner_mouth"),
        )
        classes = np.full(len(x), self._id("skin"), np.uint8)
        for where, name in rules:
            classes[where] = self._id(name)
        return classes


def _brow_edges(head: AnnyHead, anatomy: Anatomy) -> np.ndarray:
    """The left brow band of the embedding in the front view: lower and upper edge, (2,N,2) x and y."""
    band = head.embedding
    return (anatomy.rest[band.brow_vertices[0]] * band.brow_barycentric[0, ..., None]).sum(-2)[..., :2]


def _in_brow(edges: np.ndarray, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    (low_x, low_y), (high_x, high_y) = edges.transpose(0, 2, 1)
    inside = (side > low_x[0]) & (side < low_x[-1])
    return inside & (y > np.interp(side, low_x, low_y)) & (y < np.interp(side, high_x, high_y))


def _neckline(head: AnnyHead, anatomy: Anatomy) -> PchipInterpolator:
    """Lower end of the face in the side view, y of z: below the jaw line, under the ear, along the nape."""
    points = head.embedding
    jaw = (anatomy.rest[points.vertices[8:15]] * points.barycentric[8:15, :, None]).sum(1)
    ear = anatomy.rest[head.ear > 0.5]
    lobe = ear[ear[:, 1].argmin()]
    shifted = jaw[:, [2, 1]] - _JAW_MARGIN / np.sqrt(2)
    # behind the ear everything below the hairline is neck: the scalp overrules it further up
    behind = [(-0.2, 0.03), (lobe[2] - 0.014, 0.03), (lobe[2], lobe[1] + 0.004)]
    line = np.array([*behind, *(tuple(p) for p in shifted[::-1] if p[0] > lobe[2]), (0.2, shifted[0, 1])])
    # an interpolator needs strictly increasing z: the ramus is nearly vertical
    z = np.maximum.accumulate(line[:, 0] + 1e-6 * np.arange(len(line)))
    return PchipInterpolator(z + 1e-5 * np.arange(len(line)), line[:, 1])


def _nose_outline(anatomy: Anatomy) -> tuple[PchipInterpolator, PchipInterpolator]:
    """Front view: half width (m) of the nose by height y, and height of its lower end by distance from the midline."""
    tip, wing = nose_tip(anatomy), nose_width(anatomy)
    floor = [nose_base(anatomy, share * wing[0], tip)[0][1] for share in (0.0, 0.75)]
    root = anatomy.eye_centre[0, 1] + 0.004
    widths = (
        (-0.2, 0.0),
        (floor[1] - 0.004, 0.8 * wing[0]),
        (floor[1], 0.93 * wing[0]),
        (wing[1], wing[0] + 0.001),
        (tip[1] + 0.007, 0.9 * wing[0]),
        (tip[1] + 0.014, 0.64 * wing[0]),
        ((tip[1] + root) / 2 + 0.004, 0.0095),
        (root - 0.006, 0.0070),
        (root, 0.0055),
        (root + 0.004, 0.0),
        (0.3, 0.0),
    )
    half = PchipInterpolator(*np.array(widths).T)
    base = PchipInterpolator(
        [0.0, 0.4 * wing[0], 0.75 * wing[0], wing[0], 0.3],
        [floor[0], 0.4 * floor[0] + 0.6 * floor[1], floor[1], floor[1] + 0.002, floor[1] + 0.01],
    )
    return half, base
