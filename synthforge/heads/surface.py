"""Small tools for finding places on a triangle mesh: rings, level sets, front projection, arc length. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra


@dataclass(frozen=True)
class Places:
    """Points of a surface: vertices (N,3) int64 corners and barycentric (N,3) float64 weights of each."""

    vertices: np.ndarray
    barycentric: np.ndarray

    def on(self, points: np.ndarray) -> np.ndarray:
        """Where they lie on a mesh with vertex positions `points` (V,3): (N,3). Works for any values at vertices."""
        return (points[self.vertices] * self.barycentric[..., None]).sum(-2)

    def __getitem__(self, index: slice | np.ndarray) -> Places:
        return Places(self.vertices[index], self.barycentric[index])


def join(parts: list[Places]) -> Places:
    """One list of places from several."""
    return Places(np.concatenate([p.vertices for p in parts]), np.concatenate([p.barycentric for p in parts]))


def edge_graph(faces: np.ndarray, count: int) -> csr_matrix:
    """Symmetric adjacency (count, count) of the vertices joined by an edge."""
    start, end = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
    one = np.ones(2 * len(start), np.int8)
    graph = coo_matrix((one, (np.r_[start, end], np.r_[end, start])), shape=(count, count)).tocsr()
    graph.data[:] = 1
    return graph


def face_islands(uv_faces: np.ndarray) -> np.ndarray:
    """Number of the connected texture island of each face (F,)."""
    _, label = connected_components(edge_graph(uv_faces, int(uv_faces.max()) + 1), directed=False)
    return label[uv_faces[:, 0]]


def rings(faces: np.ndarray, count: int, seed: np.ndarray) -> np.ndarray:
    """Distance (count,) in edges of each vertex from the seed vertices along `faces`; inf where unreachable."""
    return dijkstra(edge_graph(faces, count), directed=False, indices=seed, unweighted=True, min_only=True)


def level_set(field: np.ndarray, faces: np.ndarray) -> list[Places]:
    """The curves along which a scalar at the vertices is zero, interpolated linearly; each in order, open or closed.

    A closed curve does not repeat its first point. Zeros at a vertex count as just above.
    """
    signed = np.where(field == 0, 1e-9, field)
    above = signed > 0
    crossed = faces[above[faces].any(1) & ~above[faces].all(1)]
    pieces = []
    for corner in range(3):
        ends = crossed[:, [corner, (corner + 1) % 3]]
        pieces.append(np.where((above[ends[:, 0]] != above[ends[:, 1]])[:, None], np.sort(ends, axis=1), -1))
    segments = np.stack(pieces, axis=1)
    chosen = segments[segments[..., 0] >= 0].reshape(-1, 2, 2)
    keys, index = np.unique(chosen.reshape(-1, 2), axis=0, return_inverse=True)
    third = np.zeros(len(keys), np.int64)
    index = index.reshape(-1, 2)
    for column in range(2):
        outside = ~(crossed[:, :, None] == keys[index[:, column]][:, None, :]).any(2)
        third[index[:, column]] = crossed[outside]
    value = signed[keys]
    weight = value[:, 1] / (value[:, 1] - value[:, 0])
    places = Places(
        np.concatenate([keys, third[:, None]], axis=1), np.stack([weight, 1 - weight, np.zeros(len(keys))], 1)
    )
    return [places[line] for line in _chains(index, len(keys))]


def _chains(links: np.ndarray, count: int) -> list[np.ndarray]:
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in links.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    seen = np.zeros(count, bool)
    lines = []
    # ends of open curves first, so that each is walked from one end
    for start in sorted(range(count), key=lambda i: len(neighbours[i]) != 1):
        if seen[start]:
            continue
        line = [start]
        seen[start] = True
        while True:
            step = [n for n in neighbours[line[-1]] if not seen[n]]
            if not step:
                break
            line.append(step[0])
            seen[step[0]] = True
        lines.append(np.array(line))
    return lines


def walk(curve: Places, points: np.ndarray, start: int, end: int, via: int) -> Places:
    """The part of a closed curve from position `start` to `end` that passes `via`."""
    count = len(curve.vertices)
    forward = (np.arange((end - start) % count + 1) + start) % count
    backward = (start - np.arange((start - end) % count + 1)) % count
    return curve[forward if via in forward.tolist() else backward]


def along(curve: Places, points: np.ndarray, fractions: np.ndarray) -> Places:
    """Places at fractions (N,) in [0,1] of an open curve's length."""
    position = curve.on(points)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(position, axis=0), axis=1))])
    return _between(curve, np.interp(np.asarray(fractions) * length[-1], length, np.arange(len(length))))


def where(curve: Places, values: np.ndarray, wanted: np.ndarray) -> Places:
    """Places where a quantity given at the curve's points (increasing or decreasing) takes the wanted values (N,)."""
    index = np.arange(len(values), dtype=float)
    order = slice(None) if values[-1] > values[0] else slice(None, None, -1)
    return _between(curve, np.interp(wanted, values[order], index[order]))


def _between(curve: Places, position: np.ndarray) -> Places:
    """Places at fractional positions of a curve: two neighbours share a face, whose corners hold the point between."""
    low = np.clip(np.floor(position).astype(int), 0, len(curve.vertices) - 2)
    part = np.clip(position - low, 0, 1)
    corners, weights = [], []
    for i, t in zip(low.tolist(), part.tolist(), strict=True):
        merged: dict[int, float] = {}
        for row, share in ((i, 1 - t), (i + 1, t)):
            for vertex, weight in zip(curve.vertices[row].tolist(), curve.barycentric[row].tolist(), strict=True):
                merged[vertex] = merged.get(vertex, 0.0) + share * weight
        ranked = sorted(merged.items(), key=lambda item: -item[1])[:3]
        total = sum(weight for _, weight in ranked)
        corners.append([vertex for vertex, _ in ranked])
        weights.append([weight / total for _, weight in ranked])
    return Places(np.array(corners, np.int64), np.array(weights))


def front_hits(points: np.ndarray, faces: np.ndarray, xy: np.ndarray) -> tuple[Places, np.ndarray]:
    """Where parallel rays along -z at xy (N,2) first meet the mesh from the front: places and hit (N,) bool."""
    corner = points[faces]
    a, b, c = (corner[:, i, :2] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    facing = area > 1e-12
    faces, corner, a, b, c, area = faces[facing], corner[facing], a[facing], b[facing], c[facing], area[facing]
    chosen = np.zeros((len(xy), 3), np.int64)
    weight = np.zeros((len(xy), 3))
    hit = np.zeros(len(xy), bool)
    for row, p in enumerate(np.asarray(xy, float)):
        wa = ((b[:, 0] - p[0]) * (c[:, 1] - p[1]) - (b[:, 1] - p[1]) * (c[:, 0] - p[0])) / area
        wb = ((c[:, 0] - p[0]) * (a[:, 1] - p[1]) - (c[:, 1] - p[1]) * (a[:, 0] - p[0])) / area
        wc = 1 - wa - wb
        inside = np.flatnonzero((wa >= -1e-9) & (wb >= -1e-9) & (wc >= -1e-9))
        if len(inside):
            w = np.stack([wa, wb, wc], axis=1)[inside]
            nearest = (corner[inside, :, 2] * w).sum(1).argmax()
            chosen[row], weight[row], hit[row] = faces[inside[nearest]], w[nearest].clip(0), True
    return Places(chosen, weight / np.maximum(weight.sum(1, keepdims=True), 1e-12)), hit
