"""The stacked hourglass of the paper's output head for landmarks (Newell et al. 2016)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .blocks import Residual, conv


class Hourglass(nn.Module):
    """Down `depth` times and up again, with a residual block on every way: (B,C,h,w) -> (B,C,h,w)."""

    def __init__(self, channels: int, depth: int = 4) -> None:
        super().__init__()
        self.side = nn.ModuleList(Residual(channels, channels) for _ in range(depth))
        self.down = nn.ModuleList(Residual(channels, channels) for _ in range(depth))
        self.up = nn.ModuleList(Residual(channels, channels) for _ in range(depth))
        self.bottom = Residual(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B,C,h,w) -> (B,C,h,w); stops going down where a side has one pixel left."""
        sides = []
        for side, down in zip(self.side, self.down, strict=True):
            if min(x.shape[-2:]) < 2:
                break
            sides.append(side(x))
            x = down(functional.max_pool2d(x, 2))
        x = self.bottom(x)
        for level in reversed(range(len(sides))):
            x = self.up[level](x)
            x = sides[level] + functional.interpolate(x, size=sides[level].shape[-2:], mode="nearest")
        return x


class StackedHourglass(nn.Module):
    """Features to one set of heatmaps a stack: (B,inputs,h,w) -> list of (B,points,h,w)."""

    def __init__(self, inputs: int, points: int, *, width: int = 128, stacks: int = 2, depth: int = 4) -> None:
        super().__init__()
        self.enter = Residual(inputs, width)
        self.glass = nn.ModuleList(Hourglass(width, depth) for _ in range(stacks))
        self.after = nn.ModuleList(conv(width, width, kernel=1) for _ in range(stacks))
        self.score = nn.ModuleList(nn.Conv2d(width, points, 1) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(width + points, width, 1) for _ in range(stacks - 1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """One (B,points,h,w) for each stack, the last the best."""
        x = self.enter(x)
        found = []
        for index, glass in enumerate(self.glass):
            inside = self.after[index](glass(x))
            found.append(self.score[index](inside))
            if index < len(self.back):
                x = x + self.back[index](torch.cat([inside, found[-1]], dim=1))
        return found
