"""Label fine-tuning networks (paper, section 3.3): from the frozen model's predictions to a benchmark's labels.

Each has the architecture of its output head, with a zero-initialised last layer. So it starts at the identity, or at
the known mapping between the two label schemas, and fine-tuning never begins worse than the model it adapts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from .blocks import exact, resize
from .folded import Folded
from .heads import HeatmapNet, dense_net, point_prediction
from .pyramid import PIXELS, Pyramid, stacked
from .tokens import TokenNet

Prediction = Mapping[str, torch.Tensor]
# Keeps the logarithm finite for classes the frozen model rules out; a class it never saw can still be learned.
FLOOR = 1e-4


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _last_convolution(net: nn.Module) -> nn.Module:
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)][-1]


def _with_features(x: torch.Tensor, features: torch.Tensor | None, channels: int) -> torch.Tensor:
    if not channels:
        return x
    if features is None:
        raise ValueError("this label fine-tuning network reads the feature map, and none was given")
    return torch.cat([x, resize(features, (x.shape[-2], x.shape[-1])).to(x.dtype)], dim=1)


class PointAdapter(nn.Module):
    """Points and heatmaps of one schema to those of another.

    A heatmap network corrects the logits of the heatmaps; it sees the image. A perceptron on all coordinates corrects
    the points; it sees the shape of the whole face, because labels of two data sets differ by shape and pose.
    """

    def __init__(
        self,
        points: int,
        wanted: int,
        channels: int,
        *,
        head: str,
        size: int = 64,
        width: int = 128,
        stacks: int = 2,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.same = points == wanted
        self.net = HeatmapNet(points + channels, wanted, head=head, size=size, width=width, stacks=stacks)
        self.shape = nn.Sequential(nn.Linear(2 * points, hidden), nn.GELU(), nn.Linear(hidden, 2 * wanted))
        _zero(self.shape[-1])
        if self.same:
            for layer in self.net.scores():
                _zero(layer)

    def forward(self, prediction: Prediction, features: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`points` (B,N,2) and `heatmaps` of the model -> the same of the benchmark's schema."""
        heatmaps, points = prediction["heatmaps"].float(), prediction["points"].float()
        probability = heatmaps.flatten(2).softmax(-1)
        peaked = (probability / probability.amax(-1, keepdim=True)).view_as(heatmaps)
        stacks = self.net(_with_features(peaked, features, self.channels))
        if self.same:
            stacks = [resize(heatmaps, (each.shape[-2], each.shape[-1])) + each for each in stacks]
        found = point_prediction(stacks)
        # not view(len(points), ...): that would fix the size of the batch in an exported graph
        shift = self.shape(4.0 * (points - 0.5).flatten(1)).unflatten(1, (-1, 2)).float()
        return {**found, "points": found["points"] + shift, "stacks": found["stacks"] + shift[:, None]}


class ClassAdapter(nn.Module):
    """Logits of one class schema to those of another, starting from `mapping` (K,) int: class -> class, where known."""

    mapping: torch.Tensor

    def __init__(
        self, classes: int, wanted: int, channels: int, mapping: np.ndarray | None, *, head: str, width: float = 1.0
    ) -> None:
        super().__init__()
        self.channels = channels
        matrix = np.zeros((wanted, classes), np.float32)
        if mapping is not None:
            matrix[mapping[:classes], np.arange(classes)] = 1.0
        self.register_buffer("mapping", torch.from_numpy(matrix), persistent=False)
        self.mapped = mapping is not None
        self.net: nn.Module
        if head == "tokens":  # starts at zero as it is
            self.net = TokenNet(channels, wanted, width=width, given=classes)
            return
        self.net = dense_net(classes + channels, wanted, head=head, width=width)
        if self.mapped:
            _zero(_last_convolution(self.net))

    def forward(self, prediction: Prediction, features: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`logits` (B,K,h,w) -> `logits` (B,K',h,w), for `tokens` on their own grid."""
        probability = prediction["logits"].float().softmax(1)
        if isinstance(self.net, TokenNet):
            assert features is not None
            logits = self.net([features[:, :-PIXELS], features[:, -PIXELS:]], probability).float()
            probability = resize(probability, (logits.shape[-2], logits.shape[-1]))
        else:
            logits = self.net(_with_features(probability, features, self.channels)).float()
        if self.mapped:
            start = torch.einsum("jk,bkhw->bjhw", self.mapping, probability)
            logits = logits + torch.log(start + FLOOR)
        return {"logits": logits}


class DepthAdapter(nn.Module):
    """Depth to another data set's depth: a learned scale and shift, and a dense correction in units of `unit`."""

    def __init__(self, channels: int, unit: float, *, head: str, width: float = 1.0) -> None:
        super().__init__()
        self.channels, self.unit = channels, unit
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))
        self.net = dense_net(1 + channels, 1, head=head, width=width)
        _zero(_last_convolution(self.net))

    def forward(self, prediction: Prediction, features: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`depth` (B,1,h,w) -> `depth` (B,1,h,w)."""
        depth = prediction["depth"].float()
        relative = (depth - depth.mean(dim=(2, 3), keepdim=True)) / self.unit
        correction = self.net(_with_features(relative, features, self.channels)).float() + self.shift
        return {"depth": depth * self.log_scale.exp() + correction * self.unit}


class WithEncoder(nn.Module):
    """A label network behind an encoder and an output head of its own, which start as copies of the frozen ones.

    wide: the output head reads `Pyramid.parts`; levels: the label network reads the encoder's maps of every size. Head
    and label network work in 32 bit, the encoder in whatever the caller computes in.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, net: nn.Module, *, wide: bool, levels: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.net = encoder, head, net
        self.wide, self.levels = wide, levels
        self._folded = Folded(encoder)

    def forward(self, prediction: Prediction, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The normalised pixels (B,3,H,W) -> as `net` answers; the frozen model's prediction is not needed."""
        encoder: Any = self._folded()
        parts = encoder.parts(pixels) if isinstance(encoder, Pyramid) else [encoder(pixels)]
        with exact(pixels):  # heatmaps want more than the 8 bits of bf16
            parts = [part.float() for part in parts]
            found = self.head(parts if self.wide else parts[0])
            answer: dict[str, torch.Tensor] = self.net(found, stacked(parts) if self.levels else parts[0])
        return answer


class MapAdapter(nn.Module):
    """A map of one data set to another's: the map under `key` (B,K,h,w) and a dense correction that starts at zero."""

    def __init__(self, key: str, outputs: int, channels: int, *, head: str, width: float = 1.0) -> None:
        super().__init__()
        self.key, self.channels = key, channels
        self.net = dense_net(outputs + channels, outputs, head=head, width=width)
        _zero(_last_convolution(self.net))

    def forward(self, prediction: Prediction, features: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """{key: the corrected map}."""
        given = prediction[self.key].float()
        return {self.key: given + self.net(_with_features(given, features, self.channels)).float()}
