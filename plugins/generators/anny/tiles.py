"""Tiling noise textures, made once from a fixed seed, and the look-ups kernels read them with.

No `from __future__ import annotations` here: warp reads the annotations of kernel functions.
"""

import numpy as np
import warp as wp

SIZE = 256
SKIN, STRANDS, CLOUDS = 0, 1, 2

wp.set_module_options({"enable_backward": False})


def build_tiles() -> np.ndarray:
    """Three periodic textures (3,256,256,4) float32, values about [-1, 1].

    SKIN: blotches of 3-30 texels, fine grain, and the two slopes of a bumpy relief. STRANDS, whose rows run along the
    hair: brightness of strands, width of locks (nearly constant along a lock), a uniform number in [0, 1] that decides
    which strand is missing first, slow brightness. CLOUDS: slow clouds, finer clouds, and two independent white noises.
    """
    rng = np.random.default_rng(20260)
    frequency = np.fft.fftfreq(SIZE) * SIZE
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fy, fx)

    def filtered(weight: np.ndarray) -> np.ndarray:
        spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * weight
        spectrum[0, 0] = 0
        noise = np.fft.ifft2(spectrum).real
        return np.asarray(np.clip(noise / (noise.std() + 1e-12) / 2, -1, 1))

    def band(low: float, high: float, slope: float) -> np.ndarray:
        return np.where((radius >= low) & (radius <= high), np.maximum(radius, 1.0) ** -slope, 0.0)

    relief = np.fft.fft2(filtered(band(10, 90, 0.8)))
    skin = [
        filtered(band(4, 40, 1.2)),
        filtered(band(20, 110, 0.3)),
        np.fft.ifft2(relief * 1j * fx / 30).real,
        np.fft.ifft2(relief * 1j * fy / 30).real,
    ]
    along = np.exp(-((fy / 5.0) ** 2))
    across = 1.0 / (1.0 + (np.abs(fx) / 60.0) ** 2)
    streaks = filtered(along * across * (np.abs(fx) > 2))
    locks = filtered(np.exp(-((fy / 1.5) ** 2)) * np.exp(-((fx / 16.0) ** 2)))
    gaps = filtered(np.exp(-((fy / 4.0) ** 2)) * across)
    ranks = np.empty(SIZE * SIZE)
    ranks[np.argsort(gaps, axis=None, kind="stable")] = (np.arange(SIZE * SIZE) + 0.5) / SIZE**2
    strands = [streaks, locks, ranks.reshape(SIZE, SIZE), filtered(np.exp(-((fy / 2.0) ** 2 + (fx / 7.0) ** 2)))]
    clouds = [
        filtered(band(1, 40, 1.7)),
        filtered(band(3, 100, 1.1)),
        np.clip(rng.standard_normal((SIZE, SIZE)), -3, 3),
        np.clip(rng.standard_normal((SIZE, SIZE)), -3, 3),
    ]
    tiles = np.stack([np.stack(group, axis=-1) for group in (skin, strands, clouds)])
    return np.ascontiguousarray(tiles, np.float32)


@wp.func
def tile_at(tiles: wp.array3d(dtype=wp.vec4), which: wp.int32, u: wp.float32, v: wp.float32) -> wp.vec4:
    """Texture `which` at (u, v), in texels, wrapped around, bilinear."""
    fu = wp.floor(u)
    fv = wp.floor(v)
    i = wp.int32(fu) & 255
    j = wp.int32(fv) & 255
    i1 = (i + 1) & 255
    j1 = (j + 1) & 255
    a = u - fu
    b = v - fv
    return (tiles[which, j, i] * (1.0 - a) + tiles[which, j, i1] * a) * (1.0 - b) + (
        tiles[which, j1, i] * (1.0 - a) + tiles[which, j1, i1] * a
    ) * b


@wp.func
def step_between(low: wp.float32, high: wp.float32, x: wp.float32) -> wp.float32:
    """0 below `low`, 1 above `high`, smooth in between."""
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def bell(x: wp.float32) -> wp.float32:
    """A bump: 1 at 0, about 0.5 at 1, small beyond 2; cheaper than a Gaussian."""
    t = 1.0 / (1.0 + x * x)
    return t * t * (1.0 + x * x * 0.5)
