"""Encoders with a feature pyramid on top: a residual one of any width, and whatever timm offers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...core.errors import ConfigError
from .blocks import conv

#: stride of the map a pyramid gives
STRIDE = 4
#: channels of the pixels behind one place of that map
PIXELS = 3 * STRIDE**2


class _Basic(nn.Module):
    """Two 3x3 convolutions and the way around (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(norm.weight)  # starts as the identity, which trains faster
        self.body = nn.Sequential(
            conv(inputs, outputs, stride),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm,
        )
        same = inputs == outputs and stride == 1
        self.around = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.around(x), inplace=True)


class ResidualEncoder(nn.Module):
    """ResNet-18 with two 3x3 convolutions for a stem and all widths scaled: maps at strides 4, 8, 16, 32.

    stages: only the first ones.

    Dense convolutions: on a CPU they are faster than depthwise ones of the same accuracy.
    """

    def __init__(self, width: float = 1.0, stages: int = 4) -> None:
        super().__init__()
        widths = [max(8, round(channels * width)) for channels in (64, 128, 256, 512)[:stages]]
        stem = max(8, 3 * widths[0] // 4)
        self.stem = nn.Sequential(conv(3, stem, stride=2), conv(stem, widths[0], stride=2))
        self.stages = nn.ModuleList()
        below = widths[0]
        for channels in widths:
            stride = 1 if channels == widths[0] else 2
            self.stages.append(nn.Sequential(_Basic(below, channels, stride), _Basic(channels, channels)))
            below = channels
        self.channels = tuple(widths)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B,3,H,W) -> a map of each stage, the finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def timm_encoder(model: str, input_size: int, options: dict[str, Any]) -> tuple[nn.Module, tuple[int, ...]]:
    """A timm model without weights that gives its maps of stride 4 and coarser, and their channels.

    options are checked already (`Backbone.options`). Raises ConfigError for a name timm does not know, or a model
    that gives no features.
    """
    import timm  # takes seconds, and the other encoders do without it

    options = {**options, "pretrained": False, "features_only": True}
    if not timm.is_model(model):
        known = timm.list_models()
        near = difflib.get_close_matches(model, known, 5, 0.5) or [each for each in known if model[:4] in each][:5]
        hint = f"Did you mean {' or '.join(near)}?" if near else "`timm.list_models()` in Python lists its models."
        raise ConfigError(f"network.model: timm has no model '{model}'", hint=hint)
    try:
        try:  # transformers must be told the size of their input, convolutions do not take it
            encoder = timm.create_model(model, img_size=input_size, **options)
        except TypeError:
            encoder = timm.create_model(model, **options)
    except (RuntimeError, AttributeError, TypeError, AssertionError) as error:
        raise ConfigError(f"network.model: timm's '{model}' cannot serve as encoder: {error}") from error
    info: Any = encoder.feature_info
    kept = [i for i, reduction in enumerate(info.reduction()) if reduction >= STRIDE]
    return _Chosen(encoder, kept), tuple(info.channels()[i] for i in kept)


class _Chosen(nn.Module):
    def __init__(self, encoder: nn.Module, kept: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.kept = tuple(kept)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = self.encoder(x)
        return [maps[index] for index in self.kept]


class Pyramid(nn.Module):
    """An encoder and a feature pyramid (Lin et al. 2017): (B,3,H,W) -> (B,channels,ceil(H/4),ceil(W/4))."""

    def __init__(self, encoder: nn.Module, below: Sequence[int], channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.level_channels = channels + sum(below) + PIXELS
        self.encoder = encoder
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, channels, 1) for inputs in below)
        self.smooth = nn.ModuleList(conv(channels, channels) for _ in below)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map at stride 4, whatever the encoder's finest is."""
        return self._merged(x)[0]

    def with_levels(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and with more behind it (B,level_channels,h,w): every map of the encoder, brought to its size, and
        the pixels of x as channels (`pixel_unshuffle`)."""
        parts = self.parts(x)
        return parts[0], stacked(parts)

    def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The parts of `with_levels` one by one, the encoder's maps at their own sizes."""
        y, maps = self._merged(x)
        height, width = y.shape[-2:]
        whole = functional.pad(x, (0, STRIDE * width - x.shape[-1], 0, STRIDE * height - x.shape[-2]))
        return [y, *maps, functional.pixel_unshuffle(whole, STRIDE).to(y.dtype)]

    def _merged(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        target = (-(-x.shape[-2] // STRIDE), -(-x.shape[-1] // STRIDE))
        maps = self.encoder(x)
        y = self.smooth[-1](self.lateral[-1](maps[-1]))
        for level in reversed(range(len(maps) - 1)):
            y = functional.interpolate(y, size=maps[level].shape[-2:], mode="nearest")
            y = self.smooth[level](y + self.lateral[level](maps[level]))
        if tuple(y.shape[-2:]) != target:
            y = functional.interpolate(y, size=target, mode="bilinear", align_corners=False)
        return y, maps


def stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps of any size behind each other, at the size of the first one."""
    size = parts[0].shape[-2:]
    sized = (p if p.shape[-2:] == size else functional.interpolate(p, size=size, mode="bilinear") for p in parts)
    return torch.cat(list(sized), dim=1)
