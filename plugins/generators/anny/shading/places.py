"""Places behind heads, as cameras see them: out of focus, in fewer cells where that is enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_structs, as_warp, chunks, launch, span, struct_type

from ..backdrops.places import in_view, place_of
from .arrays import flat
from .place_kernel import Block, Sight, place_kernel

#: image sizes of blur from which on fewer cells are enough: a half, a quarter of a side
_COARSE, _COARSER = 0.008, 0.025
_SPREAD = 0.6  # radius of each of two means whose sequence is the blur


def look_into(
    backgrounds: Sequence[Mapping[str, Any]], looks: np.ndarray, side: int, size: int, tiles: torch.Tensor
) -> list[torch.Tensor]:
    """Light (side,side,3) from the place of each background. looks: records of pictures of `size` pixels."""
    sights, blocks, first, start = np.zeros(len(looks), struct_type(Sight)), [], 0, 0
    for background, look, sight in zip(backgrounds, looks, sights, strict=True):
        cells = -(-side // (1 + (background["blur"] > _COARSE) + 2 * (background["blur"] > _COARSER)))
        seen = _aim(sight, background, look, size / cells, cells)
        sight["first"], sight["count"], sight["cells"], sight["start"] = first, len(seen), cells, start
        blocks.append(seen)
        first, start = first + len(seen), start + cells * cells
    packed = np.concatenate([*blocks, np.zeros((1, blocks[0].shape[1]))]).astype(np.float32)
    given = as_structs(packed.view(struct_type(Block))[:, 0], Block, tiles.device)
    views = as_structs(sights, Sight, tiles.device)
    out = torch.empty(start, 3, device=tiles.device)
    most = int(sights["cells"].max())
    step = span(most, tiles.device)
    inputs = [given, views, as_warp(tiles, wp.vec4), step, flat(out, wp.vec3)]
    launch(place_kernel, (len(sights), most, chunks(most, step)), inputs, tiles.device)
    parts = out.split((sights["cells"] ** 2).tolist())
    found = []
    for part, background in zip(parts, backgrounds, strict=True):
        width = math.isqrt(len(part))
        light = out_of_focus(part.view(width, width, 3), background["blur"]) * background["level"]
        if width != side:
            wide = light.permute(2, 0, 1)[None]
            wide = torch.nn.functional.interpolate(wide, (side, side), mode="bilinear", align_corners=False)
            light = wide[0].permute(1, 2, 0)
        found.append(light)
    return found


def _aim(sight: Any, background: Mapping[str, Any], look: Any, scale: float, cells: int) -> np.ndarray:
    """Fill a record of `Sight` whose cells are `scale` pixels wide; the blocks that it may show."""
    place = place_of(background)
    ca, sa = math.cos(place.turn), math.sin(place.turn)
    vectors = np.stack([look["eye"], look["ray0"], scale * look["ray_x"], scale * look["ray_y"]])
    eye, ray0, ray_x, ray_y = vectors @ np.array([[ca, 0.0, -sa], [0.0, 1.0, 0.0], [sa, 0.0, ca]])
    ray0 = ray0 + (0.5 - 0.5 / scale) * (ray_x + ray_y)
    middle, reach = ray0 + (cells - 1) / 2 * (ray_x + ray_y), cells / 2 * (ray_x + ray_y)
    length = float(np.linalg.norm(middle))
    sight["eye"], sight["ray0"], sight["ray_x"], sight["ray_y"] = eye, ray0, ray_x, ray_y
    sight["sun"], sight["lamp"], sight["lamp_reach"] = place.sun, place.lamp[:3], place.lamp[3]
    sight["zenith"], sight["horizon"], sight["ground"] = place.sky
    sight["spread"] = place.open
    return in_view(np.array(place.blocks), eye, middle / length, float(np.linalg.norm(reach)) / length)


def out_of_focus(light: torch.Tensor, blur: float) -> torch.Tensor:
    """A picture (N,N,3) blurred by so many image sizes."""
    light, radius = light.permute(2, 0, 1)[None], round(_SPREAD * blur * len(light))
    for _ in range(2 if radius else 0):
        for kernel, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
            light = torch.nn.functional.avg_pool2d(light, kernel, 1, pad, count_include_pad=False)
    return light[0].permute(1, 2, 0)
