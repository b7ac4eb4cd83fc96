"""Light from everywhere: kinds of surroundings as lobes, turned into irradiance by order-2 spherical harmonics.

Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps" (2001): nine numbers a colour
give the irradiance on any unoccluded surface within a few percent. They are kept as a polynomial of the unit normal
n = (x, y, z), where yy follows from xx + yy + zz = 1:

    c0 + c1 x + c2 y + c3 z + c4 xx + c5 zz + c6 xy + c7 yz + c8 zx
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .palette import luminance, white_light

#: band 1 and 2 of a clamped cosine, relative to band 0 (pi, 2 pi / 3, pi / 4) and times 2 l + 1
_BAND1, _BAND2 = 2.0, 1.25


@dataclass(frozen=True)
class Lobe:
    """A part of the surroundings that is brighter than the rest.

    share: of all light; azimuth from the reference side and elevation, radians; width: radians, 0 a point, 2 nearly
    uniform; kelvin: colour temperature; colour: a further filter (leaves, walls, signs).
    """

    share: float
    azimuth: float
    elevation: float
    width: float
    kelvin: float
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


UP, DOWN = math.pi / 2, -math.pi / 2

#: name -> lobes. Temperatures are those of photographers' tables (candle 1900 K, tungsten 2800 K, fluorescent 4000 K,
#: noon 5500 K, overcast 6500 K, blue sky 9000 K and above); shares are estimates by eye.
ENVIRONMENTS: dict[str, tuple[Lobe, ...]] = {
    "overcast": (Lobe(0.8, 0.0, UP, 1.0, 6600), Lobe(0.2, 0.0, DOWN, 1.2, 6000)),
    "clear_sky": (
        Lobe(0.45, 0.0, UP, 0.9, 10500),
        Lobe(0.35, 0.3, 0.7, 0.5, 5400),
        Lobe(0.2, 0.0, DOWN, 1.0, 5200),
    ),
    "open_shade": (
        Lobe(0.6, 0.0, 0.6, 0.7, 8500),
        Lobe(0.25, 2.5, 0.2, 0.9, 6500, (1.0, 0.9, 0.75)),
        Lobe(0.15, 0.0, DOWN, 1.0, 5500),
    ),
    "sunset": (
        Lobe(0.6, 0.0, 0.12, 0.4, 2600),
        Lobe(0.25, math.pi, 0.5, 1.2, 9500),
        Lobe(0.15, 0.0, DOWN, 1.0, 4000),
    ),
    "beach": (
        Lobe(0.4, 0.0, UP, 0.9, 9000),
        Lobe(0.25, 0.8, 0.9, 0.4, 5500),
        Lobe(0.35, 0.0, DOWN, 0.9, 5000, (1.0, 0.92, 0.78)),
    ),
    "forest": (
        Lobe(0.55, 0.0, UP, 0.8, 6500, (0.85, 1.0, 0.7)),
        Lobe(0.25, 0.6, 0.4, 0.5, 5600),
        Lobe(0.2, 0.0, DOWN, 1.2, 5500, (0.9, 0.8, 0.5)),
    ),
    "window": (
        Lobe(0.65, 0.0, 0.15, 0.45, 6800),
        Lobe(0.25, 2.7, 0.0, 1.3, 5000, (1.0, 0.93, 0.85)),
        Lobe(0.1, 0.0, DOWN, 1.0, 4200, (1.0, 0.85, 0.65)),
    ),
    "living_room": (
        Lobe(0.4, 0.6, 0.8, 0.5, 2800),
        Lobe(0.3, -1.6, 0.4, 0.5, 2900),
        Lobe(0.3, 2.5, 0.0, 1.6, 3000, (1.0, 0.95, 0.85)),
    ),
    "office": (
        Lobe(0.45, 0.7, 1.2, 0.5, 4100, (0.96, 1.0, 0.94)),
        Lobe(0.25, -2.0, 1.1, 0.5, 4100, (0.96, 1.0, 0.94)),
        Lobe(0.3, 0.0, DOWN, 1.5, 4300),
    ),
    "mixed_room": (
        Lobe(0.45, 1.2, 0.1, 0.4, 7000),
        Lobe(0.4, -1.2, 0.6, 0.5, 2700),
        Lobe(0.15, 0.0, DOWN, 1.5, 3800),
    ),
    "studio": (
        Lobe(0.5, 0.7, 0.5, 0.3, 5500),
        Lobe(0.25, -0.8, 0.2, 0.4, 5500),
        Lobe(0.15, 2.8, 0.5, 0.3, 5600),
        Lobe(0.1, 0.0, DOWN, 1.5, 5500),
    ),
    "stage": (
        Lobe(0.6, 0.4, 1.0, 0.2, 3100),
        Lobe(0.25, -2.2, 0.5, 0.3, 4000, (0.5, 0.45, 1.0)),
        Lobe(0.15, 2.0, 0.4, 0.3, 4000, (1.0, 0.35, 0.5)),
    ),
    "street_at_night": (
        Lobe(0.5, 0.8, 0.9, 0.3, 2200),
        Lobe(0.3, -1.3, 0.1, 0.3, 4500, (0.6, 0.8, 1.0)),
        Lobe(0.2, 0.0, UP, 1.6, 6500, (0.7, 0.8, 1.0)),
    ),
    "screen": (Lobe(0.7, 0.0, -0.25, 0.35, 8000), Lobe(0.3, 1.5, 0.6, 1.3, 3000)),
    "flash": (Lobe(0.8, 0.0, 0.1, 0.15, 5800), Lobe(0.2, 0.0, UP, 1.6, 3600)),
}
NAMES = ("gradient", *ENVIRONMENTS)
#: those that stand where the camera does, whichever way the others are turned
FROM_THE_CAMERA = ("flash", "screen")


def unit(azimuth: float, elevation: float) -> np.ndarray:
    """World direction (3,): azimuth 0 is +z, positive towards +x; elevation towards +y."""
    flat = math.cos(elevation)
    return np.array([math.sin(azimuth) * flat, math.sin(elevation), math.cos(azimuth) * flat])


def irradiance(name: str, turn: float) -> np.ndarray:
    """Polynomial (9,3) of an environment whose reference side lies at azimuth `turn`; its mean luminance is 1."""
    result = np.zeros((9, 3))
    for lobe in ENVIRONMENTS[name]:
        d = unit(lobe.azimuth + turn, lobe.elevation)
        soft = lobe.width**2 / 2
        first, second = _BAND1 * math.exp(-2 * soft), 1.5 * _BAND2 * math.exp(-6 * soft)
        x, y, z = d
        square = second * np.array([x * x - 1 / 3, y * y - 1 / 3, z * z - 1 / 3])
        terms = [
            1.0 + square[1],
            *(first * d),
            square[0] - square[1],
            square[2] - square[1],
            *(2 * second * np.array([x * y, y * z, z * x])),
        ]
        result += np.outer(terms, lobe.share * white_light(lobe.kelvin) * np.asarray(lobe.colour))
    return result / mean_luminance(result)


def gradient(side: float, sky: float, turn: float) -> np.ndarray:
    """Polynomial (9,3) of white light that grows towards one side and upwards by these shares of its mean."""
    result = np.zeros((9, 3))
    result[:4] = np.array([1.0, side * math.sin(turn), sky, side * math.cos(turn)])[:, None]
    return result


def mean_luminance(polynomial: np.ndarray) -> float:
    """Luminance (9,3) of the mean irradiance over all normals."""
    return luminance(polynomial[0] + (polynomial[4] + polynomial[5]) / 3)


def basis(normals: np.ndarray) -> np.ndarray:
    """The terms (...,9) of the polynomials at unit normals (...,3)."""
    x, y, z = np.moveaxis(np.asarray(normals, np.float64), -1, 0)
    return np.stack([np.ones_like(x), x, y, z, x * x, z * z, x * y, y * z, z * x], -1)


def at(polynomial: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Irradiance (...,3) on surfaces with unit normals (...,3), as the kernels compute it; never negative."""
    return np.asarray(np.maximum(basis(normals) @ polynomial, 0.0))
