"""A crop and its photograph: the affine maps between their pixels, and the mapping of predictions back to the
photograph.

Coordinates are continuous, pixel i covers [i, i + 1) and its centre lies at i + 0.5. Maps are (2,3) float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

#: x0, y0, x1, y1 in pixels
Box = tuple[float, float, float, float]
#: values (C,h,w) interpolated at pixels of the photograph, and (h,w) bool, where these lie inside of the crop, to
#: (h,w,...)
Choose = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

# Pixels whose values are interpolated at once: 30 logits of as many take 30 MB.
STRIP_PIXELS = 250_000


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (...,2) mapped by `matrix` (2,3); float64."""
    matrix = np.asarray(matrix, np.float64)
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse (2,3) float64 of an affine map; raises ValueError when it has none."""
    matrix = np.asarray(matrix, np.float64)
    try:
        linear = np.linalg.inv(matrix[:, :2])
    except np.linalg.LinAlgError:
        raise ValueError(f"the map {matrix.tolist()} has no inverse") from None
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


@dataclass(frozen=True)
class CropFrame:
    """Where a square crop lies in its photograph, and which pixels of the photograph its maps cover.

    matrix (2,3): pixels of the photograph -> pixels of the crop, axes parallel. size: side of the crop in pixels.
    region (left, top, right, bottom): whole pixels of the photograph, to which maps are resampled.
    """

    matrix: np.ndarray
    size: int
    region: tuple[int, int, int, int]

    def points(self, points: torch.Tensor) -> np.ndarray:
        """Points (N,2) in [0,1] of the crop -> pixels of the photograph, float64."""
        return apply(invert(self.matrix), points.double().cpu().numpy() * self.size)

    def map(self, values: torch.Tensor, choose: Choose | None = None) -> np.ndarray:
        """A map (C,h,w) over the crop, of any resolution, interpolated bilinearly at the pixels of `region`.

        Outside of the crop pixels take the nearest value inside. choose: makes (h,w,...) of the interpolated values
        (C,h,w); it is called with strips of rows, so that no more than these are in memory. Default: (h,w,C).
        """
        import torch

        left, top, right, bottom = self.region
        step = max(1, STRIP_PIXELS // max(1, right - left))
        parts = []
        for row in range(top, bottom, step):
            mapped, inside = self._strip(values, row, min(row + step, bottom))
            parts.append(choose(mapped, inside) if choose is not None else mapped.movedim(0, -1))
        return torch.cat(parts).cpu().numpy()

    def largest(self, values: torch.Tensor) -> np.ndarray:
        """Which of a map's channels (C,h,w) is the largest at each pixel of `region`, interpolated: (H,W) int16.

        The same as the maximum over `map`; outside of the crop 0. Where the four nearest pixels agree, so does every
        mean of them: only the rest is interpolated, which takes a quarter of the time.
        """
        import torch

        height, width = values.shape[1:]
        # not argmax: it is several times slower over the first dimension
        nearest = values.max(dim=0).indices.cpu().numpy().astype(np.int16)
        flat = values.flatten(1).T.contiguous()
        left, top, right, bottom = self.region
        inside_x, (x0, x1, across) = self._axis(0, left, right, width)
        step = max(1, STRIP_PIXELS // max(1, right - left))
        parts = []
        for row in range(top, bottom, step):
            inside_y, (y0, y1, down) = self._axis(1, row, min(row + step, bottom), height)
            upper, lower = nearest[y0], nearest[y1]
            labels, *others = upper[:, x0], upper[:, x1], lower[:, x0], lower[:, x1]
            y, x = np.nonzero(np.logical_or.reduce([labels != other for other in others]))
            corners = [flat[torch.from_numpy(a[y] * width + b[x])] for a in (y0, y1) for b in (x0, x1)]
            part_x, part_y = (torch.from_numpy(part)[:, None].to(values) for part in (across[x], down[y]))
            above, below = (torch.lerp(a, b, part_x) for a, b in (corners[:2], corners[2:]))
            labels[y, x] = torch.lerp(above, below, part_y).argmax(dim=1).cpu().numpy()
            parts.append(labels * (inside_y[:, None] & inside_x))
        return np.concatenate(parts) if parts else np.zeros((0, right - left), np.int16)

    def _axis(self, axis: int, first: int, last: int, count: int) -> tuple[np.ndarray, Sequence[np.ndarray]]:
        """Of pixels [first, last) of the photograph along an axis: whether they lie in the crop; between which two of
        a map's `count` pixels, and at which part of the way."""
        places = (np.arange(first, last) + 0.5) * self.matrix[axis, axis] + self.matrix[axis, 2]
        at = np.clip(places * count / self.size - 0.5, 0, count - 1)
        low = at.astype(np.int64)
        inside = (places >= 0) & (places <= self.size)
        return inside, (low, np.minimum(low + 1, count - 1), at - low)

    def _strip(self, values: torch.Tensor, top: int, bottom: int) -> tuple[torch.Tensor, torch.Tensor]:
        import torch
        from torch.nn.functional import grid_sample

        matrix, (left, _, right, _) = self.matrix, self.region
        rows = (np.arange(top, bottom) + 0.5) * matrix[1, 1] + matrix[1, 2]
        columns = (np.arange(left, right) + 0.5) * matrix[0, 0] + matrix[0, 2]
        y = torch.from_numpy(rows * 2 / self.size - 1).to(values)
        x = torch.from_numpy(columns * 2 / self.size - 1).to(values)
        shape = len(y), len(x)
        grid = torch.stack([x.expand(shape), y[:, None].expand(shape)], dim=-1)
        # align_corners=False is the convention everywhere: -1 and 1 are the outer edges of the first and last pixel.
        mapped = grid_sample(values[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
        return mapped, (grid.abs() <= 1).all(dim=-1)
