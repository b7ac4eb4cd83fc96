"""Mapping and synthesis networks: StyleGAN2's, and the conditional U-Nets that Next3D builds around them."""

from __future__ import annotations

from itertools import pairwise
from math import log2

import torch
from torch import nn

from . import winograd
from .layers import (
    WHOLE,
    Convolution,
    FullyConnected,
    StyledConvolution,
    ToRGB,
    Window,
    binomial_filter,
    downsample,
    per_sample,
    rows_of,
    upsample,
)

Box = tuple[int, int, int, int]  # top, bottom, left, right


class Mapping(nn.Module):
    """z (B,Z) and camera c (B,25) -> w (B,W); `w_avg` (W,) is the mean w, for truncation."""

    w_avg: torch.Tensor

    def __init__(self, z: int, c: int, w: int) -> None:
        super().__init__()
        self.embed = FullyConnected(c, w)
        self.fc0 = FullyConnected(z + w, w, activated=True, lr=0.01)
        self.fc1 = FullyConnected(w, w, activated=True, lr=0.01)
        self.register_buffer("w_avg", torch.empty(w))

    def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """See the class. Source: StyleGAN2; Karras et al. 2018 for the normalisation."""
        x = torch.cat([_unit(z), _unit(self.embed(c))], dim=1)
        return self.fc1(self.fc0(x))


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class SynthesisBlock(nn.Module):
    """One resolution: two styled convolutions (the first one doubles the size) and the skip image."""

    resample_filter: torch.Tensor

    def __init__(self, inputs: int, outputs: int, w: int, resolution: int, image_channels: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.register_buffer("resample_filter", binomial_filter())
        if inputs:
            self.conv0 = StyledConvolution(inputs, outputs, w, resolution, up=True)
        else:
            self.const = nn.Parameter(torch.empty(outputs, resolution, resolution))
        self.conv1 = StyledConvolution(outputs, outputs, w, resolution)
        self.torgb = ToRGB(outputs, image_channels, w)

    def forward(
        self,
        x: torch.Tensor | None,
        image: torch.Tensor | None,
        ws: torch.Tensor,
        *,
        noise: bool = True,
        clamp: float | None = None,
        window: Window = WHOLE,
        last: bool = False,
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Features (B,in,H,W), skip image and ws (B,2 or 3,W) -> both at this block's resolution.

        window: the part of the whole image that is computed. last: the features are not asked for (None).
        """
        if self.inputs:
            assert x is not None
            if self.conv0.streams(x) and len(self.conv1.weight) >= 128:
                x, rgb = self._stream(x, ws, noise, clamp, window, last)
                return x, rgb if image is None else rgb.add_(upsample(image))
        styles = iter(ws.unbind(1))
        if self.inputs:
            assert x is not None
            x = self.conv0(x, next(styles), noise=noise, clamp=clamp, window=window)
        else:
            x = self.const[None].expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.conv1(x, next(styles), noise=noise, clamp=clamp, window=window)
        rgb = self.torgb(x, next(styles), clamp=clamp)
        if image is not None:
            rgb += upsample(image)
        return x, rgb

    def _stream(
        self, x: torch.Tensor, ws: torch.Tensor, noise: bool, clamp: float | None, window: Window, last: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """As `forward`, strip by strip from layer to layer, so that nothing but the results is kept whole."""
        (before, scale), (between, scale1) = (
            conv.modulation(ws[:, i]) for i, conv in enumerate((self.conv0, self.conv1))
        )
        colours, shift = self.torgb.modulated(ws[:, 2]), self.torgb.bias
        height, width = 2 * x.shape[2], 2 * x.shape[3]
        features: list[torch.Tensor] = []
        images: list[torch.Tensor] = []
        for i in range(len(x)):
            image = x.new_empty(height, width, colours.shape[2])
            feature = None if last else x.new_empty(height, width, len(self.conv1.weight))
            with winograd.canvas(height, width, len(self.conv0.weight)) as whole:
                inside = whole[1:-1, 1:-1]

                def hand_on(rows: torch.Tensor, first: int, i: int = i, inside: torch.Tensor = inside) -> None:
                    torch.mul(rows, between[i], out=inside[first : first + len(rows)])

                with winograd.on_canvas([(rows_of(x, i), before[i])], self.conv0.after) as source:
                    self.conv0.stream(source, scale[i], hand_on, noise=noise, clamp=clamp, window=window)

                def keep(
                    rows: torch.Tensor,
                    first: int,
                    i: int = i,
                    image: torch.Tensor = image,
                    feature: torch.Tensor | None = feature,
                ) -> None:
                    here = slice(first, first + len(rows))
                    rgb = torch.addmm(shift, rows.flatten(0, 1), colours[i])
                    image[here] = (rgb if clamp is None else rgb.clamp_(-clamp, clamp)).view(image[here].shape)
                    if feature is not None:
                        feature[here] = rows

                self.conv1.stream(whole, scale1[i], keep, noise=noise, clamp=clamp, window=window)
            images.append(image)
            if feature is not None:
                features.append(feature)
        kept = None if last else per_sample(lambda i: features[i], len(x))
        return kept, per_sample(lambda i: images[i], len(x))


def channels_at(resolution: int, base: int, most: int) -> int:
    """Feature channels of a network at a resolution."""
    return min(base // resolution, most)


class Synthesis(nn.Module):
    """StyleGAN2's synthesis network: blocks b4 ... bN, giving an image (B,image_channels,N,N)."""

    def __init__(self, w: int, resolution: int, image_channels: int, base: int, most: int) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(log2(resolution)) + 1)]
        previous = 0
        for size in self.resolutions:
            channels = channels_at(size, base, most)
            self.add_module(f"b{size}", SynthesisBlock(previous, channels, w, size, image_channels))
            previous = channels

    def block(self, size: int) -> SynthesisBlock:
        """The block of one resolution."""
        module = getattr(self, f"b{size}")
        assert isinstance(module, SynthesisBlock)
        return module

    def styles(self, ws: torch.Tensor, size: int) -> torch.Tensor:
        """The w entries (B,2 or 3,W) of one block; its last one is also the next block's first."""
        i = self.resolutions.index(size)
        return ws[:, max(0, 2 * i - 1) : 2 * i + 2]

    def forward(self, ws: torch.Tensor) -> torch.Tensor:
        """ws (B,14,W) -> image."""
        x = image = None
        for size in self.resolutions:
            x, image = self.block(size)(x, image, self.styles(ws, size), last=size == self.resolutions[-1])
        assert image is not None
        return image


class EncoderLevel(nn.Module):
    """One level of the condition's encoder: halves the running feature."""

    resample_filter: torch.Tensor

    def __init__(self, condition: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        self.fromrgb = Convolution(condition, inputs, 1, bias=False, activated=False)
        self.conv1 = Convolution(inputs, inputs, 3)
        self.conv2 = Convolution(inputs, outputs, 3, down=True)

    def forward(self, x: torch.Tensor | None, condition: torch.Tensor) -> torch.Tensor:
        """Running feature and condition at one size -> feature at half of it."""
        y = self.fromrgb(condition)
        return self.conv2(self.conv1(y if x is None else y + x))


class ConditionalSynthesis(Synthesis):
    """A synthesis network whose blocks from `first` on grow out of an encoded condition (a U-Net).

    condition (B,32,S,S) is encoded to S/2 ... `first`/2; a fusion joins each level with the features of its size.
    """

    def __init__(
        self,
        w: int,
        resolution: int,
        image_channels: int,
        base: int,
        most: int,
        *,
        condition: int,
        condition_size: int,
        first: int,
    ) -> None:
        super().__init__(w, resolution, image_channels, base, most)
        self.first, self.condition_size = first, condition_size
        sizes = [condition_size]
        while sizes[-1] >= first:
            sizes.append(sizes[-1] // 2)
        width = [channels_at(size, base, most) for size in sizes]
        self.encoder = nn.ModuleList(EncoderLevel(condition, a, b) for a, b in pairwise(width))
        deep = list(reversed(width))
        self.fusion = nn.ModuleList(
            Convolution(n if i == 0 else 2 * n, n, 3, activated=False) for i, n in enumerate(deep)
        )

    def encode(self, condition: torch.Tensor) -> list[torch.Tensor]:
        """The condition's features from the coarsest, of half the first block's size, to the finest."""
        encoded: list[torch.Tensor] = []
        x = None
        for i, level in enumerate(self.encoder):
            assert isinstance(level, EncoderLevel)
            if i:
                condition = downsample(condition, level.resample_filter)
            x = level(x, condition)
            encoded.insert(0, x)
        return encoded

    def forward(
        self, ws: torch.Tensor, condition: torch.Tensor | None = None, wanted: Box | None = None
    ) -> torch.Tensor:
        """ws (B,14,W), condition (B,32,S,S) -> image.

        wanted: (top, bottom, left, right) in pixels of the image; outside it the result may be zero, and the blocks
        after the first one are run on the part that it depends on.
        """
        assert condition is not None
        encoded = self.encode(condition)
        last = self.resolutions[-1]
        part = (0, self.first, 0, self.first) if wanted is None else _part(wanted, last // self.first, self.first)
        x = image = None
        for depth, size in enumerate(size for size in self.resolutions if size >= self.first):
            window = WHOLE if depth == 0 else _scaled(part, size // self.first)
            if depth == 1 and x is not None and image is not None:
                x, image = (value[(..., *_scaled(part, 1))] for value in (x, image))
            if depth < len(encoded):
                feature = (
                    encoded[depth] if depth == 0 else encoded[depth][(..., *_scaled(part, size // 2 // self.first))]
                )
                x = self.fusion[depth](feature) if x is None else self.fusion[depth](x, feature)
            x, image = self.block(size)(x, image, self.styles(ws, size), window=window, last=size == last)
        assert image is not None
        if image.shape[-2:] == (last, last):
            return image
        whole = image.new_zeros(*image.shape[:2], last, last).contiguous(memory_format=torch.channels_last)
        whole[(..., *_scaled(part, last // self.first))] = image
        return whole


# After the first block, a part's border affects at most 15 pixels of an image four times as fine. Each level has a
# fusion and an upsampling convolution, each with a reach of one of its pixels, and another one at twice its size.
_MARGIN, _ALIGN = 4, 4


def _part(wanted: Box, scale: int, size: int) -> Box:
    """The part of an image of `size` pixels that the box `wanted`, in `scale` times finer pixels, depends on."""
    low = [max(0, (value // scale - _MARGIN) // _ALIGN * _ALIGN) for value in wanted[::2]]
    high = [min(size, -(-(-(-value // scale) + _MARGIN) // _ALIGN) * _ALIGN) for value in wanted[1::2]]
    return low[0], high[0], low[1], high[1]


def _scaled(part: Box, by: int) -> Window:
    top, bottom, left, right = (value * by for value in part)
    return slice(top, bottom), slice(left, right)
