"""Colours, all in linear RGB with sRGB primaries: skin, hair, irises, and white light of a temperature."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np

#: shares of linear red, green and blue in relative luminance (ITU-R BT.709)
LUMA = np.array([0.2126, 0.7152, 0.0722])
# Reflectance of bloodless, unpigmented skin, and how strongly one unit of melanin and of haemoglobin absorb in the
# three channels. Melanin rises towards blue as in Jacques, "Optical properties of biological tissues" (2013), section
# 3; haemoglobin peaks in green. The floor is light scattered back by the surface layer, which no pigment removes.
_DERMIS = np.array([0.78, 0.58, 0.46])
_MELANIN = np.array([1.0, 1.28, 1.6])
_BLOOD = np.array([0.12, 1.0, 0.85])
_FLOOR = 0.012
MELANIN_RANGE = (0.02, 2.2)

#: hair colours from black to blond and red: cumulative share of the population drawn, linear RGB
HAIR: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (0.00, (0.006, 0.005, 0.005)),
    (0.30, (0.013, 0.009, 0.007)),
    (0.52, (0.035, 0.020, 0.012)),
    (0.70, (0.075, 0.040, 0.021)),
    (0.82, (0.150, 0.085, 0.042)),
    (0.90, (0.300, 0.190, 0.095)),
    (0.96, (0.480, 0.340, 0.190)),
    (0.97, (0.160, 0.048, 0.018)),
    (1.00, (0.260, 0.090, 0.030)),
)
GREY_HAIR = np.array([0.52, 0.51, 0.50])
IRIS = np.array(
    [
        [0.045, 0.020, 0.010],  # dark brown
        [0.110, 0.050, 0.022],  # brown
        [0.160, 0.100, 0.040],  # hazel
        [0.110, 0.170, 0.270],  # blue
        [0.170, 0.200, 0.220],  # grey
        [0.090, 0.130, 0.065],  # green
    ]
)


def skin_tone(melanin: float, haemoglobin: float) -> np.ndarray:
    """Linear reflectance (3,) of skin: absorption by two pigments over a scattering base."""
    absorbed = np.exp(-(melanin * _MELANIN + haemoglobin * _BLOOD))
    return np.asarray(_FLOOR + _DERMIS * absorbed)


def hair_colour(position: float, grey: float) -> np.ndarray:
    """Linear colour (3,) at `position` in [0, 1] of the `HAIR` table, mixed with grey in the share `grey`."""
    stops = [stop for stop, _ in HAIR]
    colour = np.array([np.interp(position, stops, [c[k] for _, c in HAIR]) for k in range(3)])
    return (1 - grey) * colour + grey * GREY_HAIR


def from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Linear colour (3,) of hue, saturation and (linear) value."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), value))


def white_light(kelvin: float) -> np.ndarray:
    """Linear colour (3,) of daylight or a lamp of this temperature, of unit luminance, relative to 6500 K.

    Planck's law at 610, 550 and 465 nm: close to the black-body locus for 2,000 to 12,000 K.
    """
    wavelengths = np.array([610e-9, 550e-9, 465e-9])

    def planck(temperature: float) -> np.ndarray:
        return np.array([1.0 / (w**5 * (math.exp(0.014387769 / (w * temperature)) - 1.0)) for w in wavelengths])

    ratio = planck(kelvin) / planck(6500.0)
    return np.asarray(ratio / float(ratio @ LUMA))


def luminance(colour: Sequence[float] | np.ndarray) -> float:
    """Relative luminance of a linear colour."""
    return float(np.dot(np.asarray(colour), LUMA))
