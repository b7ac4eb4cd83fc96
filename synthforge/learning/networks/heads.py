"""Heads on the feature map: the paper's, and light ones for small machines."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .blocks import conv, soft_argmax
from .hourglass import StackedHourglass
from .unet import UNet, scaled

HEADS = ("paper", "light")


def check_head(name: str) -> None:
    """Raise ValueError for an output head that does not exist."""
    if name not in HEADS:
        raise ValueError(f"head is one of {', '.join(HEADS)}; got '{name}'")


class HeatmapNet(nn.Module):
    """Features to heatmaps: (B,inputs,h,w) -> list of (B,points,s,s), one a stack, the last the best.

    `paper`: convolutions down to `size`, then two stacked hourglasses. `light`: one 3x3 convolution and the scores, at
    the resolution of the features.
    """

    def __init__(
        self, inputs: int, points: int, *, head: str, size: int = 64, width: int = 128, stacks: int = 2
    ) -> None:
        super().__init__()
        check_head(head)
        self.size = size if head == "paper" else 0
        if head == "paper":
            self.enter = nn.ModuleList([conv(inputs, width // 2), conv(width // 2, width)])
            self.net: nn.Module = StackedHourglass(width, points, width=width, stacks=stacks)
        else:
            self.enter = nn.ModuleList([conv(inputs, width)])
            self.net = nn.Conv2d(width, points, 1)

    def scores(self) -> list[nn.Conv2d]:
        """The convolutions that give the heatmaps."""
        if isinstance(self.net, StackedHourglass):
            return [layer for layer in self.net.score if isinstance(layer, nn.Conv2d)]
        return [layer for layer in (self.net,) if isinstance(layer, nn.Conv2d)]

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """One (B,points,s,s) for each stack."""
        x = features
        for layer in self.enter:
            x = layer(x)
            if self.size and min(x.shape[-2:]) >= 2 * self.size:
                x = functional.avg_pool2d(x, 2)
        found = self.net(x)
        return found if isinstance(found, list) else [found]


def point_prediction(stacks: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Heatmaps of each stack to `points` (B,N,2), the last `heatmaps`, and `stacks` (B,S,N,2) of points."""
    points = torch.stack([soft_argmax(heatmaps) for heatmaps in stacks], dim=1)
    return {"points": points[:, -1], "heatmaps": stacks[-1], "stacks": points}


class PointHead(nn.Module):
    """Output head for landmarks: features (B,channels,h,w) -> points in [0,1], heatmaps and every stack's points."""

    def __init__(
        self, channels: int, points: int, *, head: str, size: int = 64, width: int = 128, stacks: int = 2
    ) -> None:
        super().__init__()
        self.net = HeatmapNet(channels, points, head=head, size=size, width=width, stacks=stacks)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `point_prediction`."""
        return point_prediction(self.net(features))


def dense_net(inputs: int, outputs: int, *, head: str, width: float = 1.0) -> nn.Module:
    """Features to a dense map at their resolution: the paper's U-Net, or one 3x3 convolution and a 1x1.

    Raises ValueError for an unknown head.
    """
    check_head(head)
    if head == "paper":
        return UNet(inputs, outputs, scaled(width))
    between = max(8, round(64 * width))
    return nn.Sequential(conv(inputs, between), nn.Conv2d(between, outputs, 1))


class DenseHead(nn.Module):
    """Dense output head: features (B,channels,h,w) -> one map (B,outputs,h,w) under `key`, times `unit`."""

    def __init__(
        self, channels: int, outputs: int, key: str, *, head: str, width: float = 1.0, unit: float = 1.0
    ) -> None:
        super().__init__()
        self.key, self.unit = key, unit
        self.net = dense_net(channels, outputs, head=head, width=width)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """{key: map}."""
        out = self.net(features)
        return {self.key: out.float() * self.unit if self.unit != 1.0 else out}
