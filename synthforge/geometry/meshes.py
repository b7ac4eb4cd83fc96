"""Triangle meshes: normals, and the simple shapes that tests and measurements are made of.

Triangles are counter-clockwise seen from outside; positions are metres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Vertices = npt.NDArray[np.float32]
Triangles = npt.NDArray[np.int32]


class Mesh(NamedTuple):
    """vertices (V, 3) float32 metres, faces (F, 3) int32."""

    vertices: Vertices
    faces: Triangles


class Incidence:
    """Which face corners meet at each vertex; build it once for meshes whose faces stay the same.

    Args:
        faces: (F, 3) integers, on any device.
        vertex_count: V.
    """

    def __init__(self, faces: torch.Tensor, vertex_count: int) -> None:
        import torch

        from .raster import check_faces

        self.faces = check_faces(faces, vertex_count)
        flat = self.faces.reshape(-1).long()
        # Stable, so every vertex adds up its faces in the order they are listed: the same bits every time.
        self.corners = torch.argsort(flat, stable=True).to(torch.int32)
        self.starts = torch.zeros(vertex_count + 1, dtype=torch.int32, device=flat.device)
        self.starts[1:] = torch.bincount(flat, minlength=vertex_count).cumsum(0)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor, incidence: Incidence | None = None) -> torch.Tensor:
    """Unit vertex normals: the sum of the adjacent faces' normals, weighted by their areas.

    Args:
        vertices: (B, V, 3) or (V, 3), any frame; normals come out in the same frame. Not differentiable.
        faces: (F, 3) integers.
        incidence: of these faces; spares sorting them again.

    Returns:
        float32 of the shape of `vertices`. A vertex without faces, or whose faces cancel, gets the zero vector.
    """
    import torch
    import warp as wp

    from .warp_kernels_surface import normals_kernel
    from .warp_runtime import as_warp, chunks, launch, span

    batched = vertices.detach().to(torch.float32).reshape(-1, *vertices.shape[-2:]).contiguous()
    batch, count, _ = batched.shape
    topology = incidence or Incidence(faces, count)
    normals = torch.zeros_like(batched)
    if normals.numel():
        size = span(count, batched.device)
        inputs = [as_warp(batched, wp.vec3), as_warp(topology.faces, wp.vec3i), as_warp(topology.starts)]
        inputs += [as_warp(topology.corners), size, as_warp(normals, wp.vec3)]
        launch(normals_kernel, (batch, chunks(count, size)), inputs, batched.device)
    return normals.reshape(vertices.shape)


def icosphere(subdivisions: int = 3, radius: float = 1.0) -> Mesh:
    """A closed sphere around the origin with 20 * 4 ** subdivisions faces; `radius` in metres."""
    golden = (1 + 5**0.5) / 2
    base = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    points = np.array(base + [(z, x, y) for x, y, z in base] + [(y, z, x) for x, y, z in base])
    # Neighbours lie 2 apart; each triple of mutual neighbours is a face, wound to look outwards.
    near = np.abs(np.linalg.norm(points[:, None] - points[None], axis=-1) - 2) < 1e-9
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    faces = np.array([(a, b, c) if np.linalg.det(points[[a, b, c]]) > 0 else (a, c, b) for a, b, c in triples])
    for _ in range(subdivisions):
        pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        unique, index = np.unique(pairs, axis=0, return_inverse=True)
        ab, bc, ca = (index.reshape(-1) + len(points)).reshape(3, -1)
        points = np.concatenate([points, points[unique].mean(axis=1)])
        a, b, c = faces.T
        corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        faces = np.concatenate([np.stack(triple, axis=1) for triple in corners])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = points * (radius / np.linalg.norm(points, axis=1, keepdims=True))
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


def grid(columns: int, rows: int, width: float = 1.0, height: float = 1.0) -> Mesh:
    """A flat rectangle in the plane z = 0 around the origin, facing +z; `width` and `height` in metres.

    It has (columns + 1) * (rows + 1) vertices, row by row from the lower left (-x, -y), and two faces a cell.
    """
    x = np.linspace(-width / 2, width / 2, columns + 1)
    y = np.linspace(-height / 2, height / 2, rows + 1)
    points = np.stack([*np.meshgrid(x, y), np.zeros((rows + 1, columns + 1))], axis=-1).reshape(-1, 3)
    lower_left = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    lower_right, upper_left, upper_right = lower_left + 1, lower_left + columns + 1, lower_left + columns + 2
    faces = np.concatenate(
        [
            np.stack([lower_left, lower_right, upper_right], axis=1),
            np.stack([lower_left, upper_right, upper_left], axis=1),
        ]
    )
    return Mesh(points.astype(np.float32), faces.astype(np.int32))
