"""StyleGAN2's upsampling convolution on the CPU: transposed 3x3 convolution with stride 2, then the binomial filter.

Of the transposed convolution's output, even rows (and columns) mix two taps of the weight and odd ones have a single
tap. Two taps are a Winograd convolution F(4,2), five products for four outputs; a single tap is a product as it is. By
rows and columns together that is 81 products for 64 outputs where the plain computation has 144. The filter, which
carries the demodulation and the bias, runs on each strip while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F

from .parallel import borrowed, share_out
from .winograd import TILE, TILES_AT_ONCE, Sink, matrices

AFTER = 4  # zeros that a canvas needs behind the image
_N = TILE + 1
_KERNEL, _VALUES, _OUTPUTS = matrices([0.5, -0.5, 1.25, -1.25], 2)
_EVEN, _ODD = [2, 0], 1  # the taps that an even output is made of, for the inputs before and at it; that of an odd one
_CARRY = 3  # rows of the transposed convolution that the filter needs from the strip above


def transform_up_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Weights (O,I,3,3) -> (36,I,O): 25 by row and column point, 5 by row point, 5 by column point, 1."""
    outputs, inputs = weight.shape[:2]
    result = weight.new_empty(_N * _N + 2 * _N + 1, inputs, outputs)
    both, down, across, single = result.split([_N * _N, _N, _N, 1])
    for first in range(0, outputs, 64):  # in float64, a few outputs at a time
        some = weight[first : first + 64].double()
        into = slice(first, first + 64)
        even = some[:, :, _EVEN]
        both.view(_N, _N, inputs, outputs)[..., into] = torch.einsum(
            "ai,bj,ocij->abco", _KERNEL, _KERNEL, even[..., _EVEN]
        )
        down[..., into] = torch.einsum("ai,oci->aco", _KERNEL, even[..., _ODD])
        across[..., into] = torch.einsum("bj,ocj->bco", _KERNEL, some[:, :, _ODD][..., _EVEN])
        single[0, :, into] = some[:, :, _ODD, _ODD].T
    return result


def convolve_up(
    whole: torch.Tensor,
    kernel: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    sink: Sink,
    taps: torch.Tensor,
) -> None:
    """Upsampling convolution of one image, times scale (O) plus shift (O), handed to `sink` strip by strip.

    Args:
        whole: canvas (1+h+4, 1+w+4, I) of an image; h and w are multiples of 4.
        kernel: (36,I,O) from `transform_up_kernel`. taps: the filter (4,4) with its gain.
        sink: called by any thread, in any order, with each strip of rows (n,2w,O) while it is in the cache.
    """
    high = (whole.shape[0] - 1) // TILE  # one row of tiles more than the image has: the last output's second tap
    count = min(torch.get_num_threads(), high)
    ends = [high * i // count for i in range(count + 1)]

    def work(mine: Sequence[int]) -> None:
        for i in mine:
            _TileRows(whole, kernel, filters, shift, sink).rows(ends[i], ends[i + 1])

    filters = (taps * scale[:, None, None])[:, None].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        share_out(work, range(count))


class _TileRows:
    """Convolves successive rows of tiles."""

    def __init__(
        self, whole: torch.Tensor, kernel: torch.Tensor, filters: torch.Tensor, shift: torch.Tensor, sink: Sink
    ) -> None:
        self.whole, self.filters, self.shift, self.sink = whole, filters, shift, sink
        self.both, self.down, self.across, self.single = kernel.split([_N * _N, _N, _N, 1])
        self.inputs, self.outputs = kernel.shape[1:]
        self.wide = (whole.shape[1] - 1) // TILE
        self.values, self.inverse = _VALUES.to(whole), _OUTPUTS.to(whole)

    def rows(self, first: int, last: int) -> None:
        """Hand on the output rows that the rows of tiles `first` ... `last` - 1 complete."""
        most = max(1, min(last - first, TILES_AT_ONCE // self.wide))
        height, width = 2 * (self.whole.shape[0] - 1 - AFTER), 2 * (self.whole.shape[1] - 1 - AFTER)
        with borrowed(_CARRY + 2 * TILE * most, 1 + 2 * TILE * self.wide, self.outputs) as spread:
            spread[:, 0] = 0
            carry = spread[:_CARRY]
            if first:
                self._spread(spread, first - 1, 1)
                carry.copy_(spread[2 * TILE : 2 * TILE + _CARRY].clone())
            else:
                carry.zero_()
            for start in range(first, last, most):
                n = min(most, last - start)
                self._spread(spread, start, n)
                used = spread[: _CARRY + 2 * TILE * n]
                filtered = F.conv2d(used[None].permute(0, 3, 1, 2), self.filters, self.shift, groups=self.outputs)
                top = 2 * TILE * start - (_CARRY - 1)  # the filter reads one row before and two after
                low, high = max(0, -top), min(2 * TILE * n, height - top)
                if low < high:
                    self.sink(filtered[0].permute(1, 2, 0)[low:high, :width], top + low)
                carry.copy_(used[-_CARRY:].clone())

    def _spread(self, spread: torch.Tensor, first: int, n: int) -> None:
        """The transposed convolution's rows of `n` rows of tiles into `spread`, behind the carried ones."""
        wide, inputs, outputs = self.wide, self.inputs, self.outputs
        columns = self.whole.shape[1]  # 4 wide + 1: the column before the image and `wide` tiles
        row, tiles = columns * inputs, n * wide
        source = self.whole[TILE * first : TILE * (first + n) + 1]
        strides = (TILE * inputs, inputs, 1)
        with ExitStack() as stack:

            def scratch(*shape: int) -> torch.Tensor:
                return stack.enter_context(borrowed(*shape))

            at_rows = scratch(_N, n, row)
            for r in range(n):
                torch.mm(self.values, source[TILE * r : TILE * r + _N].view(_N, row), out=at_rows[:, r])
            products, points = scratch(_N, _N, tiles, outputs), scratch(n, wide, _N, inputs)
            windows = at_rows.as_strided((_N, n, wide, _N, inputs), (n * row, row, *strides))
            for k in range(_N):
                for r in range(n):
                    torch.bmm(self.values.expand(wide, _N, _N), windows[k, r], out=points[r])
                by_column = points.view(tiles, _N, inputs).transpose(0, 1)
                torch.bmm(by_column, self.both[_N * k : _N * (k + 1)], out=products[k])
            across, back = scratch(_N, TILE, tiles * outputs), scratch(TILE, TILE, n, wide, outputs)
            torch.bmm(self.inverse.expand(_N, TILE, _N), products.view(_N, _N, -1), out=across)
            torch.mm(self.inverse, across.view(_N, -1), out=back.view(TILE, -1))

            products, below = scratch(_N, n * columns, outputs), scratch(TILE, n, columns, outputs)
            torch.bmm(at_rows.view(_N, n * columns, inputs), self.down, out=products)
            torch.mm(self.inverse, products.view(_N, -1), out=below.view(TILE, -1))

            products, beside = scratch(_N, TILE * tiles, outputs), scratch(TILE, n, TILE, wide, outputs)
            points = scratch(TILE * n, wide, _N, inputs)
            for r in range(TILE * n):
                window = source[r + 1].as_strided((wide, _N, inputs), strides)
                torch.bmm(self.values.expand(wide, _N, _N), window, out=points[r])
            torch.bmm(points.view(TILE * tiles, _N, inputs).transpose(0, 1), self.across, out=products)
            torch.mm(self.inverse, products.view(_N, -1), out=beside.view(TILE, -1))

            single = scratch(n, TILE, columns, outputs)
            torch.mm(source[1:].view(-1, inputs), self.single[0], out=single.view(-1, outputs))

            behind = spread[_CARRY : _CARRY + 2 * TILE * n].view(n, TILE, 2, -1, outputs)[:, :, :, 1:]
            even_rows, odd_rows = (behind[:, :, i].unflatten(2, (wide, TILE, 2)) for i in (0, 1))  # (n,4,wide,4,2,O)
            even_rows[..., 0, :] = back.permute(2, 0, 3, 1, 4)
            even_rows[..., 1, :] = below[:, :, 1:].unflatten(2, (wide, TILE)).permute(1, 0, 2, 3, 4)
            odd_rows[..., 0, :] = beside.permute(1, 2, 3, 0, 4)
            odd_rows[..., 1, :] = single[:, :, 1:].unflatten(2, (wide, TILE))
