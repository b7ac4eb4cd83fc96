"""From light to bytes, as a camera and the way to the web do it: lens, sensor, tone curve, small sizes, JPEG.

The class map, depth and landmarks are not touched by any of this: nothing here moves a pixel.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import warp as wp
from PIL import Image

from synthforge.geometry.warp_runtime import as_structs, as_warp, chunks, launch, span, stacked, struct_type

from ..factors.table import Exposed
from .kernels import ENTRIES, GRAIN_SIDE, Stock, develop_kernel

# light at the middle of each entry of the tone table
_ENTRY_LIGHT = 2.0 ** (np.arange(ENTRIES) // 128 - 12) * (1 + (np.arange(ENTRIES) % 128 + 0.5) / 128)
STEPS_AT_MID_GREY = 305.0  # 8-bit steps that one unit of light makes there: slope of the sRGB curve at 0.18
_REFERENCE = 256.0  # lengths of the configuration are in pixels of a picture of this size
GRAINS = 3
MID_GREY = 0.18  # light that every slope of the tone curve leaves as it is


@lru_cache(maxsize=2)
def grain_texture(device: torch.device) -> torch.Tensor:
    """Sensor noise (GRAINS*256*256,3), standard deviation 1: white; as demosaicing leaves it; as scaling leaves it.

    Half of the variance is common to the channels in the first, more in the others.
    """
    rng = np.random.default_rng(20261)
    side, result = GRAIN_SIDE, []
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    for width, chroma in ((np.inf, np.inf), (0.33, 0.16), (0.2, 0.1)):
        layers = rng.standard_normal((4, side, side))
        if math.isfinite(width):
            widths = np.array([width, chroma, chroma, chroma])[:, None, None]
            layers = np.fft.ifft2(np.fft.fft2(layers) * np.exp(-((frequency / widths) ** 2))).real
        layers /= layers.std((1, 2), keepdims=True)
        result.append(0.5**0.5 * (layers[0][..., None] + np.moveaxis(layers[1:], 0, -1)))
    return torch.as_tensor(np.ascontiguousarray(np.concatenate(result).reshape(-1, 3), np.float32), device=device)


def tone_table(contrast: float, shoulder: float = 1.0) -> np.ndarray:
    """Byte value (float32, 0-255) by entry: a film-like curve of this slope, then the sRGB transfer.

    Entries are the exponent and the upper seven bits of the mantissa of a float32. Highlights roll off above 0.6 in the
    share `shoulder`; with 0 they clip, as on an over-exposed digital picture.
    """
    shaped = shouldered(MID_GREY * (_ENTRY_LIGHT / MID_GREY) ** contrast, shoulder)
    encoded = np.where(shaped <= 0.0031308, 12.92 * shaped, 1.055 * shaped ** (1 / 2.4) - 0.055)
    return np.asarray(np.clip(encoded, 0, 1) * 255.0 + 0.5, np.float32)


def shouldered(shaped: np.ndarray, shoulder: float) -> np.ndarray:
    """Linear light after the roll-off of highlights, see `tone_table`."""
    rolled = np.where(shaped < 0.6, shaped, 0.6 + 0.4 * (1 - np.exp(-(shaped - 0.6) / 0.4)))
    return np.asarray(shoulder * rolled + (1 - shoulder) * np.minimum(shaped, 1.0))


def _stock(film: Mapping[str, Any]) -> np.ndarray:
    """One record of `kernels.Stock`."""
    record, key = np.zeros((), struct_type(Stock)), int(film["noise_key"])
    record["blur"], record["saturation"] = film["blur"], film["saturation"]
    record["noise"], record["floor"] = film["noise"] / STEPS_AT_MID_GREY, film["noise_floor"]
    record["grain"] = int(film["grain"])
    record["grain_u"], record["grain_v"] = key % GRAIN_SIDE, key // GRAIN_SIDE % GRAIN_SIDE
    return record


def develop(
    light: torch.Tensor,
    z: torch.Tensor,
    films: Sequence[Mapping[str, Any]],
    uses: Sequence[Sequence[tuple[Exposed, float]]],
) -> torch.Tensor:
    """Images (B,H,H,3) uint8 sRGB from exposed light (B,H,H,3) float32, which is overwritten, and depth z
    (B,H,H) metres.

    Pixels at edges in depth become the binomial mean of their 3 x 3 neighbourhood, which imitates the area of a
    camera's pixel. An edge: a neighbour is background, or more than 8 mm nearer or farther. All others are mixed with
    that mean by the share `blur` (negative: sharpened). uses: of each image, what further factors do, and their values.
    """
    batch, size, device = len(light), light.shape[1], light.device
    for i, film in enumerate(films):
        _lens(light[i], film, size)
        for use, value in uses[i]:
            use(light[i], value)
    stocks = as_structs(stacked([_stock(film) for film in films]), Stock, device)
    tables = torch.as_tensor(np.stack([tone_table(f["contrast"], f["shoulder"]) for f in films]), device=device)
    image = torch.empty(batch, size, size, 3, dtype=torch.uint8, device=device)
    step = span(size, device)
    inputs = [as_warp(light.view(-1, 3), wp.vec3), as_warp(z.view(-1)), stocks, as_warp(tables.view(-1))]
    inputs += [as_warp(grain_texture(device), wp.vec3), size, step, as_warp(image.view(-1))]
    launch(develop_kernel, (batch, size, chunks(size, step)), inputs, device)
    return image


def _lens(light: torch.Tensor, film: Mapping[str, Any], size: int) -> None:
    """Motion of the camera and missed focus, in place: means along a line and over a small disk."""
    scale = size / _REFERENCE
    if film["motion"] * scale >= 1.0:
        length = film["motion"] * scale
        steps = max(3, 2 * round(length / 2) + 1)
        along = np.linspace(-length / 2, length / 2, steps)
        _mean(light, np.stack([along * math.sin(film["motion_turn"]), along * math.cos(film["motion_turn"])], 1))
    if film["defocus"] * scale >= 0.5:
        radius = film["defocus"] * scale
        reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
        grid = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
        _mean(light, grid[np.hypot(*grid.T) <= radius + 0.25] if radius >= 1 else 0.5 * _PLUS)


_PLUS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])


def _mean(light: torch.Tensor, offsets: np.ndarray) -> None:
    """The mean of the picture (H,H,3) moved by each offset (N,2), rows and columns, bilinear; borders repeat."""
    size = light.shape[0]
    weights: dict[tuple[int, int], float] = {}
    for dy, dx in offsets:
        j, i = math.floor(dy), math.floor(dx)
        for a, row in ((1 - (dy - j), j), (dy - j, j + 1)):
            for c, column in ((1 - (dx - i), i), (dx - i, i + 1)):
                weights[row, column] = weights.get((row, column), 0.0) + a * c / len(offsets)
    weights = {place: share for place, share in weights.items() if share > 1e-6}
    pad = max(max(abs(j), abs(i)) for j, i in weights)
    wide = torch.nn.functional.pad(light.permute(2, 0, 1)[None], (pad,) * 4, mode="replicate")[0]
    total = torch.zeros(3, size, size, device=light.device)
    for (j, i), share in weights.items():
        total.add_(wide[:, pad + j : pad + j + size, pad + i : pad + i + size], alpha=share)
    light.copy_(total.permute(1, 2, 0))


def publish(image: np.ndarray, film: Mapping[str, Any]) -> np.ndarray:
    """What happens to a picture (H,H,3) uint8 on its way: made small and enlarged again, stored as JPEG.

    film: `scale` (how many times smaller it was), `jpeg` (quality of libjpeg's scale at that size, 0: never stored so),
    `chroma` (whether colour was stored at half the resolution).
    """
    size, small = image.shape[0], max(8, round(image.shape[0] / film["scale"]))
    if small == size and not film["jpeg"]:
        return image
    picture = Image.fromarray(image)
    if small != size:
        picture = picture.resize((small, small), Image.Resampling.BOX if film["box"] else Image.Resampling.BICUBIC)
    if film["jpeg"]:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(film["jpeg"]), subsampling=2 if film["chroma"] else 0)
        buffer.seek(0)
        picture = Image.open(buffer).convert("RGB")
    if small != size:
        picture = picture.resize((size, size), Image.Resampling.BILINEAR if film["box"] else Image.Resampling.BICUBIC)
    return np.asarray(picture)
