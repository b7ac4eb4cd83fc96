"""How much of an error is another labelling convention: one small map for each landmark, fitted on real faces.

Points are brought into a face frame that depends on the prediction alone. It is given by the similarity (least squares,
Umeyama 1991) from the predicted points to the mean predicted shape of the fitting faces, outer eye corners one unit
apart. In that frame every landmark gets its own map, fitted by least squares from predicted to annotated places:

- `offset` adds a constant. It cannot see the photograph, so what it removes was a difference of convention.
- `affine` is a (2,3) matrix. It may also pull noisy predictions towards the mean face, as any least-squares fit does,
  so its gain is an upper bound of what convention costs.

Figures with maps are reported beside those without, never instead of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import UserError

MAP_KINDS = ("offset", "affine")
#: fewest faces an affine map of three unknowns an axis is fitted on
LEAST_FACES = 20
_ROUNDS = 5


@dataclass(frozen=True)
class PointMaps:
    """Fitted maps: mean shape (N,2) in the face frame and matrices (N,2,3), both float64."""

    shape: np.ndarray
    matrices: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Predicted points (N,2) in pixels -> mapped points (N,2) in pixels."""
        linear, shift = similarity(points, self.shape)
        framed = points @ linear.T + shift
        moved = np.einsum("nij,nj->ni", self.matrices[:, :, :2], framed) + self.matrices[:, :, 2]
        return (moved - shift) @ np.linalg.inv(linear).T


def similarity(points: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation with scale (2,2) and shift (2,) that bring points (N,2) closest to a shape (N,2)."""
    a, b = points - points.mean(axis=0), shape - shape.mean(axis=0)
    # In the plane a rotation with scale is one complex number, and the fit is a ratio of sums.
    z, w = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    size = float((np.abs(z) ** 2).sum())
    if size == 0:
        raise UserError("all predicted points of a face lie in one place: they have no frame")
    turn = (z.conj() * w).sum() / size
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return linear, shape.mean(axis=0) - linear @ points.mean(axis=0)


def fit(
    predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray], corners: tuple[int, int], kind: str
) -> PointMaps:
    """Fit one map for each landmark on faces (F of (N,2)); corners: the outer eye corners. Raises UserError."""
    if kind not in MAP_KINDS:
        raise UserError(f"align: kind is one of {', '.join(MAP_KINDS)}; got '{kind}'")
    if len(predictions) < LEAST_FACES:
        raise UserError(f"align: {len(predictions)} faces are too few to fit on; at least {LEAST_FACES} are needed")
    shape = _mean_shape(predictions, corners)
    framed, wanted = [], []
    for prediction, target in zip(predictions, targets, strict=True):
        linear, shift = similarity(prediction, shape)
        framed.append(prediction @ linear.T + shift)
        wanted.append(np.asarray(target, np.float64) @ linear.T + shift)
    x, y = np.stack(framed, axis=1), np.stack(wanted, axis=1)  # (N,F,2)
    matrices = np.zeros((len(shape), 2, 3))
    for point in range(len(shape)):
        if kind == "offset":
            matrices[point] = np.c_[np.eye(2), (y[point] - x[point]).mean(axis=0)]
        else:
            columns = np.c_[x[point], np.ones(len(x[point]))]
            matrices[point] = np.linalg.lstsq(columns, y[point], rcond=None)[0].T
    return PointMaps(shape, matrices)


def _mean_shape(predictions: Sequence[np.ndarray], corners: tuple[int, int]) -> np.ndarray:
    """The mean of shapes brought onto each other (Procrustes), its outer eye corners at (-0.5, 0) and (0.5, 0)."""
    shape = _upright(np.asarray(predictions[0], np.float64), corners)
    for _ in range(_ROUNDS):
        total = np.zeros_like(shape)
        for points in predictions:
            linear, shift = similarity(points, shape)
            total += points @ linear.T + shift
        shape = _upright(total / len(predictions), corners)
    return shape


def _upright(points: np.ndarray, corners: tuple[int, int]) -> np.ndarray:
    ends = points[list(corners)]
    linear, shift = similarity(ends, np.array([[-0.5, 0.0], [0.5, 0.0]]))
    return points @ linear.T + shift


def chosen(keys: Sequence[str], count: int) -> set[str]:
    """`count` of the keys, those whose hash is lowest: the same faces whatever the order or the machine."""
    return set(sorted(keys, key=lambda key: hashlib.sha256(f"align/{key}".encode()).digest())[:count])
