"""Kinds of backgrounds, as data: gradients and shapes.

A shape is ten numbers: centre x, y and half sizes (image sizes), turn (radians), blur of its edge (image sizes),
roundness (0 box, 1 ellipse), linear colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..light.palette import MELANIN_RANGE, from_hsv, hair_colour, skin_tone

SHAPES = 24  # at most this many in a background
Draw = tuple[np.ndarray, Mapping[str, float], np.ndarray]  # uniform numbers (10,), factors, the second base colour


def _colour(u: np.ndarray, f: Mapping[str, float], second: np.ndarray) -> np.ndarray:
    """Mostly near the base hue, sometimes a sign's or a shirt's."""
    hue = u[0] if u[1] > 0.75 else f["hue"] + 0.2 * (u[0] - 0.5)
    colour = from_hsv(hue, f["saturation"] + 0.5 * u[1] ** 6, u[2] ** 2)
    return 0.5 * colour + 0.5 * second * (0.4 + u[3]) if u[1] < 0.5 else colour


def _blob(draw: Draw) -> np.ndarray:
    u, f, second = draw
    size = 0.04 + 0.4 * u[4:6] ** 2
    return np.array([*(1.2 * u[8:10] - 0.1), *size, math.pi * u[6], _blur(u, f), 1.0, *_colour(u, f, second)])


def _box(draw: Draw) -> np.ndarray:
    u, f, second = draw
    size, turn = 0.04 + 0.45 * u[4:6] ** 2, math.pi * u[6] * (u[7] < 0.4)
    return np.array([*(1.2 * u[8:10] - 0.1), *size, turn, _blur(u, f), 0.1, *_colour(u, f, second)])


def _light_disk(draw: Draw) -> np.ndarray:
    """A point of light out of focus: all of one size, but for the eye of the lens."""
    u, f, _ = draw
    radius = 0.01 + 0.9 * f["blur"] * (0.8 + 0.4 * u[4])
    colour = from_hsv((0.08, 0.11, 0.6, 0.0, 0.38)[int(u[0] * 5)], 0.25 + 0.5 * u[1], 0.3 + 1.5 * u[2] ** 2)
    return np.array([*(1.2 * u[8:10] - 0.1), radius, radius, 0.0, 0.15 * radius, 1.0, *colour])


def _leaves(draw: Draw) -> np.ndarray:
    """Foliage and gaps of sky in it."""
    u, f, _ = draw
    size = 0.02 + 0.14 * u[4:6] ** 2
    colour = from_hsv(0.2 + 0.12 * u[0], 0.4 + 0.4 * u[1], 0.02 + 0.25 * u[2] ** 2)
    if u[3] > 0.75:
        colour = from_hsv(0.58, 0.25 * u[1], 0.5 + 0.6 * u[2])
    return np.array([u[8] * 1.2 - 0.1, u[9] * 0.75 - 0.1, *size, math.pi * u[6], 2 * _blur(u, f), 1.0, *colour])


def _blur(u: np.ndarray, f: Mapping[str, float]) -> float:
    return max(f["blur"] * (0.4 + 1.2 * float(u[7])), 0.003)


def _person(draw: Draw) -> list[np.ndarray]:
    """Somebody farther away, out of focus: clothes, a face, hair."""
    u, f, _ = draw
    x, y, size = 1.2 * u[8] - 0.1, 0.15 + 0.45 * u[9], 0.05 + 0.09 * u[4]
    skin = skin_tone(MELANIN_RANGE[0] + 1.5 * float(u[0]), 0.05) * (0.3 + 0.7 * u[2])
    hair = hair_colour(float(u[1]), 0.5 * float(u[3] > 0.8)) * (0.5 + u[2])
    cloth = from_hsv(float(u[5]), 0.5 * float(u[6]), float(u[3]) ** 2)
    blur, lean = _blur(u, f), 0.2 * (u[7] - 0.5)
    return [
        np.array([x, y + 3.0 * size, 2.0 * size, 1.9 * size, lean, blur, 0.5, *cloth]),
        np.array([x, y - 0.25 * size, 1.0 * size, 1.2 * size, lean, blur, 1.0, *hair]),
        np.array([x + 0.2 * size * (u[6] - 0.5), y + 0.2 * size, 0.78 * size, 1.05 * size, lean, blur, 1.0, *skin]),
    ]


#: kind -> what a shape of it is, and how many times `clutter` of them there are
_MAKERS: dict[str, tuple[Callable[[Draw], Any], float]] = {
    "blobs": (_blob, 1.0),
    "boxes": (_box, 1.0),
    "bokeh": (_light_disk, 2.5),
    "foliage": (_leaves, 3.0),
    "crowd": (_person, 0.9),
}
#: kind -> the gradient: how steep between its two colours, its direction (None: any), share of the horizon's place from
#: the top, texture added
_GROUNDS: dict[str, tuple[float, float | None, float]] = {
    "noise": (1.0, None, 0.35),
    "foliage": (2.5, math.pi / 2, 0.4),
    "crowd": (2.0, math.pi / 2, 0.05),
}
#: hue, saturation, value of the upper and the lower colour outdoors: skies over meadows, sand, sea, walls, evening
_SKIES = (
    ((0.58, 0.45, 0.75), (0.24, 0.55, 0.12)),
    ((0.58, 0.15, 0.9), (0.11, 0.35, 0.35)),
    ((0.57, 0.35, 0.8), (0.55, 0.5, 0.18)),
    ((0.6, 0.05, 0.85), (0.08, 0.15, 0.22)),
    ((0.07, 0.5, 0.7), (0.08, 0.4, 0.05)),
    ((0.25, 0.5, 0.1), (0.24, 0.5, 0.2)),
)


def draw_background(kind: str, f: Mapping[str, float], rng: np.random.Generator) -> dict[str, Any]:
    """Two base colours, how they meet, and a list of shapes (SHAPES,10), from a group's factors and its stream."""
    first = from_hsv(f["hue"], f["saturation"], f["value"])
    near = rng.random(3)
    second = first * (1 - f["spread"]) + f["spread"] * from_hsv(near[0], f["saturation"] * near[1], near[2] ** 1.5)
    steep, turn, texture = _GROUNDS.get(kind, (1.0, None, 0.0))
    if kind == "foliage":
        above, below = _SKIES[int(near[0] * len(_SKIES))]
        light = 0.35 + 0.9 * near[1]
        first, second = (from_hsv(h + 0.04 * (near[2] - 0.5), s, v * light) for h, s, v in (above, below))
    u = rng.random((SHAPES, 10))
    shapes, count = np.zeros((SHAPES, 10)), 0
    if kind in _MAKERS:
        make, share = _MAKERS[kind]
        for i in range(min(SHAPES, round(f["clutter"] * share))):
            for shape in np.atleast_2d(make((u[i], f, second)))[: SHAPES - count]:
                shapes[count] = shape
                count += 1
    drawn = float(rng.uniform(0, 2 * math.pi))
    return {
        "kind": kind,
        "first": first,
        "second": second,
        "steep": steep,
        "horizon": 0.25 + 0.5 * f["spread"] if turn is not None else 0.5,
        "count": count,
        "shapes": shapes[:count],
        "texture": f["texture"] * (0.3 if kind == "plain" else 1.0) + texture,
        "texture_scale": f["texture_scale"] * (0.4 if kind == "foliage" else 1.0),
        "turn": drawn if turn is None else turn,
        "offset": rng.random(2),
        "file": "",
        "crop": rng.random(6),
        "place": int(rng.integers(0, 2**31 - 1)),
        "level": min(max(0.85 * math.sqrt(f["value"] / 0.18), 0.3), 1.5),
        "blur": f["blur"],
    }
