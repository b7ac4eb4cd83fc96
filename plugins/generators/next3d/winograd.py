"""3x3 convolutions on the CPU with 2.25 instead of 9 multiplications an output pixel (Winograd 1980; Lavin 2016).

F(4x4, 3x3) with the points 0, +-3/4, +-3/2 and infinity, about five times more accurate than the usual 0, +-1, +-2:
the largest error is about 1e-5 for outputs of unit variance (the direct convolution has 2e-6). Images are (H,W,C), so
that every step is a matrix product over runs of channels. Strips of tile rows are transformed, multiplied and
transformed back one after the other, so that they stay in the cache; each thread works on strips of its own, because
so many small products would spend their time waiting for each other if every one were divided among the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .parallel import share_out

TILE = 4
_A, _B = 0.75, 1.5
_TILES_AT_ONCE = 128  # tiles in a strip: enough rows for the products, little enough for the cache

Finish = Callable[[torch.Tensor, int], None]  # works in place on finished rows (rows,W,O), given the first row's number


def _matrices() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Float64: 3-tap kernel to points (6,3), six inputs to points (6,6), products back to four outputs (4,6)."""
    points = [0.0, _A, -_A, _B, -_B]
    kernel, values, outputs = torch.zeros(6, 3), torch.zeros(6, 6), torch.zeros(4, 6)
    kernel, values, outputs = kernel.double(), values.double(), outputs.double()
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        polynomial = [1.0]  # the product of (x - q) over the other points, lowest power first
        scale = 1.0
        for q in others:
            polynomial = [a - q * b for a, b in zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)]
            scale *= p - q
        values[i, : len(polynomial)] = torch.tensor(polynomial, dtype=torch.float64)
        kernel[i] = torch.tensor([1.0, p, p * p], dtype=torch.float64) / scale
        outputs[:, i] = torch.tensor([p**k for k in range(TILE)], dtype=torch.float64)
    polynomial = [1.0]
    for q in points:
        polynomial = [a - q * b for a, b in zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)]
    values[5] = torch.tensor(polynomial, dtype=torch.float64)
    kernel[5, 2] = outputs[3, 5] = 1.0
    return kernel, values, outputs


_KERNEL, _VALUES, _OUTPUTS = _matrices()


def transform_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Weights (O,I,3,3) of a correlation -> (6,6,I,O), by row and column point: the form `convolve` multiplies with."""
    outputs, inputs = weight.shape[:2]
    result = weight.new_empty(6, 6, inputs, outputs)
    for first in range(0, outputs, 64):  # in float64, a few outputs at a time
        some = weight[first : first + 64].double()
        result[..., first : first + 64] = torch.einsum("ai,bj,ocij->abco", _KERNEL, _KERNEL, some)
    return result


def convolve(
    parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    kernel: torch.Tensor,
    *,
    finish: Finish | None = None,
) -> torch.Tensor:
    """Zero-padded 3x3 correlation of one image.

    Args:
        parts: images (H,W,Ci), each with a scale (Ci) or None, taken together as one of sum(Ci) channels; H and W
            are multiples of 4.
        kernel: (6,6,I,O) from `transform_kernel`.
        finish: called on each strip of finished rows while it is in the cache.

    Returns: (H,W,O).
    """
    height, width = parts[0][0].shape[:2]
    padded = _padded(parts, height, width, kernel.shape[2])
    result = padded.new_empty(height, width, kernel.shape[3])
    share = -(-height // TILE // torch.get_num_threads())  # of the tile rows, for each thread
    strip = max(1, min(share, _TILES_AT_ONCE // (width // TILE)))
    firsts = list(range(0, height // TILE, strip))
    with torch.no_grad():
        share_out(lambda mine: _strips(padded, kernel, result, mine, strip, finish), firsts)
    return result


def _strips(
    padded: torch.Tensor,
    kernel: torch.Tensor,
    result: torch.Tensor,
    firsts: Sequence[int],
    strip: int,
    finish: Finish | None,
) -> None:
    """Convolve the strips of `strip` tile rows that start at `firsts`."""
    (height, width, outputs), channels = result.shape, kernel.shape[2]
    high, wide = height // TILE, width // TILE
    laid_out = result.view(high, TILE, wide, TILE, outputs)
    row = (width + 2) * channels
    at_rows = padded.new_empty(6, strip, row)
    windows = at_rows.as_strided((6, strip, wide, 6, channels), (strip * row, row, TILE * channels, channels, 1))
    at_points = padded.new_empty(strip, wide, 6, channels)
    products = padded.new_empty(6, 6, strip * wide, outputs)
    across = padded.new_empty(6, TILE, strip * wide * outputs)
    back = padded.new_empty(TILE, TILE, strip, wide, outputs)
    values, inverse = _VALUES.to(padded), _OUTPUTS.to(padded)
    for first in firsts:
        n = min(strip, high - first)
        for r in range(n):
            window = padded[TILE * (first + r) : TILE * (first + r) + 6].view(6, row)
            torch.mm(values, window, out=at_rows[:, r])
        for k in range(6):
            for r in range(n):
                torch.bmm(values.expand(wide, 6, 6), windows[k, r], out=at_points[r])
            torch.bmm(at_points.view(strip * wide, 6, channels).transpose(0, 1), kernel[k], out=products[k])
        torch.bmm(inverse.expand(6, TILE, 6), products.view(6, 6, -1), out=across)
        torch.mm(inverse, across.view(6, -1), out=back.view(TILE, -1))
        laid_out[first : first + n].copy_(back[:, :, :n].permute(2, 0, 3, 1, 4))
        if finish is not None:
            finish(result[TILE * first : TILE * (first + n)], TILE * first)


def _padded(
    parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]], height: int, width: int, channels: int
) -> torch.Tensor:
    padded = parts[0][0].new_empty(height + 2, width + 2, channels)
    for edge in (padded[0], padded[-1], padded[:, 0], padded[:, -1]):
        edge.zero_()
    start = 0
    for image, scale in parts:
        inside = padded[1:-1, 1:-1, start : start + image.shape[-1]]
        if scale is None:
            inside.copy_(image)
        else:
            torch.mul(image, scale, out=inside)
        start += image.shape[-1]
    return padded
