"""Light on dressed heads: shadows, what the skin is painted with, and every array that shading reads per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from ....heads.anny.landmarks import surface_points
from ..light.lamps import lamps_of
from .arrays import Posed, flat
from .draw_kernels import project_kernel
from .dress_kernels import light_kernel, paint_kernel
from .dressing import Dressed
from .shadows import cast_shadows, near_softness
from .strands import tangents

if TYPE_CHECKING:
    from ..static_scene import StaticScene


def shadows(static: StaticScene, dressed: Dressed, parameters: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """Visibility (B,2,N) of the first two lights from the vertices that can be shaded."""
    pairs = []
    for i, p in enumerate(parameters):
        lamps, softness = lamps_of(p), p["light"]["softness"]
        for k in range(lamps.casting):
            near = lamps.near * k  # none but the second is
            if near or k < p["light"]["count"]:
                pairs.append((i, k, lamps.towards[k], near_softness(lamps.size) if near else softness, near))
    return cast_shadows(
        dressed.vertices, dressed.normals, dressed.dead, static.shadow_faces, static.shadow_vertices, pairs
    )


def posed_arrays(
    static: StaticScene,
    dressed: Dressed,
    seen: torch.Tensor,
    looks: Any,
    parameters: Sequence[Mapping[str, Any]],
) -> tuple[Any, list[torch.Tensor]]:
    """The per-image arrays as the struct kernels read, and the tensors that own its memory; seen: see `shadows`."""
    vertices, normals, strand, dead = dressed.vertices, dressed.normals, dressed.strand, dressed.dead
    batch, count = len(vertices), static.head.num_vertices
    stains = static.stains(parameters)
    albedo, marks = (torch.empty(batch, count, 4, device=static.device) for _ in range(2))
    size = span(count, static.device)
    inputs = [looks, as_warp(static.tiles, wp.vec4), as_warp(static.mm_tensor, wp.vec3)]
    inputs += [as_warp(static.skin_uv, wp.vec2), static.marks, stains, count, size]
    inputs += [as_warp(albedo, wp.vec4), as_warp(marks, wp.vec4)]
    launch(paint_kernel, (batch, chunks(count, size)), inputs, static.device)
    glow = torch.empty(batch, static.num_vertices, 4, device=static.device)
    size = span(static.num_vertices, static.device)
    inputs = [looks, as_warp(static.vertex_material), as_warp(static.open_sky), as_warp(static.oily)]
    inputs += [as_warp(t, wp.vec3) for t in (vertices, normals, tangents(static, vertices))]
    inputs += [as_warp(seen), as_warp(static.lit_index), as_warp(dead), as_warp(dressed.sky)]
    inputs += [static.hair_first, static.num_vertices, size]
    inputs += [as_warp(glow, wp.vec4)]
    launch(light_kernel, (batch, chunks(static.num_vertices, size)), inputs, static.device)
    eyes = _eye_frames(static, vertices[:, :count])
    posed = Posed()
    posed.stains = stains
    posed.count, posed.head_count, posed.hair_count = static.num_vertices, count, strand.shape[1]
    posed.glow, posed.albedo, posed.marks = (flat(t, wp.vec4) for t in (glow, albedo, marks))
    posed.vertices, posed.normals = flat(vertices, wp.vec3), flat(normals, wp.vec3)
    posed.strand = flat(strand, wp.vec4)
    posed.worn_first, posed.worn_count = static.worn_first, static.wardrobe.num_vertices
    colour, cloth = (dressed.paint[:, :, k].contiguous() for k in range(2))
    posed.worn_colour, posed.worn_cloth = flat(colour, wp.vec4), flat(cloth, wp.vec4)
    for name, tensor in eyes.items():
        setattr(posed, f"eye_{name}", flat(tensor, wp.vec3))
    screen = _project(static, looks, vertices, dead)
    posed.screen = flat(screen, wp.vec3)
    return posed, [glow, albedo, marks, vertices, normals, strand, *eyes.values(), colour, cloth, screen]


def _eye_frames(static: StaticScene, head: torch.Tensor) -> dict[str, torch.Tensor]:
    """Opening of the lids, each (B,2,3), left eye first. middle of the corners (m); across: the line between them
    over half its length (1/m); up (unit); rims: heights of the upper and the lower one above the corners (mm)."""
    embedding = static.head.embedding
    p = surface_points(head, embedding.vertices, embedding.barycentric)
    frames = []
    for inner, outer, upper, lower in ((42, 45, (43, 44), (46, 47)), (39, 36, (37, 38), (40, 41))):
        middle = (p[:, inner] + p[:, outer]) / 2
        line = (p[:, outer] - p[:, inner]) / 2
        width = line.norm(dim=-1, keepdim=True).clamp_min(1e-4)
        up = (p[:, 27] - p[:, 8]) - line / width * ((p[:, 27] - p[:, 8]) * line / width).sum(-1, keepdim=True)
        up = up / up.norm(dim=-1, keepdim=True)
        rims = [((p[:, list(r)].mean(1) - middle) * up).sum(-1, keepdim=True) * 1150.0 for r in (upper, lower)]
        frames.append((middle, line / width**2, up, torch.cat([*rims, rims[0] * 0], -1)))
    names = ("middle", "across", "up", "rims")
    return {n: torch.stack(sides, dim=1).contiguous() for n, *sides in zip(names, *frames, strict=True)}


def _project(static: StaticScene, looks: Any, vertices: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    """Vertices (B,V,3) in pixels, with the reciprocal of their depth: see `draw_kernels.project_kernel`."""
    screen = torch.empty_like(vertices)
    count = static.num_vertices
    step = span(count, static.device)
    inputs = [looks, as_warp(vertices, wp.vec3), as_warp(dead), count, step, flat(screen, wp.vec3)]
    launch(project_kernel, (len(vertices), chunks(count, step)), inputs, static.device)
    return screen
