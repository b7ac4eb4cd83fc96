"""Figures of merit as accumulators: add items as they come, merge parts in any order, compute once at the end.

All sums are int64 or float64, so that a figure does not depend on how the work was cut into parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.schemas import IGNORE


def point_errors(prediction: np.ndarray, target: np.ndarray, corners: tuple[int, int]) -> np.ndarray:
    """Distance of each point to its target in units of the distance between two target points, in percent.

    prediction, target (N,2) in pixels; corners: the outer eye corners, 36 and 45 for 68 points (300W's inter-ocular
    normalisation). Returns (N,) float64, whose mean is the NME. Raises ValueError when shapes differ, a coordinate is
    not finite or the corners coincide.
    """
    prediction, target = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if prediction.shape != target.shape or target.ndim != 2 or target.shape[1] != 2:
        raise ValueError(f"predicted points {prediction.shape} do not match the target's {target.shape}")
    if not (np.isfinite(prediction).all() and np.isfinite(target).all()):
        raise ValueError("a point is not finite")
    span = np.linalg.norm(target[corners[0]] - target[corners[1]])
    if span == 0:
        raise ValueError("the eye corners of the target coincide")
    with np.errstate(over="ignore"):
        errors = 100.0 * np.linalg.norm(prediction - target, axis=1) / span
    if not np.isfinite(errors.sum()):
        raise ValueError("a point is absurdly far away")
    return errors


def auc(errors: Iterable[float], threshold: float) -> float:
    """Area under the cumulative error distribution up to `threshold`, in percent of the whole.

    The exact integral of the empirical step function: the mean of max(0, 1 - e / threshold).
    """
    values = np.fromiter(errors, np.float64)
    return float(100.0 * np.clip(1.0 - values / threshold, 0.0, None).mean())


def failure_rate(errors: Iterable[float], threshold: float) -> float:
    """Share of errors above `threshold`, in percent."""
    return float(100.0 * (np.fromiter(errors, np.float64) > threshold).mean())


@dataclass
class PointErrors:
    """Normalised errors of every point of every face: (N,) percent by key."""

    errors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, key: str, prediction: np.ndarray, target: np.ndarray, corners: tuple[int, int]) -> None:
        """Take in one face; raises ValueError as `point_errors` does, or for a key seen before."""
        if key in self.errors:
            raise ValueError(f"the face '{key}' is there twice")
        self.errors[key] = point_errors(prediction, target, corners)

    def merge(self, other: PointErrors) -> None:
        """Take in another part; raises ValueError for a key in both."""
        twice = self.errors.keys() & other.errors.keys()
        if twice:
            raise ValueError(f"faces are in both parts: {', '.join(sorted(twice)[:3])}")
        self.errors |= other.errors

    def per_item(self, points: Sequence[int] | None = None) -> dict[str, float]:
        """NME of each face in percent, over all points or only some."""
        chosen = slice(None) if points is None else list(points)
        return {key: float(values[chosen].mean()) for key, values in self.errors.items()}

    def nme(self, points: Sequence[int] | None = None) -> float:
        """Mean of the faces' NME in percent; NaN without faces."""
        values = list(self.per_item(points).values())
        return float(np.mean(values)) if values else float("nan")


@dataclass
class Confusion:
    """Pixels counted by (target class, predicted class): int64 (K,K)."""

    classes: int
    counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.classes, self.classes), np.int64)

    def add(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Count the pixels of a label map where `mask` holds and the target is not 255.

        Raises ValueError when shapes differ or a counted id is not one of the classes.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"predicted labels {prediction.shape} do not match the target's {target.shape}")
        counted = target != IGNORE
        if mask is not None:
            counted &= mask
        wanted, given = target[counted].astype(np.int64), prediction[counted].astype(np.int64)
        if wanted.size and (max(wanted.max(), given.max()) >= self.classes or min(wanted.min(), given.min()) < 0):
            raise ValueError(f"a class id is outside of 0..{self.classes - 1}")
        pairs = np.bincount(wanted * self.classes + given, minlength=self.classes**2)
        self.counts += pairs.reshape(self.classes, self.classes)

    def merge(self, other: Confusion) -> None:
        """Take in another part of the same classes."""
        if self.classes != other.classes:
            raise ValueError(f"confusions of {self.classes} and {other.classes} classes do not add up")
        self.counts += other.counts

    def f1(self) -> np.ndarray:
        """F1 (Dice) per class (K,) float64 in percent; NaN for a class neither present nor predicted."""
        hit = np.diag(self.counts).astype(np.float64)
        both = self.counts.sum(axis=0) + self.counts.sum(axis=1)
        return 100.0 * _ratio(2.0 * hit, both)

    def iou(self) -> np.ndarray:
        """Intersection over union per class (K,) float64 in percent; NaN as for `f1`."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - np.diag(self.counts)
        return 100.0 * _ratio(hit, union)

    def accuracy(self) -> float:
        """Share of pixels labelled right, in percent; NaN without pixels."""
        total = self.counts.sum()
        return float(100.0 * np.trace(self.counts) / total) if total else float("nan")


def mean_of(values: np.ndarray, ids: Sequence[int]) -> float:
    """Mean over the given classes, those without a value left out; NaN when none has one."""
    chosen = values[list(ids)]
    known = chosen[np.isfinite(chosen)]
    return float(known.mean()) if known.size else float("nan")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def align(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """The scale >= 0 and shift that bring a prediction closest to its target inside the mask (least squares).

    A negative scale is not allowed, since it would make an inverted depth map as good as a correct one. If the best fit
    is negative, the result is scale 0 with the target's mean as the shift. Raises ValueError for an empty mask.
    """
    x, y = prediction[mask].astype(np.float64), target[mask].astype(np.float64)
    if not x.size:
        raise ValueError("the mask is empty")
    if not np.isfinite(x).all():
        raise ValueError("the predicted depth is not finite inside the mask")
    mx, my = x.mean(), y.mean()
    spread = ((x - mx) ** 2).mean()
    scale = max(float(((x - mx) * (y - my)).mean() / spread), 0.0) if spread > 0 else 0.0
    return scale, float(my - scale * mx)


@dataclass
class DepthErrors:
    """Errors of depth maps after scale-and-shift alignment, by key: (absrel, rmse, delta)."""

    errors: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def add(self, key: str, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """Take in one depth map (H,W): positive targets inside the mask; raises ValueError as `align` does."""
        if key in self.errors:
            raise ValueError(f"the face '{key}' is there twice")
        if prediction.shape != target.shape:
            raise ValueError(f"predicted depth {prediction.shape} does not match the target's {target.shape}")
        inside = mask & (target > 0)
        scale, shift = align(prediction, target, inside)
        y = target[inside].astype(np.float64)
        x = scale * prediction[inside].astype(np.float64) + shift
        absrel = float(np.mean(np.abs(x - y) / y))
        rmse = float(np.sqrt(np.mean((x - y) ** 2)))
        ratio = np.full(y.shape, np.inf)  # an aligned depth at or behind the camera is never within 1.25
        np.divide(np.maximum(x, y), np.minimum(x, y), out=ratio, where=x > 0)
        self.errors[key] = (absrel, rmse, float(100.0 * np.mean(ratio < 1.25)))

    def merge(self, other: DepthErrors) -> None:
        """Take in another part; raises ValueError for a key in both."""
        twice = self.errors.keys() & other.errors.keys()
        if twice:
            raise ValueError(f"faces are in both parts: {', '.join(sorted(twice)[:3])}")
        self.errors |= other.errors

    def means(self) -> Mapping[str, float]:
        """`absrel`, `rmse` (target's unit) and `delta@1.25` (percent), each the plain mean over the images."""
        rows = np.array(list(self.errors.values()), np.float64).reshape(-1, 3)
        means = rows.mean(axis=0) if len(rows) else np.full(3, np.nan)
        return dict(zip(("absrel", "rmse", "delta@1.25"), map(float, means), strict=True))
