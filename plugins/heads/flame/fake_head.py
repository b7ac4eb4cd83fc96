"""A made-up head with FLAME's numbers of vertices, faces and texture corners, and nothing of FLAME's shape.

An egg that is open at the neck (73 rings of 60 vertices and a pole) and two balls for eyes (11 rings of 29 and two
poles). That is 5023 vertices, 9976 faces and, with one seam on each part, 5118 texture corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RINGS, COLUMNS = 73, 60
EYE_RINGS, EYE_COLUMNS = 11, 29
_EYES = {"left_eyeball": (0.031, 0.025, 0.068), "right_eyeball": (-0.031, 0.025, 0.068)}
_EYE_RADIUS = 0.013


@dataclass(frozen=True)
class FakeHead:
    """vertices (5023,3) metres, faces (9976,3), uv (5118,2), uv_faces (9976,3), parts: vertex ids by name."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    parts: dict[str, np.ndarray]

    def locate(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Face (N,) and barycentric (N,3) of points on the egg, by angle from the front to the left and upwards."""
        ring = np.clip((np.pi / 2 - latitude) / _SPAN * RINGS - 1, 0, RINGS - 1.001)
        column = (longitude / (2 * np.pi) + 0.5) % 1 * COLUMNS
        i, j = ring.astype(int), column.astype(int)
        down, along = ring - i, column - j
        upper = down + along < 1
        first = COLUMNS + (i * COLUMNS + j) * 2
        near = np.stack([1 - down - along, down, along], -1)
        far = np.stack([down + along - 1, 1 - down, 1 - along], -1)
        return first + ~upper, np.where(upper[:, None], near, far)


_SPAN = np.pi * 0.88  # from the pole down to the neck's opening


def fake_head() -> FakeHead:
    """The same head every time."""
    vertices, faces, uv, uv_faces, parts = [], [], [], [], {}
    pieces = [_sphere(RINGS, COLUMNS, _SPAN, closed=False)]
    pieces += [_sphere(EYE_RINGS, EYE_COLUMNS, np.pi, closed=True)] * 2
    corner = count = 0
    for name, (points, triangles, texture, texture_triangles) in zip(("egg", *_EYES), pieces, strict=True):
        if name == "egg":
            placed, texture = _egg(points), texture * [1.0, 0.9]
        else:
            placed = points * _EYE_RADIUS + _EYES[name]
            texture = texture * 0.08 + [0.02 if name == "left_eyeball" else 0.9, 0.91]
        vertices.append(placed)
        uv.append(texture)
        faces.append(triangles + count)
        uv_faces.append(texture_triangles + corner)
        parts[name] = np.arange(count, count + len(points))
        count, corner = count + len(points), corner + len(texture)
    head = np.concatenate(vertices)
    return FakeHead(head, np.concatenate(faces), np.concatenate(uv), np.concatenate(uv_faces), parts)


def _egg(points: np.ndarray) -> np.ndarray:
    """A unit sphere stretched to a head's size, with a nose."""
    x, y, z = points.T
    nose = 0.02 * np.exp(-(x**2 + (y + 0.1) ** 2) / 0.02) * (z > 0)
    return np.stack([0.075 * x, 0.115 * y, 0.095 * z + nose - 0.01], 1)


def _sphere(rings: int, columns: int, span: float, closed: bool) -> tuple[np.ndarray, ...]:
    """Unit sphere from the upper pole down, its seam at the back: points, faces, texture, texture faces."""
    steps = rings + 1 if closed else rings
    polar = span * np.arange(1, rings + 1) / steps
    around = 2 * np.pi * np.arange(columns + 1) / columns - np.pi
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    grid = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)
    points = [np.array([[0.0, 1.0, 0.0]]), grid[:, :-1].reshape(-1, 3)]
    texture = [np.array([[0.5, 1.0]]), np.stack([phi / (2 * np.pi) + 0.5, 1 - theta / span], -1).reshape(-1, 2)]
    if closed:
        points.append(np.array([[0.0, -1.0, 0.0]]))
        texture.append(np.array([[0.5, 0.0]]))
    triangles = [_strips(rings, columns, wrap=True, closed=closed), _strips(rings, columns, wrap=False, closed=closed)]
    return np.concatenate(points), triangles[0], np.concatenate(texture), triangles[1]


def _strips(rings: int, columns: int, wrap: bool, closed: bool) -> np.ndarray:
    """Triangles, counter-clockwise from outside: a fan, strips between rings, and a fan if the lower pole is there."""
    width = columns if wrap else columns + 1

    def at(ring: int | np.ndarray, column: np.ndarray) -> np.ndarray:
        return 1 + ring * width + (column % columns if wrap else column)

    j = np.arange(columns)
    zero = np.zeros(columns, int)
    parts = [np.stack([zero, at(0, j), at(0, j + 1)], 1)]
    i, k = np.meshgrid(np.arange(rings - 1), j, indexing="ij")
    first = np.stack([at(i, k), at(i + 1, k), at(i, k + 1)], -1)
    second = np.stack([at(i + 1, k + 1), at(i, k + 1), at(i + 1, k)], -1)
    parts.append(np.stack([first, second], 2).reshape(-1, 3))
    if closed:
        last = 1 + rings * width
        parts.append(np.stack([zero + last, at(rings - 1, j + 1), at(rings - 1, j)], 1))
    return np.concatenate(parts)


def landmark_angles() -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude (68,) radians of iBUG points on the egg."""
    jaw = np.linspace(-1.25, 1.25, 17)
    points = [(a, -0.15 - 0.75 * np.cos(a * 1.15)) for a in jaw]
    points += [
        (a, 0.5 - 2 * (abs(a) - 0.33) ** 2) for a in (*np.linspace(-0.55, -0.15, 5), *np.linspace(0.15, 0.55, 5))
    ]
    points += [(0.0, b) for b in np.linspace(0.28, -0.05, 4)] + [(a, -0.17) for a in np.linspace(-0.16, 0.16, 5)]
    for middle in (-0.36, 0.36):
        turn = np.pi - np.arange(6) * np.pi / 3
        points += [(middle + 0.13 * np.cos(t), 0.26 + 0.05 * np.sin(t)) for t in turn]
    for count, wide, high in ((12, 0.3, 0.12), (8, 0.22, 0.04)):
        turn = np.pi - np.arange(count) * 2 * np.pi / count
        points += [(wide * np.cos(t), -0.42 + high * np.sin(t)) for t in turn]
    angles = np.array(points)
    return angles[:, 0], angles[:, 1]
