"""Which vertices the lights reach: shadow maps of the head and its hair.

Like `synthforge.geometry.visibility.light_visibility`, but for a picture of one head. Maps have one fixed scale about
the world's origin, so that an image's shadows do not depend on its batch. Triangles towards the light cast shadows.
Five taps are read per vertex, and the width of the penumbra is a parameter.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import numpy as np
import torch
import warp as wp

from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from ..mesh.worn.slots import ABSENT as _ABSENT
from .draw_kernels import closeness_of, draw_kernel

TEXELS = 104  # side of a map
REACH = 0.18  # m from the origin that a map covers to each side
OFFSET = 0.004  # m a point is lifted off its surface before it is looked up
BIAS = 0.0025  # m a point may lie behind the map and still be lit
FADE = 0.004  # m of depth over which a tap turns dark

SCALE = wp.constant(TEXELS / 2 / REACH)
ABSENT = wp.constant(wp.uint8(_ABSENT))
HALF, SIDE = wp.constant(TEXELS / 2.0), wp.constant(TEXELS)
LIFT, LEEWAY, SOFT = wp.constant(OFFSET), wp.constant(BIAS), wp.constant(1.0 / FADE)

wp.set_module_options({"enable_backward": False})


@wp.func
def seen_from(q: wp.vec3, near: wp.float32) -> wp.vec3:
    """A point in a light's axes as its map has it: in perspective if the light is near, 1 / `near` metres away."""
    wide = 1.0 / (1.0 + q[2] * near)
    return wp.vec3(q[0] * wide, q[1] * wide, q[2])


@wp.kernel
def map_kernel(
    vertices: wp.array2d(dtype=wp.vec3),
    dead: wp.array2d(dtype=wp.uint8),
    chosen: wp.array(dtype=wp.int32),
    image: wp.array(dtype=wp.int32),
    axes: wp.array(dtype=wp.mat33),
    near: wp.array(dtype=wp.float32),
    span: wp.int32,
    screen: wp.array(dtype=wp.vec3),
):
    """The chosen vertices of pair p's image in its light's map: texels, and 1 - depth (m) as closeness."""
    p, chunk = wp.tid()
    b = image[p]
    for i in range(chunk * span, wp.min((chunk + 1) * span, chosen.shape[0])):
        vertex = chosen[i]
        q = seen_from(axes[p] * vertices[b, vertex], near[p])
        close = 1.0 - q[2]
        if dead[b, vertex] != wp.uint8(0):
            close = -close
        screen[p * chosen.shape[0] + i] = wp.vec3(q[0] * SCALE + HALF, q[1] * SCALE + HALF, close)


@wp.func
def tap(keys: wp.array(dtype=wp.int64), p: wp.int32, u: wp.float32, v: wp.float32, close: wp.float32) -> wp.float32:
    column = wp.int32(wp.floor(u))
    row = wp.int32(wp.floor(v))
    if column < 0 or row < 0 or column >= SIDE or row >= SIDE:
        return 1.0
    return wp.clamp(1.0 + (close + LEEWAY - closeness_of(keys[(p * SIDE + row) * SIDE + column])) * SOFT, 0.0, 1.0)


@wp.kernel
def reach_kernel(
    vertices: wp.array2d(dtype=wp.vec3),
    normals: wp.array2d(dtype=wp.vec3),
    chosen: wp.array(dtype=wp.int32),
    image: wp.array(dtype=wp.int32),
    light: wp.array(dtype=wp.int32),
    axes: wp.array(dtype=wp.mat33),
    softness: wp.array(dtype=wp.float32),
    near: wp.array(dtype=wp.float32),
    dead: wp.array2d(dtype=wp.uint8),
    keys: wp.array(dtype=wp.int64),
    span: wp.int32,
    seen: wp.array3d(dtype=wp.float32),
):
    """Share of pair p's light that reaches each chosen vertex."""
    p, chunk = wp.tid()
    b = image[p]
    s = softness[p]
    for i in range(chunk * span, wp.min((chunk + 1) * span, chosen.shape[0])):
        vertex = chosen[i]
        n = axes[p] * normals[b, vertex]
        q = seen_from(axes[p] * vertices[b, vertex] + n * LIFT, near[p])
        share = float(0.0)
        if n[2] < 0.6 and dead[b, vertex] != ABSENT:  # light wraps around skin a little; beyond, nothing arrives anyway
            u = q[0] * SCALE + HALF
            v = q[1] * SCALE + HALF
            close = 1.0 - q[2]
            share = 0.28 * tap(keys, p, u, v, close)
            share = share + 0.18 * tap(keys, p, u + s, v + 0.4 * s, close)
            share = share + 0.18 * tap(keys, p, u - s, v - 0.4 * s, close)
            share = share + 0.18 * tap(keys, p, u - 0.4 * s, v + s, close)
            share = share + 0.18 * tap(keys, p, u + 0.4 * s, v - s, close)
        seen[b, light[p], i] = share


def near_softness(size: float) -> float:
    """Penumbra in texels that a light of this radius over its distance casts 3 cm behind what hides it."""
    return min(0.6 + 0.03 * size * TEXELS / REACH, 5.0)


def light_axes(towards: np.ndarray) -> np.ndarray:
    """Right-handed frames (P,3,3), rows x, y, z, whose z is the way the light travels; towards (P,3) units."""
    forward = -towards
    helper = np.eye(3)[np.abs(forward).argmin(1)]
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def cast_shadows(
    vertices: torch.Tensor,
    normals: torch.Tensor,
    dead: torch.Tensor,
    faces: torch.Tensor,
    chosen: torch.Tensor,
    pairs: list[tuple[int, int, np.ndarray, float, float]],
) -> torch.Tensor:
    """How much of lights 0 and 1 reaches the chosen vertices: (B,2,N), 1 for lights that cast no shadow.

    vertices, normals (B,V,3), world metres; dead (B,V) uint8: faces of dead vertices only cast nothing; chosen (N,)
    int32; faces (F,3) int32 into the chosen ones; pairs: image, light, unit direction towards the light, penumbra in
    texels, 1 over the light's distance (m) or 0.
    """
    device = vertices.device
    seen = torch.ones(len(vertices), 2, len(chosen), device=device)
    if not pairs:
        return seen
    images, lights, directions, softness, near = zip(*pairs, strict=True)

    def tensor(values: object, kind: torch.dtype) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values), dtype=kind, device=device)

    image, light = tensor(images, torch.int32), tensor(lights, torch.int32)
    axes, soft = tensor(light_axes(np.stack(directions)), torch.float32), tensor(softness, torch.float32)
    closeness = as_warp(tensor(near, torch.float32))
    count, size, step = len(chosen), span(len(chosen), device), span(len(faces), device)
    screen = torch.empty(len(pairs), count, 3, device=device)
    keys = torch.zeros(len(pairs), TEXELS, TEXELS, dtype=torch.int64, device=device)
    point_array, frames, key_array = as_warp(vertices, wp.vec3), as_warp(axes, wp.mat33), as_warp(keys.view(-1))
    chosen_array, image_array = as_warp(chosen), as_warp(image)
    inputs = [point_array, as_warp(dead), chosen_array, image_array, frames, closeness, size]
    inputs += [as_warp(screen.view(-1, 3), wp.vec3)]
    launch(map_kernel, (len(pairs), chunks(count, size)), inputs, device)
    # A map's rows run along y and closeness falls along z, as in a camera's picture: faces towards the light are front.
    inputs = [as_warp(screen.view(-1, 3), wp.vec3), as_warp(faces, wp.vec3i), count, 0, len(faces), TEXELS, step]
    launch(draw_kernel, (len(pairs), chunks(len(faces), step)), [*inputs, key_array], device)
    inputs = [point_array, as_warp(normals, wp.vec3), chosen_array, image_array, as_warp(light), frames]
    inputs += [as_warp(soft), closeness, as_warp(dead), key_array, size, as_warp(seen)]
    launch(reach_kernel, (len(pairs), chunks(count, size)), inputs, device)
    return seen
