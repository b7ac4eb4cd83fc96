"""Rooms, streets, parks and cars as places: blocks in metres that a camera sees in perspective.

Axes: x to the right of somebody who looks along -z, y up; the head is at the origin. A place is drawn anew from its
key whenever it is seen, so that a sample's record stays small and every camera of a rig sees the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..light.palette import from_hsv

#: what a surface shows: one colour; panes in a wall; boards; spines of books; leaves or plaster; what is outside
PLAIN, PANES, BOARDS, BOOKS, LEAVES, OUTSIDE = range(6)
#: forms: a block, an ellipsoid in it, the inner side of a block
BLOCK, ROUND, INNER = range(3)
#: numbers of a block: low and high corner, colour, second colour, pattern, its size in metres, glow, form
NUMBERS = 16
Colour = np.ndarray
Range = tuple[float, float]


@dataclass
class Place:
    """What is somewhere. turn: of the place about the vertical, radians;
    sun: direction (3,) of most light; lamp: (4,) where a lamp is, and from how far on its light fades, metres;
    sky: colours (3,3) of zenith, horizon and what is below it; open: how much light comes from everywhere."""

    turn: float
    sun: np.ndarray
    lamp: np.ndarray
    sky: np.ndarray
    open: float
    blocks: list[list[float]] = field(default_factory=list)

    def add(
        self,
        x: Range,
        y: Range,
        z: Range,
        colour: Sequence[float] | Colour,
        second: Sequence[float] | Colour | None = None,
        pattern: int = PLAIN,
        size: float = 1.0,
        glow: float = 0.0,
        form: int = BLOCK,
    ) -> None:
        """Put something into it."""
        low, high = [min(x), min(y), min(z)], [max(x), max(y), max(z)]
        other = colour if second is None else second
        self.blocks.append([*low, *high, *colour, *other, pattern, size, glow, form])


class _Dice:
    """Random numbers for those who build places; drawn a thousand at once, for one at a time is slow."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rest: Iterator[float] = iter(())

    def share(self) -> float:
        for number in self.rest:
            return number
        self.rest = iter(self.rng.random(1024).tolist())
        return next(self.rest)

    def number(self, low: float, high: float) -> float:
        return low + (high - low) * self.share()

    def whole(self, most: int) -> int:
        return int((most + 1) * self.share())

    def chance(self, share: float) -> bool:
        return self.share() < share

    def colour(self, hue: Range = (0.0, 1.0), saturation: Range = (0.0, 0.3), value: Range = (0.1, 0.7)) -> Colour:
        return from_hsv(self.number(*hue), self.number(*saturation), self.number(*value))

    def wood(self) -> Colour:
        return from_hsv(self.number(0.05, 0.1), self.number(0.3, 0.65), self.number(0.05, 0.45))


_SKIES: tuple[tuple[tuple[float, float, float], ...], ...] = (
    ((0.6, 0.55, 0.5), (0.57, 0.15, 0.95)),
    ((0.59, 0.35, 0.7), (0.57, 0.08, 1.0)),
    ((0.6, 0.05, 0.8), (0.6, 0.03, 0.9)),
    ((0.62, 0.12, 0.45), (0.1, 0.1, 0.6)),
    ((0.62, 0.4, 0.25), (0.07, 0.5, 0.7)),
)


def _outdoors(d: _Dice, turn: float) -> Place:
    zenith, horizon = (from_hsv(*colour) for colour in _SKIES[d.whole(len(_SKIES) - 1)])
    ground = d.colour((0.08, 0.3), (0.05, 0.4), (0.08, 0.25))
    azimuth, rise = d.number(-math.pi, math.pi), d.number(0.3, 1.2)
    flat = math.cos(rise)
    sun = np.array([math.sin(azimuth) * flat, math.sin(rise), math.cos(azimuth) * flat])
    return Place(turn, sun, np.array([0.0, 1e6, 0.0, 1e6]), np.stack([zenith, horizon, ground]), d.number(0.4, 0.8))


def _room(d: _Dice, first: Colour, second: Colour) -> Place:
    place = _outdoors(d, d.number(-math.pi, math.pi))
    floor, high = -d.number(1.15, 1.6), d.number(0.95, 1.4)
    x, z = (-d.number(1.2, 3.5), d.number(1.2, 3.5)), (-d.number(1.2, 5.0), d.number(1.2, 4.0))
    lamp = [d.number(*x) * 0.7, high - 0.3, d.number(*z) * 0.7, d.number(1.5, 4.0)]
    place.lamp, place.open = np.array(lamp), d.number(0.45, 0.8)
    wall = first / max(float(first.max()), 1e-3) * d.number(0.3, 0.85)
    plaster = d.number(0.0, 0.12)
    place.add(x, (floor, high), z, wall, wall * (1 - plaster), LEAVES, 0.7, form=INNER)
    boards = d.wood() if d.chance(0.6) else d.colour(saturation=(0.0, 0.2))
    place.add(x, (floor - 0.1, floor), z, boards, boards * d.number(0.5, 0.9), BOARDS, d.number(0.08, 0.6))
    white = np.full(3, d.number(0.6, 0.9))
    place.add(x, (high, high + 0.1), z, white)
    for k in range(2 + d.whole(2)):
        place.add(*_across(d, x, z, 0.05 + 0.9 * k / 3, 0.12, high), white, glow=1.5 if d.chance(0.4) else 0.0)
    for side in range(4):
        _furnish(d, place, side, (x, z), (floor, high), second)
    return place


def _across(d: _Dice, x: Range, z: Range, share: float, wide: float, high: float) -> tuple[Range, Range, Range]:
    at = x[0] + share * (x[1] - x[0])
    return (at, at + wide), (high - 0.05, high), (z[0] + 0.3, z[1] - 0.3)


def _furnish(d: _Dice, place: Place, side: int, walls: tuple[Range, Range], upright: Range, second: Colour) -> None:
    """Things along one of four walls: windows, doors, pictures, shelves, cupboards, sofas, lamps, plants."""
    along, floor, high = walls[side % 2], *upright
    face = walls[1 - side % 2][side // 2]  # where the wall is
    inwards = 1.0 if side < 2 else -1.0

    def put(start: float, end: float, y: Range, near: float, deep: float, *args: Any, **keys: Any) -> None:
        across = (face + inwards * near, face + inwards * (near + deep))
        place.add(*((start, end), y, across) if side % 2 == 0 else (across, y, (start, end)), *args, **keys)

    white, place_at = np.full(3, d.number(0.5, 0.85)), along[0] + d.number(0.05, 0.5)
    put(*along, (floor, floor + 0.1), 0.0, 0.02, white)  # skirting
    while place_at < along[1] - 0.5:
        kind, wide = d.whole(9), d.number(0.5, 1.6)
        end = min(place_at + wide, along[1] - 0.1)
        if kind <= 2:  # a window, perhaps with curtains
            low, top = floor + d.number(0.3, 1.0), high - d.number(0.1, 0.5)
            put(place_at, end, (low, top), 0.0, 0.02, white, pattern=OUTSIDE, glow=d.number(0.8, 2.5))
            for share in np.linspace(0, 1, 2 + d.whole(2)):
                at = place_at + share * (end - place_at)
                put(at - 0.03, at + 0.03, (low, top), 0.0, 0.05, white)
            for level in (low, top, low + d.number(0.3, 0.8) * (top - low)):
                put(place_at, end, (level - 0.03, level + 0.03), 0.0, 0.05, white)
            if d.chance(0.5):
                cloth = d.colour(saturation=(0.0, 0.6), value=(0.15, 0.8))
                for at in (place_at - 0.1, end - 0.15):
                    put(at, at + 0.3, (floor + 0.1, top + 0.1), 0.05, 0.1, cloth, cloth * 0.6, BOARDS, 0.08)
        elif kind == 3:  # a door
            end = place_at + 0.85
            leaf = d.wood() if d.chance(0.5) else white
            put(place_at - 0.07, end + 0.07, (floor, floor + 2.1), 0.0, 0.02, white)
            put(place_at, end, (floor, floor + 2.03), 0.0, 0.03, leaf, leaf * 0.7, BOARDS, 0.7)
            put(end - 0.12, end - 0.04, (floor + 0.98, floor + 1.02), 0.03, 0.06, np.full(3, 0.4))
        elif kind <= 5:  # pictures
            for _ in range(1 + d.whole(1)):
                w, h, at = d.number(0.2, 0.7), d.number(0.2, 0.7), d.number(place_at, end)
                y = d.number(-0.2, 0.3)
                put(at, at + w, (y, y + h), 0.0, 0.025, d.wood() * 0.6)
                inside = d.colour(saturation=(0.1, 0.7), value=(0.1, 0.8))
                put(at + 0.04, at + w - 0.04, (y + 0.04, y + h - 0.04), 0.0, 0.03, inside, d.colour(), LEAVES, 0.3)
        elif kind <= 7:  # shelves with books, or a cupboard
            top, wood = floor + d.number(0.8, 2.1), d.wood()
            if kind == 6:
                put(place_at, end, (floor, top), 0.0, 0.25, wood)
                put(place_at + 0.03, end - 0.03, (floor + 0.1, top - 0.03), 0.0, 0.26, wood, second, BOOKS, 0.32)
            else:
                put(place_at, end, (floor, top), 0.0, 0.45, wood, wood * 0.6, BOARDS, d.number(0.3, 0.6))
        elif kind == 8:  # a sofa
            cloth = d.colour(saturation=(0.0, 0.6), value=(0.05, 0.6))
            put(place_at, end + 0.6, (floor, floor + 0.45), 0.05, 0.8, cloth)
            put(place_at, end + 0.6, (floor, floor + 0.85), 0.05, 0.25, cloth * 0.9, form=BLOCK)
            end += 0.6
        else:  # a plant, or a standing lamp
            lit, top = d.chance(0.5), d.number(-0.3, 0.4)
            at, away = place_at + 0.3, 0.35
            put(at - 0.02, at + 0.02, (floor, top), away, 0.04, np.full(3, 0.15))
            if lit:
                shade = from_hsv(0.1, 0.3, 0.95)
                put(at - 0.17, at + 0.17, (top, top + 0.3), away - 0.15, 0.34, shade, glow=2.0, form=ROUND)
            else:
                leaf = from_hsv(d.number(0.25, 0.36), d.number(0.4, 0.7), d.number(0.05, 0.25))
                put(
                    at - 0.3,
                    at + 0.3,
                    (top - 0.35, top + 0.35),
                    away - 0.25,
                    0.6,
                    leaf,
                    leaf * 0.3,
                    LEAVES,
                    0.15,
                    form=ROUND,
                )
        place_at = end + d.number(0.15, 1.2)


def _street(d: _Dice, first: Colour, second: Colour) -> Place:
    place = _outdoors(d, d.number(-math.pi, math.pi))
    floor, left, right = -1.6, -d.number(2.5, 7.0), d.number(4.0, 12.0)
    grey = np.full(3, d.number(0.08, 0.25))
    place.sky[2] = grey * 0.8
    place.add((-80, 80), (floor - 1, floor), (-80, 80), grey, grey * 0.8, LEAVES, 0.8)
    pavement = d.colour((0.05, 0.15), (0.0, 0.15), (0.2, 0.45))
    for x in ((left, left + 2.2), (right - 2.5, right)):
        place.add(x, (floor, floor + 0.12), (-60, 60), pavement, pavement * 0.85, BOARDS, 0.6)
    for sign, edge in ((-1.0, left), (1.0, right)):
        z = -48.0
        while z < 48.0:
            wide, tall, base = d.number(6, 15), d.number(5, 20), d.number(2.8, 4.0)
            wall = first * d.number(0.5, 1.5) if d.chance(0.3) else d.colour((0.02, 0.14), (0.0, 0.45), (0.15, 0.7))
            glass = d.colour((0.5, 0.65), (0.1, 0.3), (0.02, 0.15))
            x = (edge, edge + sign * 8)
            place.add(x, (floor + base, floor + base + tall), (z, z + wide), wall, glass, PANES, d.number(1.6, 3.2))
            shop = d.colour(saturation=(0.1, 0.7), value=(0.1, 0.6))
            place.add(
                x, (floor, floor + base), (z, z + wide), shop, glass * 2, PANES, d.number(2.5, 4.0), d.number(0, 0.6)
            )
            if d.chance(0.4):  # an awning or a sign
                out, bright = edge - sign * d.number(0.3, 1.4), d.colour(saturation=(0.3, 0.9), value=(0.2, 0.8))
                place.add((edge, out), (floor + base - 0.5, floor + base), (z + 0.5, z + wide - 0.5), bright)
            z += wide + (d.number(2, 6) if d.chance(0.2) else 0.05)
    for _ in range(4 + d.whole(6)):
        side = d.whole(1)
        beside, z = (left + 1.6, right - 2.0)[side], d.number(-35, 35)
        if abs(z) > 2.5:
            if d.chance(0.5):
                _tree(d, place, beside, floor, z, d.number(3.5, 7.0))
            else:
                _car_outside(d, place, beside, floor, z)
    return place


def _tree(d: _Dice, place: Place, x: float, floor: float, z: float, tall: float) -> None:
    trunk, wide = from_hsv(0.08, 0.4, d.number(0.04, 0.12)), tall * d.number(0.22, 0.4)
    place.add((x - 0.12, x + 0.12), (floor, floor + 0.6 * tall), (z - 0.12, z + 0.12), trunk)
    leaf = from_hsv(d.number(0.18, 0.34), d.number(0.3, 0.7), d.number(0.06, 0.28))
    for _ in range(2):
        sx, sz, sy = d.number(-0.3, 0.3) * wide, d.number(-0.3, 0.3) * wide, d.number(0.0, 0.25) * tall
        place.add(
            (x + sx - wide, x + sx + wide), (floor + 0.3 * tall + sy, floor + 0.85 * tall + sy),
            (z + sz - wide, z + sz + wide), leaf, leaf * 0.25, LEAVES, d.number(0.4, 1.0), form=ROUND,
        )  # fmt: skip


def _car_outside(d: _Dice, place: Place, x: float, floor: float, z: float) -> None:
    paint = d.colour(saturation=(0.0, 0.8), value=(0.02, 0.7))
    place.add((x - 0.85, x + 0.85), (floor + 0.25, floor + 0.95), (z - 2.1, z + 2.1), paint)
    place.add((x - 0.75, x + 0.75), (floor + 0.95, floor + 1.45), (z - 1.2, z + 1.1), paint * 0.2, paint, PANES, 1.1)
    for end in (-1.3, 1.3):
        place.add(
            (x - 0.87, x + 0.87), (floor, floor + 0.62), (z + end - 0.31, z + end + 0.31), np.full(3, 0.02), form=ROUND
        )


def _park(d: _Dice, first: Colour, second: Colour) -> Place:
    place = _outdoors(d, d.number(-math.pi, math.pi))
    floor = -1.6
    hue = ((0.22, 0.3), (0.24, 0.28), (0.1, 0.13), (0.55, 0.6))[d.whole(3)]
    ground = d.colour(hue, (0.3, 0.6), (0.08, 0.3))
    place.sky[2] = ground
    place.add((-150, 150), (floor - 1, floor), (-150, 150), ground, ground * 0.6, LEAVES, 1.5)
    for _ in range(3 + d.whole(4)):  # hills and woods far away
        turn, away, wide = d.number(-math.pi, math.pi), d.number(60, 110), d.number(20, 60)
        x, z, tall = away * math.sin(turn), away * math.cos(turn), d.number(4, 22)
        far = from_hsv(d.number(0.25, 0.6), d.number(0.1, 0.5), d.number(0.1, 0.35))
        place.add(
            (x - wide, x + wide),
            (floor - tall, floor + tall),
            (z - wide, z + wide),
            far,
            far * 0.6,
            LEAVES,
            6.0,
            form=ROUND,
        )
    for _ in range(d.whole(18)):
        turn, away = d.number(-math.pi, math.pi), d.number(5, 40)
        _tree(d, place, away * math.sin(turn), floor, away * math.cos(turn), d.number(3, 9))
    for _ in range(d.whole(4)):  # hedges, walls, houses
        turn, away = d.number(-math.pi, math.pi), d.number(6, 40)
        x, z, house = away * math.sin(turn), away * math.cos(turn), d.chance(0.4)
        wide, deep, tall = d.number(1.5, 8), d.number(1, 8), d.number(0.8, 2.0) + (5.0 if house else 0.0)
        wall = (
            d.colour((0.02, 0.14), (0.0, 0.4), (0.2, 0.7)) if house else d.colour((0.2, 0.33), (0.3, 0.7), (0.05, 0.25))
        )
        place.add(
            (x - wide, x + wide), (floor, floor + tall), (z - deep, z + deep), wall,
            np.full(3, 0.05) if house else wall * 0.3, PANES if house else LEAVES, 2.6 if house else 0.5,
        )  # fmt: skip
    return place


def _car(d: _Dice, first: Colour, second: Colour) -> Place:
    """Inside a car, whose driver looks along +z: headrests, seats, pillars and panes."""
    place = _outdoors(d, 0.0)
    wheel = 1.0 if d.chance(0.7) else -1.0  # the driver sits on the left, or on the right
    x, floor, roof = sorted((wheel * 0.42, -wheel * 1.0)), -0.95, d.number(0.16, 0.3)
    sides = (x[0], x[1])
    cloth = d.colour(saturation=(0.0, 0.25), value=(0.02, 0.2)) if d.chance(0.7) else d.wood()
    lining = d.colour((0.05, 0.15), (0.0, 0.15), (0.2, 0.6))
    place.lamp, place.open = np.array([0.0, 0.1, 0.8, 1.6]), d.number(0.4, 0.8)
    place.add(sides, (floor, roof), (-2.2, 1.3), lining, lining * 0.8, LEAVES, 0.3, form=INNER)
    waist = -d.number(0.2, 0.32)
    bright = d.number(0.3, 2.0)
    for side, inwards in zip(sides, (0.01, -0.01), strict=True):
        for z in ((-1.5, -0.42), (-0.28, 1.0)):  # panes behind and before the pillar
            place.add((side, side + inwards), (waist, roof - 0.07), z, first, pattern=OUTSIDE, glow=bright)
        place.add((side, side + 4 * inwards), (floor, waist), (-2.2, 1.3), cloth * 0.7)
        place.add((side, side + 5 * inwards), (waist, roof), (-0.42, -0.28), lining * 0.4)
    place.add(
        (sides[0] + 0.15, sides[1] - 0.15),
        (waist - 0.05, roof - 0.1),
        (-2.2, -2.18),
        first,
        pattern=OUTSIDE,
        glow=bright,
    )
    for seat, back in ((0.0, -0.2), (-wheel * 0.62, -0.22), (0.0, -1.1), (-wheel * 0.62, -1.1)):
        place.add(
            (seat - 0.13, seat + 0.13), (-0.14, 0.09), (back - 0.16, back), cloth, cloth * 0.8, LEAVES, 0.1, form=ROUND
        )
        place.add(
            (seat - 0.25, seat + 0.25), (floor, -0.2), (back - 0.22, back - 0.02), cloth, cloth * 0.7, BOARDS, 0.12
        )
    return place


#: kinds of backgrounds that are places: how each is made from the background's two colours
PLACES: dict[str, Callable[[_Dice, Colour, Colour], Place]] = {
    "room": _room,
    "street": _street,
    "outdoor": _park,
    "car": _car,
}


def place_of(background: Mapping[str, Any]) -> Place:
    """The place behind a head; pure in the background's kind, colours and key."""
    dice = _Dice(np.random.default_rng(int(background["place"])))
    return PLACES[background["kind"]](dice, background["first"], background["second"])


def in_view(blocks: np.ndarray, eye: np.ndarray, forward: np.ndarray, tangent: float) -> np.ndarray:
    """The blocks (N,NUMBERS) that a camera may see: at `eye`, looking along the unit vector `forward`, whose picture's
    corner lies `tangent` off its axis."""
    low, high = blocks[:, 0:3], blocks[:, 3:6]
    middle, radius = (low + high) / 2 - eye, np.linalg.norm(high - low, axis=1) / 2
    ahead = middle @ forward
    aside = np.linalg.norm(middle - ahead[:, None] * forward, axis=1)
    # the distance from the cone's side is that in the plane of its axis
    outside = (aside - tangent * ahead) / math.hypot(1.0, tangent)
    return blocks[(outside < radius) & (ahead > -radius)]
