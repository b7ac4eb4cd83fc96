"""From light to bytes: outlines as soft as a camera's, tone curve, noise. Torch, one image at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from .outline_kernels import gather_kernel, scatter_kernel

EDGE = 0.008  # m of depth between neighbours that make an outline
LEAST, MOST = 2.0**-12, 3.999  # light that is told apart
_TABLE_SIZE = 14 * 128  # octaves between them, and the steps that seven bits of mantissa make of each
_FIRST_ENTRY = (127 - 12) << 7
_NOISE_SIZE = 320  # small enough to stay in a cache

# light at the middle of each entry of the tone table
_ENTRY_LIGHT = 2.0 ** (np.arange(_TABLE_SIZE) // 128 - 12) * (1 + (np.arange(_TABLE_SIZE) % 128 + 0.5) / 128)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@lru_cache(maxsize=2)
def _noise(device: torch.device) -> torch.Tensor:
    """Film noise (_NOISE_SIZE,_NOISE_SIZE,3), standard deviation 1, half of its variance common to the channels."""
    rng = np.random.default_rng(20261)
    common = rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE, 1), np.float32)
    own = rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE, 3), np.float32)
    return torch.as_tensor((common + own) * np.float32(0.5**0.5), device=device)


def tone_table(contrast: float) -> np.ndarray:
    """Byte value (float32, 0-255) by entry: a film-like curve of this slope, then the sRGB transfer.

    Entries are the exponent and the upper seven bits of the mantissa of a float32. Highlights roll off above 0.6.
    """
    shaped = 0.18 * (_ENTRY_LIGHT / 0.18) ** contrast
    rolled = np.where(shaped < 0.6, shaped, 0.6 + 0.4 * (1 - np.exp(-(shaped - 0.6) / 0.4)))
    encoded = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return np.asarray(np.clip(encoded, 0, 1) * 255.0 + 0.5, np.float32)


def develop(light: torch.Tensor, z: torch.Tensor, film: Mapping[str, Any]) -> torch.Tensor:
    """One image (H,W,3) uint8 sRGB from exposed light (H,W,3) float32, which is overwritten, and depth z (H,W) metres.

    Pixels at edges in depth (a neighbour is background, or more than 8 mm nearer or farther) become the binomial mean
    of their 3 x 3 neighbourhood, all others a share `blur` of it: a stand-in for the area a camera's pixel collects
    light from. The class map is not touched by any of this.
    """
    size, device = light.shape[0], light.device
    _soften(light, z, film["blur"])
    saturation = film["saturation"]
    matrix = saturation * np.eye(3) + (1 - saturation) * _LUMINANCE[None]
    mixed = light.view(-1, 3) @ torch.as_tensor(matrix.T, dtype=torch.float32, device=device)
    light = mixed.view(size, size, 3)
    entry = light.clamp_(LEAST, MOST).view(torch.int32).bitwise_right_shift_(16).sub_(_FIRST_ENTRY)
    table = torch.as_tensor(tone_table(film["contrast"]), device=device)
    values = table.index_select(0, entry.view(-1)).view(size, size, 3)
    if film["noise"] > 0:
        noise = _noise(device)
        span = _NOISE_SIZE - min(size, _NOISE_SIZE) + 1
        u, v = film["noise_key"] % span, (film["noise_key"] // span) % span
        field = noise[v : v + size, u : u + size]
        if size > _NOISE_SIZE:
            repeats = -(-size // _NOISE_SIZE)
            field = noise.repeat(repeats, repeats, 1)[:size, :size]
        if saturation == 0:
            field = field[..., :1]
        values = torch.add(values, field, alpha=film["noise"])
    return values.clamp_(0.0, 255.0).to(torch.uint8)


def _soften(light: torch.Tensor, z: torch.Tensor, blur: float) -> None:
    """Blend outlines wholly and the rest in the share `blur` with the binomial mean around them, in place."""
    across = (z[1:-1, 1:] - z[1:-1, :-1]).abs_() > EDGE
    down = (z[1:, 1:-1] - z[:-1, 1:-1]).abs_() > EDGE
    edge = across[:, 1:] | across[:, :-1] | down[1:] | down[:-1]
    width = light.shape[1]
    place = torch.nn.functional.pad(edge, (1, 1, 1, 1)).view(-1).nonzero().view(-1).to(torch.int32)
    outline = torch.empty(len(place), 3, device=light.device)
    pixels, places, means = as_warp(light.view(-1, 3), wp.vec3), as_warp(place), as_warp(outline, wp.vec3)
    step_size = span(len(place), light.device)
    grid = (chunks(len(place), step_size),)
    if len(place):
        launch(gather_kernel, grid, [pixels, places, width, step_size, means], light.device)
    if blur > 0:
        rows = light[:, :-2] + light[:, 2:]
        rows.add_(light[:, 1:-1], alpha=2.0)
        mean = rows[:-2] + rows[2:]
        mean.add_(rows[1:-1], alpha=2.0)
        light[1:-1, 1:-1].mul_(1 - blur).add_(mean, alpha=blur / 16)
    if len(place):
        launch(scatter_kernel, grid, [means, places, step_size, pixels], light.device)
