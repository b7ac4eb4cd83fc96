"""Heads on the feature map: the paper's, and light ones for small machines."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from .blocks import conv, exact, soft_argmax
from .hourglass import StackedHourglass
from .unet import UNet, scaled

HEADS = ("paper", "light")
#: how much of an answer's unit one unit of the last layer is
_STEP = 0.1


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


class Attended(nn.Module):
    """Features (B,inputs,h,w) read at N places: softmax maps over the picture, their middles, and the mean features.

    One 3x3 convolution of this stride to `width` channels, and the scores of the maps.
    """

    def __init__(self, inputs: int, places: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.enter = conv(inputs, width, stride)
        self.score = nn.Conv2d(width, places, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Middles (B,N,2) in [0,1] of width and height, and features (B,N,width), float32."""
        x = self.enter(features)
        scores = self.score(x).float()
        height, width = scores.shape[-2:]
        rows, columns = (torch.arange(n, device=x.device, dtype=torch.float32) for n in (height, width))
        at_y, at_x = torch.meshgrid((rows + 0.5) / height, (columns + 0.5) / width, indexing="ij")
        with exact(x):
            share = scores.flatten(2).softmax(-1)
            middles = share @ torch.stack([at_x.flatten(), at_y.flatten()], -1)
            return middles, share @ x.float().flatten(2).transpose(1, 2)


class PlacesHead(nn.Module):
    """Output head of numbers for each of N points: (B,inputs,h,w) -> `key` (B,N,numbers), the first two x and y.

    Every point reads the features at its own place. A perceptron, the same for all points, gets what a point read, a
    vector of `share` numbers that stands for the point, and `context` numbers of the whole face. Another perceptron
    makes these of what all points read and of their places. A point's numbers are a linear function of the outcome;
    points share `share` such functions, weighed by their vectors. x and y are added to the middle of what was read, so
    that points may lie outside the crop. start: the numbers at first; unit: how much of each one unit of the linear
    function is. `trained` (B,1) counts the steps of training.
    """

    trained: torch.Tensor
    start: torch.Tensor
    unit: torch.Tensor

    def __init__(
        self,
        channels: int,
        key: str,
        points: int,
        start: torch.Tensor,
        unit: torch.Tensor,
        *,
        width: int,
        stride: int,
        share: int,
        context: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.key, self.read = key, Attended(channels, points, width, stride)
        self.share = nn.Parameter(share**-0.5 * torch.randn(points, share))
        self.context = nn.Linear(share * (width + 2), context)
        self.net = nn.Linear(width + share + context, hidden)
        self.last = nn.Parameter(torch.zeros(share, hidden, len(start)))
        self.bias = nn.Parameter(torch.zeros(points, len(start)))
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("unit", unit, persistent=False)
        self.register_buffer("trained", torch.zeros((), dtype=torch.long))

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """{key: (B,N,numbers), "trained": (B,1)}."""
        if self.training:
            self.trained += 1
        places, read = self.read(features)
        with exact(features):
            seen = self.share.T @ torch.cat([read, places - 0.5], -1) / math.sqrt(len(self.share))
            face = functional.relu(self.context(seen.flatten(1)))
            batch, points = read.shape[:2]
            known = [read, self.share.expand(batch, -1, -1), face[:, None].expand(-1, points, -1)]
            hidden = functional.relu(self.net(torch.cat(known, -1)))
            numbers = torch.einsum("bnh,nhk->bnk", hidden, torch.einsum("nj,jhk->nhk", self.share, self.last))
            numbers = self.start + self.unit * (numbers + self.bias)
        found = torch.cat([places + numbers[..., :2], numbers[..., 2:]], -1)
        return {self.key: found, "trained": self.trained.float().expand(features.shape[0], 1)}


class VectorHead(nn.Module):
    """Output head of numbers of the whole face: (B,channels,h,w) -> (B,K) under `key`, float32.

    A perceptron on what `places` learned places of the picture show, and where these are. start: the numbers at first.
    form: empty, or what they are made: `unit` for vectors (B,K/3,3), `rotation` for the three axes of one.
    """

    start: torch.Tensor

    def __init__(
        self, channels: int, key: str, start: torch.Tensor, *, width: int, stride: int, places: int, form: str = ""
    ) -> None:
        super().__init__()
        self.key, self.form, self.read = key, form, Attended(channels, places, width, stride)
        self.net = nn.Sequential(nn.Linear(places * (width + 2), 2 * width), nn.ReLU())
        self.last = nn.Linear(2 * width, len(start))
        self.register_buffer("start", start, persistent=False)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """{key: (B,K), or (B,K/3,3)}."""
        places, read = self.read(features)
        numbers = self.start + _STEP * self.last(self.net(torch.cat([places, read], -1).flatten(1))).float()
        return {self.key: as_vectors(numbers, self.form == "rotation") if self.form else numbers}


def as_vectors(numbers: torch.Tensor, rotation: bool) -> torch.Tensor:
    """Numbers (B,3 K) as unit vectors (B,K,3). rotation: K is 3, the second vector is made perpendicular to the first
    (Gram and Schmidt), and the third one is their cross product (Zhou et al. 2019)."""
    given = numbers.unflatten(1, (-1, 3))
    if not rotation:
        return functional.normalize(given, dim=-1)
    a = functional.normalize(given[:, 0], dim=-1)
    b = functional.normalize(given[:, 1] - (a * given[:, 1]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=1)
