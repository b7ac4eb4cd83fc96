"""3x3 convolutions on the CPU with 2.25 instead of 9 multiplications an output pixel (Winograd 1980; Lavin 2016).

F(4x4, 3x3) with the points 0, +-3/4, +-3/2 and infinity, about five times more accurate than the usual 0, +-1, +-2.
The largest error is about 1e-5 for outputs of unit variance (the direct convolution has 2e-6). Images are (H,W,C), so
that every step is a matrix product over runs of channels. Strips of tile rows are transformed, multiplied and
transformed back one after the other, so that they stay in the cache. Each thread works on strips of its own: dividing
every small product among the threads would spend most of the time waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from .parallel import borrowed, share_out

TILE = 4
_A, _B = 0.75, 1.5
TILES_AT_ONCE = 128  # tiles in a strip: enough rows for the products, little enough for the cache

Part = tuple[torch.Tensor, torch.Tensor | None]  # image (H,W,C) and a scale (C) or None
Sink = Callable[[torch.Tensor, int], None]  # takes finished rows (n,W,O), which it may change, and the first's number
Matrices = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def matrices(points: Sequence[float], taps: int) -> Matrices:
    """Float64, for n = len(points) + 1 points, infinity the last: kernel to points (n,taps), inputs to points (n,n),
    products back to four outputs (4,n). Source: Toom-Cook, transposed."""
    count = len(points) + 1
    kernel, values, outputs = (
        torch.zeros(size, dtype=torch.float64) for size in ((count, taps), (count, count), (TILE, count))
    )
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        polynomial = [1.0]  # the product of (x - q) over the other points, lowest power first
        scale = 1.0
        for q in others:
            polynomial = [a - q * b for a, b in zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)]
            scale *= p - q
        values[i, : len(polynomial)] = torch.tensor(polynomial, dtype=torch.float64)
        kernel[i] = torch.tensor([p**k for k in range(taps)], dtype=torch.float64) / scale
        outputs[:, i] = torch.tensor([p**k for k in range(TILE)], dtype=torch.float64)
    polynomial = [1.0]
    for q in points:
        polynomial = [a - q * b for a, b in zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)]
    values[-1] = torch.tensor(polynomial, dtype=torch.float64)
    kernel[-1, -1] = outputs[-1, -1] = 1.0
    return kernel, values, outputs


_KERNEL, _VALUES, _OUTPUTS = matrices([0.0, _A, -_A, _B, -_B], 3)


def transform_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Weights (O,I,3,3) of a correlation -> (6,6,I,O), by row and column point: the form `convolve` multiplies with."""
    outputs, inputs = weight.shape[:2]
    result = weight.new_empty(6, 6, inputs, outputs)
    for first in range(0, outputs, 64):  # in float64, a few outputs at a time
        some = weight[first : first + 64].double()
        result[..., first : first + 64] = torch.einsum("ai,bj,ocij->abco", _KERNEL, _KERNEL, some)
    return result


@contextmanager
def canvas(height: int, width: int, channels: int, after: int = 1) -> Iterator[torch.Tensor]:
    """Borrowed memory (1+H+after, 1+W+after, C) for an image and the zeros about it; the image is not yet set."""
    with borrowed(height + 1 + after, width + 1 + after, channels) as whole:
        for edge in (whole[0], whole[1 + height :], whole[:, 0], whole[:, 1 + width :]):
            edge.zero_()
        yield whole


@contextmanager
def on_canvas(parts: Sequence[Part], after: int = 1) -> Iterator[torch.Tensor]:
    """Images taken together as one of all their channels, scaled, on a canvas."""
    height, width = parts[0][0].shape[:2]
    with canvas(height, width, sum(image.shape[-1] for image, _ in parts), after) as whole:
        start = 0
        for image, scale in parts:
            inside = whole[1 : 1 + height, 1 : 1 + width, start : start + image.shape[-1]]
            if scale is None:
                inside.copy_(image)
            else:
                torch.mul(image, scale, out=inside)
            start += image.shape[-1]
        yield whole


def convolve(whole: torch.Tensor, kernel: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, sink: Sink) -> None:
    """Zero-padded 3x3 correlation of one image, times scale (O) plus shift (O), handed to `sink` strip by strip.

    Args:
        whole: canvas (1+H+1, 1+W+1, I); H and W are multiples of 4.
        kernel: (6,6,I,O) from `transform_kernel`.
        sink: called by any thread, in any order, with each strip of rows (n,W,O) while it is in the cache.
    """
    high, wide = ((size - 2) // TILE for size in whole.shape[:2])
    share = -(-high // torch.get_num_threads())  # of the tile rows, for each thread
    strip = max(1, min(share, TILES_AT_ONCE // wide))
    with torch.no_grad():
        share_out(lambda mine: _strips(whole, kernel, scale, shift, sink, mine, strip), list(range(0, high, strip)))


def _strips(
    whole: torch.Tensor,
    kernel: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    sink: Sink,
    firsts: Sequence[int],
    strip: int,
) -> None:
    """Convolve the strips of `strip` tile rows that start at `firsts`."""
    channels, outputs = kernel.shape[2:]
    high, wide = ((size - 2) // TILE for size in whole.shape[:2])
    row = whole.shape[1] * channels
    values, inverse = _VALUES.to(whole), _OUTPUTS.to(whole)
    with ExitStack() as stack:
        at_rows, at_points, products, across, back, rows = (
            stack.enter_context(borrowed(*shape))
            for shape in (
                (6, strip, row),
                (strip, wide, 6, channels),
                (6, 6, strip * wide, outputs),
                (6, TILE, strip * wide * outputs),
                (TILE, TILE, strip, wide, outputs),
                (strip, TILE, wide, TILE, outputs),
            )
        )
        windows = at_rows.as_strided((6, strip, wide, 6, channels), (strip * row, row, TILE * channels, channels, 1))
        for first in firsts:
            n = min(strip, high - first)
            for r in range(n):
                window = whole[TILE * (first + r) : TILE * (first + r) + 6].view(6, row)
                torch.mm(values, window, out=at_rows[:, r])
            for k in range(6):
                for r in range(n):
                    torch.bmm(values.expand(wide, 6, 6), windows[k, r], out=at_points[r])
                torch.bmm(at_points.view(strip * wide, 6, channels).transpose(0, 1), kernel[k], out=products[k])
            torch.bmm(inverse.expand(6, TILE, 6), products.view(6, 6, -1), out=across)
            torch.mm(inverse, across.view(6, -1), out=back.view(TILE, -1))
            torch.addcmul(shift, back[:, :, :n].permute(2, 0, 3, 1, 4), scale, out=rows[:n])
            sink(rows[:n].view(n * TILE, wide * TILE, outputs), TILE * first)
