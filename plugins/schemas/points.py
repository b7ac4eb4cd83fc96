"""Point schemas: 68 landmarks of 300W (iBUG), 70 of FaceSynthetics, 98 of WFLW, 106 of LaPa, and MediaPipe's 478.

Orders: Sagonas et al. 2016 (68), Wood et al. 2021 (70: iBUG's and two pupils), Wu et al. 2018 (98), Liu et al. 2020 and
the JD-landmark challenge (106), MediaPipe's face landmarker (468 vertices of its canonical face model, then irises).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from synthforge.core.schemas import PointClasses, PointSchema

__all__ = ["FACESYNTHETICS70", "IBUG68", "LAPA106", "MEDIAPIPE478", "WFLW98"]


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _chain(first: int, last: int, closed: bool = False) -> tuple[tuple[int, int], ...]:
    line = tuple((i, i + 1) for i in range(first, last))
    return (*line, (last, first)) if closed else line


def _pairs(count: int, swaps: Mapping[int, int]) -> tuple[int, ...]:
    table = list(range(count))
    for a, b in swaps.items():
        table[a], table[b] = b, a
    return tuple(table)


IBUG68 = PointSchema(
    name="ibug68",
    mirror=_pairs(
        68,
        {i: 16 - i for i in range(8)}
        | {17 + i: 26 - i for i in range(5)}
        | {31: 35, 32: 34}
        | {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
        | {48: 54, 49: 53, 50: 52, 59: 55, 58: 56, 60: 64, 61: 63, 67: 65},
    ),
    edges=(
        *_chain(0, 16),
        *_chain(17, 21),
        *_chain(22, 26),
        *_chain(27, 30),
        *_chain(31, 35),
        *_chain(36, 41, closed=True),
        *_chain(42, 47, closed=True),
        *_chain(48, 59, closed=True),
        *_chain(60, 67, closed=True),
    ),
    regions={
        "jaw": _span(0, 16),
        "brows": _span(17, 26),
        "nose": _span(27, 35),
        "eyes": _span(36, 47),
        "mouth": _span(48, 67),
    },
    classes=PointClasses(
        "synthforge",
        {
            "right_brow": (_span(17, 21), ("right_brow", "skin", "right_lid")),
            "left_brow": (_span(22, 26), ("left_brow", "skin", "left_lid")),
            "nose": (_span(27, 35), ("nose",)),
            "right_eye": (_span(36, 41), ("right_eye", "right_lid")),
            "left_eye": (_span(42, 47), ("left_eye", "left_lid")),
            "mouth": (_span(48, 67), ("upper_lip", "lower_lip", "inner_mouth", "teeth", "tongue")),
        },
        covers=("hair", "facial_hair", "glasses", "lens", "hat", "face_mask", "occluder"),
        everywhere="skin",
    ),
)


FACESYNTHETICS70 = PointSchema(
    name="facesynthetics70",
    mirror=(*IBUG68.mirror, 69, 68),
    edges=IBUG68.edges,
    regions={**IBUG68.regions, "pupils": (68, 69)},
    classes=IBUG68.classes,
)


def _swapped(*spans: tuple[int, int]) -> dict[int, int]:
    """Each span of points runs from the subject's right to the left: its ends change places, and so on inwards."""
    return {first + i: last - i for first, last in spans for i in range((last - first + 1) // 2)}


#: contour; upper and lower edges of the brows; mouth: the same order in both, the mouth from another index on
_CONTOUR_AND_BROWS = _swapped((0, 32)) | {i: 79 - i for i in range(33, 38)} | {38: 50, 39: 49, 40: 48, 41: 47}


def _mouth(first: int) -> dict[int, int]:
    return {first + a - 48: first + b - 48 for a, b in enumerate(IBUG68.mirror) if 48 <= a < b}


def _lines(nose: int, base: tuple[int, int], eyes: tuple[int, int], mouth: int) -> tuple[tuple[int, int], ...]:
    """Edges of the schemas with 33 points on the contour; the first points of bridge, eyes and mouth."""
    return (
        *_chain(0, 32),
        *_chain(33, 41, closed=True),
        *_chain(42, 50, closed=True),
        *_chain(nose, nose + 3),
        *_chain(*base),
        *(edge for eye in eyes for edge in _chain(eye, eye + 7, closed=True)),
        *_chain(mouth, mouth + 11, closed=True),
        *_chain(mouth + 12, mouth + 19, closed=True),
    )


WFLW98 = PointSchema(
    name="wflw98",
    mirror=_pairs(
        98,
        _CONTOUR_AND_BROWS
        | _swapped((55, 59))
        | {60: 72, 61: 71, 62: 70, 63: 69, 64: 68, 65: 75, 66: 74, 67: 73, 96: 97}
        | _mouth(76),
    ),
    edges=_lines(51, (55, 59), (60, 68), 76),
    regions={
        "jaw": _span(0, 32),
        "brows": _span(33, 50),
        "nose": _span(51, 59),
        "eyes": _span(60, 75),
        "mouth": _span(76, 95),
        "pupils": (96, 97),
    },
    eye_corners=(60, 72),
)
LAPA106 = PointSchema(
    name="lapa106",
    mirror=_pairs(
        106,
        _CONTOUR_AND_BROWS
        | _swapped((55, 65))
        | {66: 79, 67: 78, 68: 77, 69: 76, 70: 75, 71: 82, 72: 81, 73: 80, 74: 83, 104: 105}
        | _mouth(84),
    ),
    edges=_lines(51, (55, 65), (66, 75), 84),
    regions={
        "jaw": _span(0, 32),
        "brows": _span(33, 50),
        "nose": _span(51, 65),
        "eyes": _span(66, 83),
        "mouth": _span(84, 103),
        "pupils": (104, 105),
    },
    eye_corners=(66, 79),
)

#: first and last vertex of a run on the subject's right, and how much further on their mirror images are
_MEDIAPIPE_PAIRS = (
    *((3, 3, 245), (7, 7, 242), (20, 93, 230), (95, 150, 229), (153, 163, 227), (165, 167, 226), (169, 174, 225)),
    *((176, 194, 224), (196, 196, 223), (198, 198, 222), (201, 247, 220)),
)
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
_RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)


def _mediapipe() -> PointSchema:
    swaps = {i: i + step for first, last, step in _MEDIAPIPE_PAIRS for i in range(first, last + 1)}
    swaps |= {468: 473, 469: 476, 470: 475, 471: 474, 472: 477}
    mirror = _pairs(478, swaps)

    def ring(points: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(zip(points, (*points[1:], points[0]), strict=True))

    eyes = (_RIGHT_EYE, tuple(mirror[i] for i in _RIGHT_EYE))
    brows = (_RIGHT_BROW, tuple(mirror[i] for i in _RIGHT_BROW))
    irises = (_span(469, 472), _span(474, 477))
    rings = (_OVAL, *brows, *eyes, _OUTER_LIPS, _INNER_LIPS, *irises)
    return PointSchema(
        name="mediapipe478",
        mirror=mirror,
        edges=(*(edge for points in rings for edge in ring(points)), *pairwise(_NOSE)),
        regions={
            "jaw": _OVAL,
            "brows": brows[0] + brows[1],
            "nose": _NOSE,
            "eyes": eyes[0] + eyes[1],
            "mouth": _OUTER_LIPS + _INNER_LIPS,
            "irises": _span(468, 477),
        },
        eye_corners=(33, 263),
    )


MEDIAPIPE478 = _mediapipe()
