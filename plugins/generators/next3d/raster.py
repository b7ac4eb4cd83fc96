"""Orthographic rasterisation of a mesh into the four views of the dynamic planes.

Every float32 operation and its order are part of the result. The networks learned which pixel sees which triangle, and
a coverage test that differs in the last bit moves single pixels.
"""

from __future__ import annotations

from math import pi

import torch

SIZE = 256
VIEWS = ((0.0, 0.0), (0.0, 90.0), (0.0, -90.0), (90.0, 0.0))  # rotation about x and y in degrees
FRONT, SIDE, OTHER_SIDE, TOP = range(4)
_AREA_EPSILON = 1e-8
_CANDIDATES = 4_000_000  # pixel-face pairs tested at once, about 300 MB


def view_vertices(vertices: torch.Tensor, view: int) -> torch.Tensor:
    """FLAME vertices (B,V,3), metres, in the rasteriser's coordinates of one view (B,V,3).

    x to the left, y up, both in [-1,1] over the image; z is the depth along the view.
    """
    flip = torch.tensor([1.0, -1.0, 1.0], device=vertices.device)
    shift = torch.tensor([0.0, -0.01, -0.01], device=vertices.device)
    rotated = (vertices * flip) @ _rotation(*VIEWS[view]).to(vertices.device)
    p = (rotated + shift) * 5
    return torch.stack([-p[..., 0], p[..., 1], -p[..., 2] + 10], dim=-1)


def _rotation(x: float, y: float) -> torch.Tensor:
    """Rotation (3,3) about x and then y from float32 sines and cosines: 90 degrees is not exact, on purpose."""
    a, b = torch.tensor(x * pi / 180), torch.tensor(y * pi / 180)
    (sx, sy), (cx, cy) = torch.sin(torch.stack([a, b])), torch.cos(torch.stack([a, b]))
    one, zero = torch.ones(()), torch.zeros(())
    about_x = torch.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx]).view(3, 3)
    about_y = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy]).view(3, 3)
    return about_x @ about_y


def rasterise(
    vertices: torch.Tensor, faces: torch.Tensor, size: int = SIZE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nearest front face of each pixel: face id (B,S,S) int64, -1 for none; barycentric (B,S,S,3); depth (B,S,S).

    vertices (B,V,3) as `view_vertices` gives them; faces (F,3). A pixel is covered when its centre has three strictly
    positive weights; back faces (negative area) are culled; of equal depths the lower face id wins.
    """
    batch, count = len(vertices), len(faces)
    corners = vertices[:, faces].flatten(0, 1)  # (B*F,3,3)
    area = _edge(corners[:, 2, :2], corners[:, 0, :2], corners[:, 1, :2])
    scaled = corners.new_tensor([-1.0, -1.0]) * corners[..., :2]  # pixel axes: right and down
    low = ((scaled.amin(1) + 1) * (size / 2) - 0.5).ceil().clamp(0, size).long()
    high = ((scaled.amax(1) + 1) * (size / 2) - 0.5).floor().clamp(-1, size - 1).long()
    low, high = (low - 1).clamp_min(0), (high + 1).clamp_max(size - 1)  # rounding of the box must lose no pixel
    extent = (high - low + 1).clamp_min(0)
    usable = (area > _AREA_EPSILON) & (extent > 0).all(1) & corners.isfinite().all(2).all(1)
    kept = usable.nonzero()[:, 0]
    pairs = extent[kept].prod(1)
    best = torch.full((batch * size * size,), torch.iinfo(torch.int64).max, device=vertices.device)
    for some in _chunks(pairs):
        face = torch.repeat_interleave(kept[some], pairs[some])
        within = torch.arange(len(face), device=face.device) - torch.repeat_interleave(
            pairs[some].cumsum(0) - pairs[some], pairs[some]
        )
        column = low[face, 0] + within % extent[face, 0]
        row = low[face, 1] + torch.div(within, extent[face, 0], rounding_mode="floor")
        weights = _barycentric(corners[face], area[face], _centre(column, row, size))
        depth = _dot(weights, corners[face, :, 2])
        hit = (weights > 0).all(1) & (depth >= 0)
        # non-negative floats order like their bits, so one integer minimum finds the nearest, lowest face
        key = (depth[hit].view(torch.int32).long() << 32) | (face[hit] % count)
        pixel = (torch.div(face[hit], count, rounding_mode="floor") * size + row[hit]) * size + column[hit]
        best.scatter_reduce_(0, pixel, key, "amin")
    covered = best != torch.iinfo(torch.int64).max
    face_id = torch.where(covered, best & 0xFFFFFFFF, -1)
    return _at_pixels(face_id.view(batch, size, size), corners.view(batch, count, 3, 3), area.view(batch, count))


def _at_pixels(
    face_id: torch.Tensor, corners: torch.Tensor, area: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    size = face_id.shape[-1]
    sample, row, column = (face_id >= 0).nonzero(as_tuple=True)
    face = face_id[sample, row, column]
    weights = _barycentric(corners[sample, face], area[sample, face], _centre(column, row, size))
    barycentric = corners.new_full((*face_id.shape, 3), -1.0)
    depth = corners.new_full(face_id.shape, -1.0)
    barycentric[sample, row, column] = weights
    depth[sample, row, column] = _dot(weights, corners[sample, face, :, 2])
    return face_id, barycentric, depth


def _chunks(pairs: torch.Tensor) -> list[slice]:
    """Runs of faces whose pixel boxes together stay below the limit (or single faces)."""
    ends = pairs.cumsum(0).tolist()
    runs, start, base = [], 0, 0
    for i, end in enumerate(ends):
        if end - base > _CANDIDATES and i > start:
            runs.append(slice(start, i))
            start, base = i, ends[i - 1]
    if start < len(ends):
        runs.append(slice(start, len(ends)))
    return runs


def _centre(column: torch.Tensor, row: torch.Tensor, size: int) -> torch.Tensor:
    """Pixel centres (N,2) in the rasteriser's coordinates: x to the left, y up."""
    at = torch.stack([size - 1 - column, size - 1 - row], 1)
    return (2.0 * at + 1.0) / size - 1.0


def _edge(p: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Twice the signed area of (p, a, b), one rounding at each operation."""
    return (p[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1]) - (p[..., 1] - a[..., 1]) * (b[..., 0] - a[..., 0])


def _barycentric(corners: torch.Tensor, area: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    a, b, c = corners[:, 0, :2], corners[:, 1, :2], corners[:, 2, :2]
    total = area + _AREA_EPSILON
    return torch.stack([_edge(p, b, c) / total, _edge(p, c, a) / total, _edge(p, a, b) / total], 1)


def _dot(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return weights[:, 0] * values[:, 0] + weights[:, 1] * values[:, 1] + weights[:, 2] * values[:, 2]
