"""How the points of further schemas are put together from iBUG's 68 and more: tables, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_LEFT, _RIGHT = 0, 1
_CENTRE = (0.0, 0.0)
#: towards the subject's left and up, in radii of the iris
_RIM = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
_MOUTH = range(48, 68)


@dataclass(frozen=True)
class PointSources:
    """Where points come from, by index. ibug: of which of the 68. jaw: position along its points 0 to 16.

    iris: the eye, and the place in radii of the iris towards the subject's left and up.
    """

    ibug: Mapping[int, int]
    jaw: Mapping[int, float] = field(default_factory=dict)
    iris: Mapping[int, tuple[int, tuple[float, float]]] = field(default_factory=dict)


def _run(first: int, *source: int) -> dict[int, int]:
    return {first + i: point for i, point in enumerate(source)}


_JAW = {i: i / 2 for i in range(33)}
_BROWS = _run(33, 17, 18, 19, 20, 21) | _run(42, 22, 23, 24, 25, 26)
RECIPES = {
    "facesynthetics70": PointSources({i: i for i in range(68)}, iris={68: (_RIGHT, _CENTRE), 69: (_LEFT, _CENTRE)}),
    "wflw98": PointSources(
        _BROWS
        | _run(51, *range(27, 36))
        | {60: 36, 61: 37, 63: 38, 64: 39, 65: 40, 67: 41, 68: 42, 69: 43, 71: 44, 72: 45, 73: 46, 75: 47}
        | _run(76, *_MOUTH),
        _JAW,
        {96: (_RIGHT, _CENTRE), 97: (_LEFT, _CENTRE)},
    ),
    "lapa106": PointSources(
        _BROWS
        | _run(51, *range(27, 31))
        | _run(58, *range(31, 36))
        | {66: 36, 67: 37, 69: 38, 70: 39, 71: 40, 73: 41, 75: 42, 76: 43, 78: 44, 79: 45, 80: 46, 82: 47}
        | _run(84, *_MOUTH),
        _JAW,
        {i: (eye, _CENTRE) for i, eye in ((74, _RIGHT), (83, _LEFT), (104, _RIGHT), (105, _LEFT))},
    ),
    "mediapipe478": PointSources(
        {},
        iris={
            first + i: (eye, place)
            for first, eye in ((468, _RIGHT), (473, _LEFT))
            for i, place in enumerate((_CENTRE, *_RIM))
        },
    ),
}
