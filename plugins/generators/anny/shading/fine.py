"""The picture of `quality: fine`: supersampled, traced shadows, skin that scatters. Its labels are those of `shade`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_structs, as_warp, chunks, launch, span

from ..light.lamps import PENUMBRA
from ..mesh import materials
from .arrays import POSED, Posed, flat
from .draw_kernels import project_kernel
from .drawing import backdrops, draw
from .dressing import Dressed
from .fine_kernels import fine_kernel
from .hair_kernels import PIECES, Hairs, grow_kernel, sprout_kernel, trace_kernel
from .look import Look
from .probe_kernels import Probes, Scenery, mean_kernel, probe_kernel, scatter_kernel

if TYPE_CHECKING:
    from ..backdrops.folder import Folder
    from ..backdrops.surroundings import Surroundings
    from ..static_scene import StaticScene

OVER = 2  # samples a pixel, along each side
CELLS = 256  # at most about so many cells of probes along a side, at least two pixels wide
RAYS, SHADOW_RAYS = 3, 2  # a cell, of sixteen that are averaged
HAIRS = 16_000
_PAINTED = 0.75  # opacity left to brows below their hairs
_CASTING = (materials.BODY, materials.LEFT_EYE, materials.RIGHT_EYE, materials.FRAME, materials.WORN, materials.TEETH)


def refine(
    static: StaticScene,
    records: np.ndarray,
    parameters: Sequence[Mapping[str, Any]],
    dressed: Dressed,
    posed: Any,
    solid: torch.Tensor,
    folder: Folder | Surroundings | None,
    crowd: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear light (B,H,W,3) and opacity (B,H,W) of pictures; records: looks of their own resolution, posed and solid:
    see `shade`. crowd: nothing is behind people, and everyone shades everyone.

    Every picture is made alone, so bytes do not depend on the batch.
    """
    batch, size = solid.shape[:2]
    light = torch.empty(batch, size, size, 3, device=static.device)
    cover = torch.empty(batch, size, size, device=static.device)
    shared = _triangles(static, records, dressed, range(batch)) if crowd else None
    for i in range(batch):
        alone, look = _alone(posed, i, batch), records[i : i + 1]
        scene, keep = shared or _triangles(static, records, dressed, [i])
        scene.size = PENUMBRA * parameters[i]["light"]["softness"]
        probes, own = _probes(static, look, alone, solid[i : i + 1], scene)
        vertices, dead = dressed.vertices[i : i + 1], dressed.dead[i : i + 1]
        picture = _shaded(static, look, parameters[i], alone, (vertices, dead), probes, size, folder, crowd)
        light[i], cover[i] = picture[..., :3], picture[..., 3]
        del keep, own
    return light, cover


def _alone(posed: Any, number: int, batch: int) -> Any:
    """The arrays of one picture of a batch; all but those of stains are flat."""
    found = Posed()
    for name in POSED:
        value = getattr(posed, name)
        if isinstance(value, wp.array):
            share = value.shape[0] // batch
            value = value[number * share : (number + 1) * share]
        setattr(found, name, value)
    if posed.stains.count:
        stains = type(posed.stains)()
        for name in ("count", "where", "colour", "speckle"):
            setattr(stains, name, getattr(posed.stains, name))
        stains.amount = posed.stains.amount[number : number + 1]
        found.stains = stains
    return found


def _triangles(
    static: StaticScene, records: np.ndarray, dressed: Dressed, numbers: Sequence[int]
) -> tuple[Any, list[Any]]:
    """What shades, of one picture or of all people of a crowd, in their common camera's axes, and what owns it."""
    casting = torch.as_tensor(np.isin(static.material, _CASTING), device=static.device)
    outer = np.isin(np.arange(len(static.faces)), static.outer)
    hair = torch.as_tensor(outer & (static.material == materials.HAIR), device=static.device)
    points, solids, hairs = [], [], []
    for k, i in enumerate(numbers):
        turn, offset = (
            torch.as_tensor(records[name][i], dtype=torch.float32, device=static.device)
            for name in ("camera", "camera_offset")
        )
        points.append(dressed.vertices[i] @ turn.T + offset)
        there = dressed.dead[i][static.faces_tensor.long()] == 0
        solids.append(static.faces_tensor[casting & there.any(1)] + k * static.num_vertices)
        hairs.append(static.faces_tensor[hair & there.all(1)] + k * static.num_vertices)
    corners = torch.cat(points).contiguous()
    faces = torch.cat([*solids, *hairs]).to(torch.int32).contiguous()
    mesh = wp.Mesh(points=as_warp(corners, wp.vec3), indices=as_warp(faces.view(-1)))
    scene = Scenery()
    scene.mesh, scene.hairs = mesh.id, sum(len(each) for each in solids)
    scene.rays, scene.shadows = RAYS, SHADOW_RAYS
    return scene, [mesh, corners, faces]


def _probes(
    static: StaticScene, look: np.ndarray, posed: Any, solid: torch.Tensor, scene: Any
) -> tuple[Any, list[torch.Tensor]]:
    """Light at a grid of the picture's pixels, and the tensors that own it."""
    size = solid.shape[1]
    step = max(2, round(size / CELLS))
    width = -(-size // step)
    three = [torch.zeros(width * width, 3, device=static.device) for _ in range(4)]
    four = [torch.zeros(width * width, 4, device=static.device) for _ in range(2)]
    probes = Probes()
    probes.width, probes.step = width, step
    probes.point, probes.normal, probes.light = (as_warp(each, wp.vec3) for each in three[:3])
    probes.seen = as_warp(four[0], wp.vec4)
    looks, part = as_structs(look, Look, static.device), span(width, static.device)
    grid = (width, chunks(width, part))
    inputs = [looks, static.for_kernels, posed, flat(solid), size, scene, part, probes]
    launch(probe_kernel, grid, inputs, static.device)
    tone: Any = wp.array(look["tone"], dtype=wp.vec3, device=wp.device_from_torch(static.device))
    launch(mean_kernel, grid, [looks, tone, part, probes, as_warp(four[1], wp.vec4)], static.device)
    probes.seen = as_warp(four[1], wp.vec4)
    seen = four[1][:, 3] > 0
    away = float((1 / _depth(three[0][seen], look)).mean()) if bool(seen.any()) else 1.0
    metre = float(look["focal"][0]) / step * away
    launch(scatter_kernel, grid, [looks, part, metre, probes, as_warp(three[3], wp.vec3)], static.device)
    probes.light = as_warp(three[3], wp.vec3)
    return probes, [*three, *four]


def _depth(points: torch.Tensor, look: np.ndarray) -> torch.Tensor:
    turn, offset = look["camera"][0], look["camera_offset"][0]
    forward = torch.as_tensor(turn[2], dtype=torch.float32, device=points.device)
    return points @ forward + float(offset[2])


def _shaded(
    static: StaticScene,
    look: np.ndarray,
    parameters: Mapping[str, Any],
    posed: Any,
    mesh: tuple[torch.Tensor, torch.Tensor],
    probes: Any,
    size: int,
    folder: Folder | Surroundings | None,
    crowd: bool,
) -> torch.Tensor:
    """Light and opacity (H,W,4) of one picture of side `size`, drawn `OVER` times as large and filtered. mesh: vertices
    (1,V,3), and which are dead (1,V)."""
    size *= OVER
    vertices, dead = mesh
    large = look.copy()
    for name in ("focal", "principal"):
        large[name] *= OVER
    large["ray0"] -= (look["ray_x"] + look["ray_y"]) * (0.5 - 0.5 / OVER)
    large["ray_x"] /= OVER
    large["ray_y"] /= OVER
    large["brow_density"] *= _PAINTED  # single hairs make up for it
    looks, count = as_structs(large, Look, static.device), static.num_vertices
    step = span(count, static.device)
    screen = torch.empty_like(vertices)
    inputs = [looks, as_warp(vertices, wp.vec3), as_warp(dead), count, step, flat(screen, wp.vec3)]
    launch(project_kernel, (1, chunks(count, step)), inputs, static.device)
    posed.screen = flat(screen, wp.vec3)
    solid, thin, lining = (draw(static, posed, 1, ranges, size) for ranges in static.layers)
    shown = torch.zeros_like(solid) if crowd else solid
    behind = backdrops(static, looks, [parameters], shown, large, folder)
    if crowd:
        behind.zero_()
    posed.backdrop = flat(behind, wp.vec3)
    strands, hairs, keep = _hairs(static, looks, posed, probes, size)
    out = torch.empty(size, size, 4, device=static.device)
    part = span(size, static.device)
    inputs = [looks, static.for_kernels, posed, flat(solid), flat(thin), flat(lining), as_warp(static.oily), probes]
    inputs += [flat(strands), hairs, 1.0 / OVER, size, part, flat(out, wp.vec4)]
    launch(fine_kernel, (size, chunks(size, part)), inputs, static.device)
    del keep
    return filtered(out)


def _hairs(
    static: StaticScene, looks: Any, posed: Any, probes: Any, size: int
) -> tuple[torch.Tensor, Any, list[torch.Tensor]]:
    """Key buffer (H,H) of single hairs, the hairs, and the tensors that own them."""
    hairs, device = Hairs(), static.device
    face, weights, kind = static.follicles
    hairs.count = HAIRS + len(face)
    screen, light = (torch.zeros(hairs.count * (PIECES + 1), channels, device=device) for channels in (3, 4))
    hairs.screen, hairs.light = as_warp(screen, wp.vec3), as_warp(light, wp.vec4)
    keys = torch.zeros(size, size, dtype=torch.int64, device=device)
    part = span(HAIRS, device)
    launch(grow_kernel, (chunks(HAIRS, part),), [looks, static.for_kernels, posed, HAIRS, part, hairs], device)
    part = span(len(face), device)
    inputs = [looks, static.for_kernels, posed, probes, 1.0 / (OVER * probes.step), as_warp(face)]
    inputs += [as_warp(weights, wp.vec3), as_warp(kind), HAIRS, part, hairs]
    launch(sprout_kernel, (chunks(len(face), part),), inputs, device)
    part = span(hairs.count, device)
    launch(trace_kernel, (chunks(hairs.count, part),), [looks, hairs, size, part, flat(keys)], device)
    return keys, hairs, [screen, light]


def _mitchell(x: np.ndarray) -> np.ndarray:
    """The cubic filter of Mitchell and Netravali (1988), B = C = 1/3, at distances in pixels."""
    x = np.abs(x)
    near, far = 7 * x**3 - 12 * x**2 + 16 / 3, -7 / 3 * x**3 + 12 * x**2 - 20 * x + 32 / 3
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)))


_TAPS = 4 * OVER
_WEIGHTS = _mitchell((np.arange(_TAPS) - (_TAPS - 1) / 2) / OVER)
_WEIGHTS /= _WEIGHTS.sum()


def filtered(samples: torch.Tensor) -> torch.Tensor:
    """The picture (H,H,C) of `OVER` times as many samples a side; nothing below zero. Borders repeat."""
    edge, side = (_TAPS - OVER) // 2, len(samples)
    for _ in range(2):
        wide = torch.cat([samples[:1].expand(edge, -1, -1), samples, samples[-1:].expand(edge, -1, -1)])
        rows = torch.zeros_like(wide[:side:OVER])
        for k, weight in enumerate(_WEIGHTS.tolist()):
            rows.add_(wide[k : k + side : OVER], alpha=weight)
        samples = rows.transpose(0, 1).contiguous()
    return samples.clamp_min_(0.0)
