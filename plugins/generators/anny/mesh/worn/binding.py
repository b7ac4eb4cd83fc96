"""A shell of points bound to the skull, for what is worn on the head; and coarse relief maps of a posed head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..anatomy import SKULL_CENTRE, azimuth_of, skull_frame
from ..hair import hits
from .slots import SLOTS

ROWS = 34
_LOWEST = 2.35  # radians from the crown
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Shell:
    """Points of the skin on rays from the skull's centre, by azimuth (C,) about the crown and from the crown down (R).

    corners (C,R,3) vertices of the head, weights (C,R,3); height (C,R) canonical mm above the eyes, falling along a
    column; bulge (C,R) mm from there to the outermost skin on the ray, smoothed: the ear.
    """

    azimuth: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    height: np.ndarray
    bulge: np.ndarray

    def posed(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (C,R,3) on a posed head's vertices (V,3), metres, ears enclosed, and unit directions outward."""
        points = (vertices[self.corners] * self.weights[..., None]).sum(2)
        level = np.abs(self.height - 45.0).argmin(1)
        quarters = np.arange(4) * (len(self.azimuth) - 1) // 4
        middle = points[quarters, level[quarters]].mean(0)
        outward = points - middle
        outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
        return points + outward * self.bulge[..., None] * 0.001, outward


def build_shell(mm: np.ndarray, faces: np.ndarray) -> Shell:
    """Bind the shell to the canonical head: vertices (V,3) mm, faces (F,3) of its skin."""
    columns = SLOTS["hat"].columns
    azimuth = np.linspace(-np.pi, np.pi, columns)
    near = faces[(mm[faces][:, :, 1] > -175).all(1) & (np.abs(mm[faces][:, :, 0]) < 100).all(1)]
    around = azimuth_of(mm[near])
    frame = skull_frame()
    crown_distance = np.linalg.norm(np.cross(mm[near] - SKULL_CENTRE, frame[2]), axis=-1).min(1)
    polar = np.linspace(0.03, _LOWEST, ROWS)
    corners = np.zeros((columns, ROWS, 3), np.int32)
    weights = np.zeros((columns, ROWS, 3), np.float32)
    height, bulge = np.zeros((columns, ROWS)), np.zeros((columns, ROWS))
    for column, angle in enumerate(azimuth):
        local = np.stack([np.sin(polar) * np.sin(angle), np.sin(polar) * np.cos(angle), np.cos(polar)], axis=1) @ frame
        turn = np.abs((around - angle + np.pi) % (2 * np.pi) - np.pi).min(1)
        wedge = near[(turn < 0.4) | (crown_distance < 45)]
        distance, u, v = hits(mm, wedge, local, _TOLERANCE)
        found = np.isfinite(distance).any(1)
        # rays that leave through the neck's cut take the last point that was found
        row = np.maximum.accumulate(np.where(found, np.arange(ROWS), 0))
        face = np.where(np.isfinite(distance), distance, np.inf).argmin(1)[row]
        bary = np.stack([1 - u[row, face] - v[row, face], u[row, face], v[row, face]], axis=1).clip(0, 1)
        corners[column], weights[column] = wedge[face], bary / bary.sum(1, keepdims=True)
        height[column] = (mm[wedge[face]] * weights[column][..., None]).sum(1)[:, 1]
        farthest = np.where(np.isfinite(distance), distance, -np.inf).max(1)[row]
        bulge[column] = np.where(farthest - distance[row, face] < 45, farthest - distance[row, face], 0.0)
    for _ in range(3):  # an ear becomes a soft swelling that encloses it
        wider = np.maximum(np.maximum(np.roll(bulge, 1, 0), np.roll(bulge, -1, 0)), bulge)
        wider[:, 1:-1] = np.maximum(wider[:, 1:-1], np.maximum(wider[:, 2:], wider[:, :-2]) * 0.8)
        bulge = np.maximum(bulge, 0.75 * wider)
    height = np.minimum.accumulate(height - 1e-3 * np.arange(ROWS), axis=1)
    return Shell(azimuth, corners, weights, height, bulge)


@dataclass(frozen=True)
class Relief:
    """The outermost point of a surface over cells of a plane or a cylinder: value (N,M), low corner and cell size."""

    value: np.ndarray
    low: np.ndarray
    cell: np.ndarray

    def at(self, place: np.ndarray) -> np.ndarray:
        """Values (...) at places (...,2); -inf where there is nothing."""
        index = np.floor((place - self.low) / self.cell).astype(int)
        shape = np.array(self.value.shape)
        inside = ((index >= 0) & (index < shape)).all(-1)
        index = index.clip(0, shape - 1)
        return np.where(inside, self.value[index[..., 0], index[..., 1]], -np.inf)


def relief(place: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray, cells: tuple[int, int]) -> Relief:
    """The greatest value (N,) of points at places (N,2) in each of `cells` between two corners, and its neighbours."""
    size = (np.asarray(high, float) - low) / cells
    index = np.floor((place - low) / size).astype(int)
    inside = ((index >= 0) & (index < cells)).all(1)
    table = np.full(cells, -np.inf)
    np.maximum.at(table, (index[inside, 0], index[inside, 1]), value[inside])
    padded = np.pad(table, 1, constant_values=-np.inf)
    table = np.maximum.reduce(
        [padded[1 + i : 1 + i + cells[0], 1 + j : 1 + j + cells[1]] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    )
    return Relief(table, np.asarray(low, float), size)
