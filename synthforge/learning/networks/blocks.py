"""Small parts that several networks share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """A pre-activated bottleneck (Newell et al. 2016, figure 4): 1x1, 3x3, 1x1 and the way around."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = max(outputs // 2, 1)
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, outputs, 1),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B,inputs,h,w) -> (B,outputs,h,w)."""
        return self.skip(x) + self.body(x)


def exact(x: torch.Tensor) -> AbstractContextManager[Any]:
    """No bf16 for what is done with a tensor: of numbers in [0,1] it resolves no more than 1/256."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def resize(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear resizing (B,C,h,w) -> (B,C,*size), averaging where it shrinks by whole factors."""
    height, width = x.shape[-2:]
    if (height, width) == tuple(size):
        return x
    if height % size[0] == 0 and width % size[1] == 0:
        return functional.avg_pool2d(x, (height // size[0], width // size[1]))
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def soft_argmax(heatmaps: torch.Tensor) -> torch.Tensor:
    """The mean position under softmax(heatmaps): (B,N,h,w) -> (B,N,2) in [0,1] of width and height, float32.

    Pixel centre i is at (i + 0.5) / size.
    """
    batch, points, height, width = heatmaps.shape
    probability = heatmaps.float().flatten(2).softmax(-1).view(batch, points, height, width)
    xs = (torch.arange(width, device=heatmaps.device, dtype=torch.float32) + 0.5) / width
    ys = (torch.arange(height, device=heatmaps.device, dtype=torch.float32) + 0.5) / height
    return torch.stack([probability.sum(2) @ xs, probability.sum(3) @ ys], dim=-1)
