"""Pixels of lit heads: layers of triangles, the background behind them, and what each pixel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_structs, as_warp, chunks, launch, span, stacked, struct_type

from ..backdrops.places import PLACES
from .arrays import Picture, flat
from .draw_kernels import draw_kernel
from .look import MAX_SHAPES
from .places import look_into, out_of_focus
from .scenery import Shape, backdrop_kernel
from .shade_kernel import shade_kernel

if TYPE_CHECKING:
    from ..backdrops.folder import Folder
    from ..backdrops.surroundings import Surroundings
    from ..static_scene import StaticScene


def draw(static: StaticScene, posed: Any, batch: int, ranges: Sequence[tuple[int, int]], size: int) -> torch.Tensor:
    """Key buffer (B,H,W) of one layer."""
    keys = torch.zeros(batch, size, size, dtype=torch.int64, device=static.device)
    for first, last in ranges:
        step = span(last - first, static.device)
        inputs = [posed.screen, as_warp(static.faces_tensor, wp.vec3i)]
        inputs += [static.num_vertices, first, last, size, step]
        launch(draw_kernel, (batch, chunks(last - first, step)), [*inputs, flat(keys)], static.device)
    return keys


def backdrops(
    static: StaticScene,
    looks: Any,
    parameters: Sequence[Mapping[str, Any]],
    solid: torch.Tensor,
    records: np.ndarray,
    folder: Folder | Surroundings | None,
) -> torch.Tensor:
    """The background (B,h,h,3) at half resolution. records: the looks (B,)."""
    batch, size = solid.shape[:2]
    small = (size + 1) // 2
    shapes = as_structs(stacked([_pack_shapes(p["background"]) for p in parameters]), Shape, static.device)
    out = torch.zeros(batch, small, small, 3, device=static.device)
    step = span(small, static.device)
    inputs = [looks, as_warp(static.tiles, wp.vec4), shapes, flat(solid), size, small, step]
    launch(backdrop_kernel, (batch, small, chunks(small, step)), [*inputs, flat(out, wp.vec3)], static.device)
    inside = [i for i, p in enumerate(parameters) if p["background"]["kind"] in PLACES and not p["background"]["file"]]
    if inside:
        found = [parameters[i]["background"] for i in inside]
        for i, light in zip(inside, look_into(found, records[inside], small, size, static.tiles), strict=True):
            out[i] = light
    for i, p in enumerate(parameters):
        if p["background"]["file"] and folder is not None:
            picture = torch.as_tensor(folder.behind(p["background"], records[i], small, size), device=static.device)
            out[i] = out_of_focus(picture, p["background"]["blur"]) if folder.blurred else picture
    return out


@dataclass
class Shaded:
    """A batch of pictures before they are developed: linear light (B,H,W,3), and see `core.records.Surface`. mattes
    (B,H,W,4), where asked for: opacity of hair, facial hair, glasses, and of all before the background."""

    light: torch.Tensor
    label: torch.Tensor
    face_id: torch.Tensor
    barycentric: torch.Tensor
    z: torch.Tensor
    mattes: torch.Tensor | None = None


def shade(static: StaticScene, looks: Any, posed: Any, layers: Sequence[torch.Tensor], matted: bool = False) -> Shaded:
    """What every pixel of the layers (see `StaticScene.layers` and `draw`) shows."""
    batch, size = layers[0].shape[:2]

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(batch, size, size, *shape, dtype=dtype, device=static.device)

    made = Shaded(empty(3), empty(dtype=torch.uint8), empty(dtype=torch.int32), empty(3), empty())
    made.mattes = empty(4) if matted else None
    picture = Picture()
    picture.light, picture.label, picture.face_id = flat(made.light, wp.vec3), flat(made.label), flat(made.face_id)
    picture.barycentric, picture.z = flat(made.barycentric, wp.vec3), flat(made.z)
    if made.mattes is not None:
        picture.matted, picture.mattes = 1, flat(made.mattes, wp.vec4)
    step = span(size, static.device)
    inputs = [looks, static.for_kernels, posed, *(flat(each) for each in layers), size, step, picture]
    launch(shade_kernel, (batch, size, chunks(size, step)), inputs, static.device)
    return made


def _pack_shapes(background: Mapping[str, Any]) -> np.ndarray:
    """Records (MAX_SHAPES,) of `scenery.Shape`."""
    raw = background["shapes"]
    filled = np.zeros(MAX_SHAPES, struct_type(Shape))
    packed, half = filled[: len(raw)], np.maximum(raw[:, 2:4], 0.005)
    packed["x"], packed["y"] = raw[:, 0], raw[:, 1]
    packed["cosine"], packed["sine"] = np.cos(raw[:, 4]), np.sin(raw[:, 4])
    packed["narrow_x"], packed["narrow_y"] = 1 / half[:, 0], 1 / half[:, 1]
    packed["steep"] = half.min(1) / np.maximum(raw[:, 5], 0.002)
    packed["roundness"], packed["colour"] = raw[:, 6], raw[:, 7:]
    packed["reach"] = np.linalg.norm(half, axis=1) + raw[:, 5]
    return filled
