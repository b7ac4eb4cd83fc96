"""What can be seen of vertices: by a light, by the sky."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
import warp as wp

from .meshes import Incidence, vertex_normals
from .raster import RasterError, check_faces
from .raster_warp import WarpRasteriser
from .warp_kernels_surface import shadow_kernel
from .warp_runtime import as_warp, chunks, launch, span

SHADOW_MARGIN = 3  # texels left free around the mesh, so that the 4x4 filter window never leaves the map
SHADOW_BIAS = 0.75  # texels; what snapping and interpolation can shift a depth by on slopes up to 4:1
SHADOW_SOFTNESS = 1.0  # texels of depth over which a shadow fades in


def light_visibility(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    directions: torch.Tensor,
    resolution: int = 128,
    incidence: Incidence | None = None,
    normals: torch.Tensor | None = None,
) -> torch.Tensor:
    """How much of each light reaches each vertex past the rest of the mesh: shadow maps.

    For every light an orthographic depth map is drawn along its direction, fitted around the mesh's bounding
    sphere, and read with a filter of 4x4 texels; shadow borders are soft over about two texels (2 * diameter /
    resolution). Surfaces turned away from a light are shaded by the rest of the mesh in front of them; shading by
    the angle to the light is the caller's.

    Args:
        vertices: (B, V, 3) metres, world frame.
        faces: (F, 3) integers. Both sides cast shadows.
        directions: (B, L, 3) or (L, 3) from the mesh towards the lights, any length but 0.
        resolution: side of the depth map in texels, at least 16.
        incidence: of `faces`, see `vertex_normals`.
        normals: (B, V, 3) unit vertex normals if known.

    Returns:
        (B, L, V) float32 in [0, 1]: 0 in full shadow, 1 unshadowed.

    Raises:
        RasterError: shapes do not fit together, or a direction is zero or not finite.
    """
    if vertices.ndim != 3 or vertices.shape[-1] != 3:
        raise RasterError(f"vertices must have shape (B, V, 3), got {tuple(vertices.shape)}")
    batch, count, _ = vertices.shape
    if directions.ndim == 2:
        directions = directions.expand(batch, -1, -1)
    if directions.ndim != 3 or len(directions) != batch or directions.shape[-1] != 3:
        raise RasterError(f"directions must have shape ({batch}, L, 3) or (L, 3), got {tuple(directions.shape)}")
    if not bool((directions.norm(dim=-1) > 0).all() and directions.isfinite().all()):
        raise RasterError("a light direction is zero or not finite")
    if resolution < 16:
        raise RasterError(f"a shadow map needs a resolution of at least 16, got {resolution}")
    lights = directions.shape[1]
    lit = torch.ones(batch, lights, count, device=vertices.device)
    if lit.numel() == 0:
        return lit
    positions = vertices.detach().float()
    triangles = check_faces(faces, count)
    if normals is None:
        normals = vertex_normals(positions, triangles, incidence)

    centre = (positions.amin(1, keepdim=True) + positions.amax(1, keepdim=True)) / 2
    radius = (positions - centre).norm(dim=-1).amax(1).clamp_min(1e-6)  # (B,)
    axes = _light_axes(functional.normalize(directions.to(positions), dim=-1))  # (B, L, 3, 3)
    in_light = ((positions - centre)[:, None] @ axes.mT).reshape(batch * lights, count, 3).contiguous()
    in_light_normals = (normals.detach().float()[:, None] @ axes.mT).reshape(in_light.shape).contiguous()
    intrinsics = torch.zeros(batch, 3, 3, device=positions.device)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = (resolution / 2 - SHADOW_MARGIN) / radius
    intrinsics[:, :2, 2] = resolution / 2
    intrinsics[:, 2, 2] = 1
    intrinsics = intrinsics.repeat_interleave(lights, 0)
    z = (
        WarpRasteriser()
        .rasterise(in_light, triangles, intrinsics, resolution, resolution, cull=False, projection="orthographic")
        .z
    )
    size = span(count, lit.device)
    inputs = [as_warp(in_light, wp.vec3), as_warp(in_light_normals, wp.vec3), as_warp(z), as_warp(intrinsics)]
    inputs += [SHADOW_BIAS, SHADOW_SOFTNESS, size, as_warp(lit.view(batch * lights, count))]
    launch(shadow_kernel, (batch * lights, chunks(count, size)), inputs, lit.device)
    return lit


def ambient_occlusion(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    n_directions: int = 64,
    resolution: int = 128,
    incidence: Incidence | None = None,
) -> torch.Tensor:
    """How open to an even sky each vertex is: visibility averaged over directions, weighted by the cosine.

    Directions are a Fibonacci sphere, the same every time. Costs `n_directions` shadow maps: compute it once for
    a mesh that barely changes.

    Args:
        vertices: (B, V, 3) metres.
        faces: (F, 3) integers.
        n_directions: at least 8.
        resolution: of each shadow map, texels.
        incidence: of `faces`, see `vertex_normals`.

    Returns:
        (B, V) float32 in [0, 1]; 1 where nothing is in the way, and for vertices without a normal.
    """
    if n_directions < 8:
        raise RasterError(f"ambient occlusion needs at least 8 directions, got {n_directions}")
    normals = vertex_normals(vertices, faces, incidence)
    directions = _fibonacci_sphere(n_directions).to(vertices.device)
    open_sky = torch.zeros(vertices.shape[:2], device=vertices.device)
    weight = torch.zeros_like(open_sky)
    for chunk in directions.split(8):  # bounds memory: 8 depth maps an image at a time
        lit = light_visibility(vertices, faces, chunk, resolution, incidence, normals)
        cosine = (chunk @ normals.mT).clamp_min(0)  # (B, L, V)
        open_sky += (lit * cosine).sum(1)
        weight += cosine.sum(1)
    return torch.where(weight > 0, open_sky / weight.clamp_min(1e-9), torch.ones_like(open_sky))


def _light_axes(towards_light: torch.Tensor) -> torch.Tensor:
    """Rows x, y, z of right-handed frames whose z is the way the light travels; (..., 3) units to (..., 3, 3)."""
    forward = -towards_light
    # The helper axis is the world axis least aligned with the light, so the cross product is never short.
    helper = functional.one_hot(forward.abs().argmin(-1), 3).to(forward.dtype)
    right = functional.normalize(torch.linalg.cross(helper, forward), dim=-1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)


def _fibonacci_sphere(count: int) -> torch.Tensor:
    """(count, 3) float32 unit vectors spread evenly."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    y = 1 - 2 * index / count
    angle = index * math.pi * (3 - math.sqrt(5))
    ring = (1 - y * y).sqrt()
    return torch.stack([ring * angle.cos(), y, ring * angle.sin()], dim=-1).float()
