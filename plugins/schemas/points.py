"""Point schemas: the 68 landmarks of 300W."""

from __future__ import annotations

from collections.abc import Mapping

from synthforge.core.schemas import PointClasses, PointSchema

__all__ = ["IBUG68"]


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
