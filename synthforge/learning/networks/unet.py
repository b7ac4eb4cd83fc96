"""The paper's U-Net: encoder widths 64, 128, 256, 512, 512; bilinear up; the same net serves as dense output head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from ...core.errors import UserError
from .blocks import conv

WIDTHS = (64, 128, 256, 512, 512)


def scaled(width: float) -> tuple[int, ...]:
    """The paper's widths times `width`, at least 4 channels each."""
    return tuple(max(4, round(channels * width)) for channels in WIDTHS)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), conv(outputs, outputs))


class UNet(nn.Module):
    """(B,inputs,H,W) -> (B,outputs,H,W), H and W at least 16 (Ronneberger et al. 2015; paper, section 3.2)."""

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels = outputs
        self.stem = _double(inputs, widths[0])
        self.down = nn.ModuleList(_double(a, b) for a, b in pairwise(widths))
        ups = []
        below = widths[-1]
        for skip in reversed(widths[:-1]):
            ups.append(_double(below + skip, max(skip // 2, widths[0])))
            below = max(skip // 2, widths[0])
        self.up = nn.ModuleList(ups)
        self.out = nn.Conv2d(below, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B,inputs,H,W) -> (B,outputs,H,W). Raises UserError for a map too small to be halved four times."""
        if min(x.shape[-2:]) < 2 ** len(self.down):
            raise UserError(
                f"a U-Net on a map of {x.shape[-1]} x {x.shape[-2]} pixels has nothing left to halve",
                hint="Raise network.input_size, or take the tasks' light heads (head: light).",
            )
        x = self.stem(x)
        skips = [x]
        for block in self.down:
            x = block(functional.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = functional.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([skip, x], dim=1))
        return self.out(x)
