"""Where FLAME's mesh lies in the volume that a checkpoint renders.

The networks learned their own place and size for the head. An affine map says it once for a checkpoint; `refine`
corrects it for one sample against the density, and says how far mesh and density still are apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthforge.core.errors import AssetError
from synthforge.core.files import write_json
from synthforge.core.foreign import boundary, read_json

Density = Callable[[torch.Tensor], torch.Tensor]  # points (N,3), volume units -> opacity rate (N,)


@dataclass(frozen=True)
class Affine:
    """p -> matrix p + offset, from FLAME space (metres) to the volume (its own units)."""

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (...,3) mapped."""
        return np.asarray(points @ self.matrix.T + self.offset)

    @property
    def scale(self) -> float:
        """Volume units to the metre: the cube root of the volume's growth."""
        return float(np.cbrt(np.linalg.det(self.matrix)))

    @property
    def turn(self) -> np.ndarray:
        """The rotation (3,3) nearest to the matrix: its polar factor."""
        u, _, vt = np.linalg.svd(self.matrix)
        return np.asarray(u @ vt)


# The map fitted to the published FFHQ weights by the paper's authors, rounded.
PUBLISHED = Affine(np.diag([2.55, 2.42, 2.47]), np.array([-0.001, 0.023, 0.099]))


@dataclass(frozen=True)
class Residuals:
    """Distances between mesh and density surface, volume units, over the vertices that met one."""

    median: float
    rms: float
    met: int
    of: int


def fit_affine(source: np.ndarray, target: np.ndarray, *, diagonal: bool = False, trim: float = 0.0) -> Affine:
    """The affine map that takes source (N,3) to target (N,3) with least squares.

    diagonal: scale each axis and shift, nothing else; trim: fraction of the worst pairs to leave out of a second fit.
    Raises: ValueError for fewer than four pairs or pairs in one plane.
    """
    fitted = _fit(source, target, diagonal)
    if trim:
        error = np.linalg.norm(fitted(source) - target, axis=1)
        keep = error <= np.quantile(error, 1 - trim)
        fitted = _fit(source[keep], target[keep], diagonal)
    return fitted


def _fit(source: np.ndarray, target: np.ndarray, diagonal: bool) -> Affine:
    if len(source) < 4 or np.linalg.matrix_rank(source - source.mean(0), tol=1e-9) < 3:
        raise ValueError("an affine map needs at least four points that do not lie in one plane")
    if diagonal:
        pairs = [np.polyfit(source[:, axis], target[:, axis], 1) for axis in range(3)]
        return Affine(np.diag([slope for slope, _ in pairs]), np.array([shift for _, shift in pairs]))
    homogeneous = np.column_stack([source, np.ones(len(source))])
    solution = np.linalg.lstsq(homogeneous, target, rcond=None)[0]
    return Affine(solution[:3].T, solution[3])


def refine(
    vertices: np.ndarray,
    normals: np.ndarray,
    density: Density,
    start: Affine,
    *,
    reach: float = 0.08,
    level: float = 10.0,
    steps: int = 8,
) -> tuple[Affine, Residuals]:
    """Move a mesh onto the density's surface: scale of each axis and shift, by iterated closest crossings.

    Args:
        vertices, normals: (N,3) of the part of the mesh that shows skin, FLAME space.
        density: opacity a unit of length, `softplus(sigma - 1)`.
        start: the checkpoint's map. reach: how far along the normal to look, volume units, halved step by step.
        level: the density that counts as surface. steps: iterations.

    Returns: the map and the residuals along the normals. With fewer than a tenth of the vertices (or than 50) meeting
    a surface, `start` is returned as it is, with what it met.
    """
    current = start
    for step in range(steps):
        shift, met = _crossings(vertices, normals, density, current, reach / 2 ** (step // 2), level)
        if met.sum() < max(50, len(vertices) // 10):
            return start, _residuals(shift[met], met)
        current = _point_to_plane(vertices[met], _turned(normals[met], current), shift[met], current)
    shift, met = _crossings(vertices, normals, density, current, reach / 2 ** ((steps - 1) // 2), level)
    return current, _residuals(shift[met], met)


def _turned(normals: np.ndarray, affine: Affine) -> np.ndarray:
    turned = normals @ np.linalg.inv(affine.matrix)
    return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True))


def _crossings(
    vertices: np.ndarray, normals: np.ndarray, density: Density, affine: Affine, reach: float, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance (N,) along each normal to the outermost rise above `level`, and whether there is one (N,)."""
    samples = 33
    along = np.linspace(reach, -reach, samples)
    points = affine(vertices)[:, None] + along[None, :, None] * _turned(normals, affine)[:, None]
    with torch.no_grad():
        found = density(torch.as_tensor(points.reshape(-1, 3), dtype=torch.float32))
    values = found.double().cpu().numpy().reshape(-1, samples)
    rises = (values[:, :-1] < level) & (values[:, 1:] >= level)
    met = np.asarray(rises.any(1))
    first = rises.argmax(1)
    row = np.arange(len(values))
    low, high = values[row, first], values[row, first + 1]
    part = np.where(met, (level - low) / np.where(high > low, high - low, 1), 0)
    return np.asarray(along[first] + part * (along[1] - along[0])), met


def _point_to_plane(vertices: np.ndarray, normals: np.ndarray, shift: np.ndarray, current: Affine) -> Affine:
    """One least-squares step of axis scales and offset; pairs far off the middle count less (Huber)."""
    design = np.column_stack([normals * vertices, normals])
    spread = max(float(np.median(np.abs(shift - np.median(shift)))) * 1.5, 1e-6)
    weight = np.sqrt(np.minimum(1, 2 * spread / np.maximum(np.abs(shift - np.median(shift)), 1e-12)))
    change = np.linalg.lstsq(design * weight[:, None], shift * weight, rcond=None)[0]
    return Affine(current.matrix + np.diag(change[:3]), current.offset + change[3:])


def _residuals(shift: np.ndarray, met: np.ndarray) -> Residuals:
    if not len(shift):
        return Residuals(float("nan"), float("nan"), 0, len(met))
    return Residuals(float(np.median(np.abs(shift))), float(np.sqrt((shift**2).mean())), int(met.sum()), len(met))


def write_alignment(path: str | Path, affine: Affine) -> None:
    """Keep a fitted map as JSON."""
    write_json(Path(path), {"matrix": affine.matrix.tolist(), "offset": affine.offset.tolist()})


def read_alignment(path: str | Path) -> Affine:
    """A map written by `write_alignment`. Raises: AssetError for any other file."""
    hint = "It has the keys matrix (3x3) and offset (3)."
    with boundary(path, "an alignment", hint=hint, error=AssetError):
        data = read_json(Path(path))
        matrix, offset = (np.asarray(data[key], np.float64) for key in ("matrix", "offset"))
    good = matrix.shape == (3, 3) and offset.shape == (3,) and np.isfinite(matrix).all() and np.isfinite(offset).all()
    if not good or np.linalg.det(matrix) <= 0:
        raise AssetError(f"{path}: an alignment is a 3x3 matrix that keeps handedness, and an offset of three numbers")
    return Affine(matrix, offset)
