"""From light to bytes in one pass over the pixels: soft outlines, colour, sensor noise, tone curve.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

wp.set_module_options({"enable_backward": False})

EDGE = wp.constant(0.008)  # m of depth between neighbours that make an outline
LEAST, MOST = wp.constant(2.0**-12), wp.constant(3.999)  # light that is told apart
ENTRIES = 14 * 128  # octaves between them, and the steps that seven bits of mantissa make of each
TABLE = wp.constant(ENTRIES)
FIRST_ENTRY = wp.constant((127 - 12) << 7)
GRAIN_SIDE = 256  # of the noise textures
MID_GREY = wp.constant(1.0 / 0.18)


@wp.struct
class Stock:
    """How one image is developed: see `config.FilmConfig`. noise: standard deviation of light at mid grey."""

    blur: float
    saturation: float
    noise: float
    floor: float
    grain: int
    grain_u: int
    grain_v: int


@wp.func
def entry_of(light: wp.float32) -> wp.int32:
    """The entry of the tone table: exponent and upper seven bits of the mantissa."""
    return (wp.cast(wp.clamp(light, LEAST, MOST), wp.int32) >> 16) - FIRST_ENTRY


@wp.func
def binomial(light: wp.array(dtype=wp.vec3), p: wp.int32, width: wp.int32) -> wp.vec3:
    sides = light[p - 1] + light[p + 1] + light[p - width] + light[p + width]
    corners = light[p - width - 1] + light[p - width + 1] + light[p + width - 1] + light[p + width + 1]
    return light[p] * 0.25 + sides * 0.125 + corners * 0.0625


@wp.kernel
def develop_kernel(
    light: wp.array(dtype=wp.vec3),
    z: wp.array(dtype=wp.float32),
    stocks: wp.array(dtype=Stock),
    tables: wp.array(dtype=wp.float32),
    grain: wp.array(dtype=wp.vec3),
    size: wp.int32,
    span: wp.int32,
    image: wp.array(dtype=wp.uint8),
):
    """Bytes of every pixel. tables: `film.tone_table` of the images in a row; grain: `film.grain_texture`."""
    b, y, chunk = wp.tid()
    row = (b * size + y) * size
    blur = stocks[b].blur
    saturation = stocks[b].saturation
    strength = stocks[b].noise * stocks[b].noise
    floor = stocks[b].floor
    grain_row = (stocks[b].grain * 256 + ((y + stocks[b].grain_v) & 255)) << 8
    for x in range(chunk * span, wp.min((chunk + 1) * span, size)):
        p = row + x
        c = light[p]
        if x > 0 and y > 0 and x < size - 1 and y < size - 1:
            here = z[p]
            left = wp.abs(here - z[p - 1])
            right = wp.abs(here - z[p + 1])
            above = wp.abs(here - z[p - size])
            below = wp.abs(here - z[p + size])
            if wp.max(wp.max(left, right), wp.max(above, below)) > EDGE:
                c = binomial(light, p, size)
            elif blur != 0.0:
                c = c * (1.0 - blur) + binomial(light, p, size) * blur
        grey = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
        c = c * saturation + wp.vec3(grey, grey, grey) * (1.0 - saturation)
        if strength > 0.0:
            n = grain[grain_row + ((x + stocks[b].grain_u) & 255)]
            if saturation == 0.0:
                n = wp.vec3(n[0], n[0], n[0])
            # photons arrive by chance: variance grows with light, above a floor of the electronics'
            scale = (1.0 - floor) * MID_GREY
            c = wp.vec3(
                c[0] + n[0] * wp.sqrt(strength * (floor + scale * wp.max(c[0], 0.0))),
                c[1] + n[1] * wp.sqrt(strength * (floor + scale * wp.max(c[1], 0.0))),
                c[2] + n[2] * wp.sqrt(strength * (floor + scale * wp.max(c[2], 0.0))),
            )
        base = b * TABLE
        image[p * 3] = wp.uint8(tables[base + entry_of(c[0])])
        image[p * 3 + 1] = wp.uint8(tables[base + entry_of(c[1])])
        image[p * 3 + 2] = wp.uint8(tables[base + entry_of(c[2])])
