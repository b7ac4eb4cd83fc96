"""Tiling noise textures, made once from a fixed seed, and the look-ups kernels read them with.

No `from __future__ import annotations` here: warp reads the annotations of kernel functions.
"""

# mypy: ignore-errors
# Warp functions are written in warp's language, whose types mypy cannot follow.

import numpy as np
import warp as wp

from . import wrinkles

TEXELS = 16384  # of every texture: 256 KB of float32, so that the one in use stays in a core's cache
SQUARE = 128  # side of SKIN and CLOUDS
ACROSS, ALONG = 256, 64  # size of STRANDS
SKIN, STRANDS, CLOUDS = 0, TEXELS, 2 * TEXELS  # where each texture starts

SKIN_START, STRAND_START, CLOUD_START = wp.constant(SKIN), wp.constant(STRANDS), wp.constant(CLOUDS)

WRINKLES_LEFT, WRINKLES_BOTTOM = wp.constant(wrinkles.LEFT), wp.constant(wrinkles.BOTTOM)
WRINKLES_SCALE = wp.constant(1.0 / wrinkles.TEXEL)

wp.set_module_options({"enable_backward": False})


def build_tiles() -> np.ndarray:
    """Three periodic textures, (3 * TEXELS,4) float32, rows of texels one after the other, values about [-1, 1].

    SKIN: blotches, fine grain, and the two slopes of a bumpy relief. STRANDS (rows run across the hair, columns along
    it): brightness of strands; width of locks, nearly constant along a lock; a uniform number in [0, 1] that decides
    which strand is missing first; slow brightness. CLOUDS: slow clouds, finer clouds, and two independent
    white noises.
    """
    rng = np.random.default_rng(20260)
    square = _Noise(rng, SQUARE, SQUARE)
    relief = square.filtered(square.band(8, 50, 0.8))
    skin = [
        square.filtered(square.band(3, 25, 1.2)),
        square.filtered(square.band(12, 60, 0.3)),
        (np.roll(relief, -1, 1) - np.roll(relief, 1, 1)),
        (np.roll(relief, -1, 0) - np.roll(relief, 1, 0)),
    ]
    hair = _Noise(rng, ALONG, ACROSS)
    across = 1.0 / (1.0 + (np.abs(hair.fx) / 60.0) ** 2)
    gaps = hair.filtered(np.exp(-((hair.fy / 4.0) ** 2)) * across)
    ranks = np.empty(TEXELS)
    ranks[np.argsort(gaps, axis=None, kind="stable")] = (np.arange(TEXELS) + 0.5) / TEXELS
    strands = [
        hair.filtered(np.exp(-((hair.fy / 5.0) ** 2)) * across * (np.abs(hair.fx) > 2)),
        hair.filtered(np.exp(-((hair.fy / 1.5) ** 2 + (hair.fx / 16.0) ** 2))),
        ranks.reshape(ALONG, ACROSS),
        hair.filtered(np.exp(-((hair.fy / 2.0) ** 2 + (hair.fx / 7.0) ** 2))),
    ]
    clouds = [
        square.filtered(square.band(1, 20, 1.7)),
        square.filtered(square.band(2, 50, 1.1)),
        np.clip(rng.standard_normal((SQUARE, SQUARE)), -3, 3),
        np.clip(rng.standard_normal((SQUARE, SQUARE)), -3, 3),
    ]
    tiles = [np.stack(group, axis=-1).reshape(TEXELS, 4) for group in (skin, strands, clouds)]
    return np.ascontiguousarray(np.concatenate(tiles), np.float32)


class _Noise:
    """Filtered periodic noise of one size; fx, fy: frequencies in cycles a texture."""

    def __init__(self, rng: np.random.Generator, rows: int, columns: int) -> None:
        self.rng, self.shape = rng, (rows, columns)
        self.fy, self.fx = np.meshgrid(np.fft.fftfreq(rows) * rows, np.fft.fftfreq(columns) * columns, indexing="ij")
        self.radius = np.hypot(self.fy, self.fx)

    def band(self, low: float, high: float, slope: float) -> np.ndarray:
        """Amplitudes falling as frequency to the `slope` between two frequencies."""
        inside = (self.radius >= low) & (self.radius <= high)
        return np.where(inside, np.maximum(self.radius, 1.0) ** -slope, 0.0)

    def filtered(self, weight: np.ndarray) -> np.ndarray:
        """Noise of that spectrum, its standard deviation one half, clipped to [-1, 1]."""
        spectrum = np.fft.fft2(self.rng.standard_normal(self.shape)) * weight
        spectrum[0, 0] = 0
        noise = np.fft.ifft2(spectrum).real
        return np.asarray(np.clip(noise / (noise.std() + 1e-12) / 2, -1, 1))


@wp.func
def square_at(tiles: wp.array(dtype=wp.vec4), start: wp.int32, u: wp.float32, v: wp.float32) -> wp.vec4:
    """SKIN or CLOUDS at (u, v), in texels, wrapped around, bilinear."""
    fu = wp.floor(u)
    fv = wp.floor(v)
    i = wp.int32(fu) & 127
    i1 = (i + 1) & 127
    j = start + ((wp.int32(fv) & 127) << 7)
    j1 = start + (((wp.int32(fv) + 1) & 127) << 7)
    a = u - fu
    b = v - fv
    return (tiles[j + i] * (1.0 - a) + tiles[j + i1] * a) * (1.0 - b) + (
        tiles[j1 + i] * (1.0 - a) + tiles[j1 + i1] * a
    ) * b


@wp.func
def wrinkles_at(wrinkles: wp.array(dtype=wp.vec4), u: wp.float32, v: wp.float32) -> wp.vec4:
    """The texture of `wrinkles` at skin coordinates (u, v), bilinear; nothing outside."""
    s = (u - WRINKLES_LEFT) * WRINKLES_SCALE - 0.5
    t = (v - WRINKLES_BOTTOM) * WRINKLES_SCALE - 0.5
    if s < 0.0 or t < 0.0 or s >= 511.0 or t >= 255.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    i = wp.int32(s)
    j = wp.int32(t) << 9
    a = s - float(i)
    b = t - wp.floor(t)
    return (wrinkles[j + i] * (1.0 - a) + wrinkles[j + i + 1] * a) * (1.0 - b) + (
        wrinkles[j + 512 + i] * (1.0 - a) + wrinkles[j + 513 + i] * a
    ) * b


@wp.func
def strands_at(tiles: wp.array(dtype=wp.vec4), u: wp.float32, v: wp.float32) -> wp.vec4:
    """STRANDS at u texels across and v mm along the hair (4 mm a texel), wrapped around, bilinear."""
    t = v * 0.25
    fu = wp.floor(u)
    fv = wp.floor(t)
    i = wp.int32(fu) & 255
    i1 = (i + 1) & 255
    j = STRAND_START + ((wp.int32(fv) & 63) << 8)
    j1 = STRAND_START + (((wp.int32(fv) + 1) & 63) << 8)
    a = u - fu
    b = t - fv
    return (tiles[j + i] * (1.0 - a) + tiles[j + i1] * a) * (1.0 - b) + (
        tiles[j1 + i] * (1.0 - a) + tiles[j1 + i1] * a
    ) * b


@wp.func
def step_between(low: wp.float32, high: wp.float32, x: wp.float32) -> wp.float32:
    """0 below `low`, 1 above `high`, smooth in between."""
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
