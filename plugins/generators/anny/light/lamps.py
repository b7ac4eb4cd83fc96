"""Lamps as the kernels read them: three at most, far away, or the second one close to the face."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .environment import unit
from .palette import luminance

#: where the middle of a face is in the world, metres: what a near light's place and level refer to
FACE = np.array([0.0, -0.02, 0.08])
#: radians of a light's radius, a shadow-map texel of softness
PENUMBRA = 0.05
_OUTSIDE = 0.25  # m from the world's origin, in the head's middle, that lamps keep


class Lamps(NamedTuple):
    """towards (3,3): world unit vectors; colour (3,3): irradiance at normal incidence, of a near light times the
    square of its distance from the origin; metered (3,): share that automatic exposure counts; casting: the first so
    many cast sharp shadows; near: 1 over the distance (m) of the second light, 0 for far; size: its radius over its
    distance; strongest: which gives relief."""

    towards: np.ndarray
    colour: np.ndarray
    metered: np.ndarray
    casting: int
    near: float = 0.0
    size: float = 0.0
    strongest: int = 0


def lamps_of(parameters: Mapping[str, Any]) -> Lamps:
    """The lamps of a scene. A near light takes the second place and the second far one the third, which is then off."""
    light, around = parameters["light"], parameters["camera"]["azimuth"]
    towards = np.stack([unit(light["azimuth"][i] + around, light["elevation"][i]) for i in range(3)])
    # What a camera's automatic exposure sees: light on the face, weighted down for light coming from the side.
    metered = np.maximum(np.cos(light["azimuth"]) * np.cos(light["elevation"]), 0.12) * [0.75, 0.75, 0.1]
    near = parameters["near_light"]
    if not near["present"]:
        return Lamps(towards, light["colour"], metered, light["casting"])
    c, s = math.cos(around), math.sin(around)
    x, y, z = near["x"], near["y"], near["z"]
    place = FACE + np.array([c * x + s * z, y, c * z - s * x])
    place *= max(1.0, _OUTSIDE / float(np.linalg.norm(place)))
    away = float(np.linalg.norm(place))
    gap = place - FACE
    square = float(gap @ gap)
    size = near["size"] / away
    spread = square / away**2 + size**2
    facing = max(float(gap @ unit(around, 0.0)) / math.sqrt(square), 0.12) * 0.75
    return Lamps(
        np.stack([towards[0], place / away, towards[1]]),
        np.stack([light["colour"][0], near["colour"] * spread, light["colour"][1]]),
        np.array([metered[0], facing / spread, metered[1]]),
        2,
        1 / away,
        size,
        int(luminance(near["colour"]) > luminance(light["colour"][0])),
    )
