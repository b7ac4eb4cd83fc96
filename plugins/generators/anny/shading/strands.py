"""Beards grown on posed heads, and the directions of all strands, that of head hair first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from ..mesh.hair import BOUND_ROWS, COLUMNS, ROWS
from .beard_kernels import beard_kernel

if TYPE_CHECKING:
    from ..static_scene import StaticScene


def grow_beards(
    static: StaticScene, looks: Any, vertices: torch.Tensor, strand: torch.Tensor, dead: torch.Tensor
) -> None:
    """Put beards into `vertices` (B,V,3), `strand` (B,N,4) and `dead` (B,V), see `beard_kernels.beard_kernel`."""
    source, across, hang, frame = static.beard_arrays
    count = len(source)
    size = span(count, vertices.device)
    inputs = [looks, as_warp(static.tiles, wp.vec4), static.marks, as_warp(static.skin_uv, wp.vec2)]
    inputs += [as_warp(source), as_warp(across, wp.vec2), as_warp(hang), as_warp(frame)]
    inputs += [static.beard_first, static.beard_first - static.hair_first, count, size]
    inputs += [as_warp(vertices, wp.vec3), as_warp(strand, wp.vec4), as_warp(dead)]
    launch(beard_kernel, (len(vertices), chunks(count, size)), inputs, vertices.device)


def tangents(static: StaticScene, vertices: torch.Tensor) -> torch.Tensor:
    """Unit directions (B,N,3) of the strands at the vertices of hair and beard; vertices (B,V,3)."""
    batch = len(vertices)
    grid = vertices[:, static.hair_first : static.hair_last].reshape(batch, COLUMNS + 1, ROWS, 3)
    tangent = torch.empty_like(grid)
    tangent[:, :, 1:-1] = grid[:, :, 2:] - grid[:, :, :-2]
    tangent[:, :, 0], tangent[:, :, -1] = tangent[:, :, 1], tangent[:, :, -2]
    # collapsed hair has no direction; that of its last bound row serves
    short = tangent.norm(dim=-1, keepdim=True) < 1e-5
    tangent = torch.where(short, tangent[:, :, BOUND_ROWS - 2 : BOUND_ROWS - 1], tangent)
    hair = torch.nn.functional.normalize(tangent, dim=-1).reshape(batch, -1, 3)
    # beards: most of what is seen of them hangs
    beard = torch.tensor([0.0, -1.0, 0.0], device=vertices.device).expand(batch, len(static.beard.source), 3)
    return torch.cat([hair, beard], dim=1).contiguous()
