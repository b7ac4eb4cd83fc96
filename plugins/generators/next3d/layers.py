"""The layers of StyleGAN2 (Karras et al. 2020) that Next3D and EG3D are built from.

Parameter and buffer names are those of the published checkpoints, so that a state dict loads strictly. Weights are
stored at unit scale and scaled when used ("equalised learning rate").
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import nn

LEAK, GAIN = 0.2, sqrt(2.0)


def binomial_filter() -> torch.Tensor:
    """The resampling filter (4,4): outer product of [1,3,3,1], sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64


def activate(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU with slope 0.2 and gain sqrt 2."""
    return F.leaky_relu(x, LEAK) * GAIN


def fir(x: torch.Tensor, kernel: torch.Tensor, padding: tuple[int, int], gain: float = 1.0) -> torch.Tensor:
    """Each channel of x (B,C,H,W) filtered with kernel (4,4) after padding by (before, after) on both axes."""
    x = F.pad(x, (padding[0], padding[1], padding[0], padding[1]))
    channels = x.shape[1]
    return F.conv2d(x, (kernel * gain).expand(channels, 1, 4, 4), groups=channels)


def upsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x (B,C,H,W) to twice the size: zeros between the pixels, then the filter with gain 4."""
    b, c, h, w = x.shape
    spread = x.new_zeros(b, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return fir(spread.view(b, c, 2 * h, 2 * w), kernel, (2, 1), 4.0)


def downsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x (B,C,H,W) to half the size: the filter, then every second pixel."""
    return fir(x, kernel, (1, 1))[:, :, ::2, ::2]


class FullyConnected(nn.Module):
    """Linear layer: weight (out,in) scaled by lr / sqrt(in), bias by lr, optionally activated."""

    def __init__(
        self, inputs: int, outputs: int, *, activated: bool = False, lr: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.activated, self.lr, self.scale = activated, lr, lr / sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (...,in) -> (...,out)."""
        y = F.linear(x, self.weight * self.scale, self.bias * self.lr)
        return activate(y) if self.activated else y


class Convolution(nn.Module):
    """Plain convolution (B,in,H,W) -> (B,out,H,W), or half the size with `down`; weight scaled by 1/sqrt(in k^2)."""

    resample_filter: torch.Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, *, bias: bool = True, activated: bool = True, down: bool = False
    ) -> None:
        super().__init__()
        self.size, self.activated, self.down = size, activated, down
        self.scale = 1 / sqrt(inputs * size * size)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        weight = self.weight * self.scale
        if self.down:
            y = F.conv2d(fir(x, self.resample_filter, (2, 2)), weight, stride=2)
        else:
            y = F.conv2d(x, weight, padding=self.size // 2)
        if self.bias is not None:
            y = y + self.bias[:, None, None]
        return activate(y) if self.activated else y


class StyledConvolution(nn.Module):
    """3x3 convolution whose weight is modulated by w (B,W) and demodulated, then noise, bias, activation.

    `up` doubles the size. The noise is the constant one of the checkpoint.
    """

    resample_filter: torch.Tensor
    noise_const: torch.Tensor

    def __init__(self, inputs: int, outputs: int, w: int, resolution: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.affine = FullyConnected(w, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("resample_filter", binomial_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(
        self, x: torch.Tensor, w: torch.Tensor, *, noise: bool = True, clamp: float | None = None
    ) -> torch.Tensor:
        """x (B,in,H,W), w (B,W) -> (B,out,H,W)."""
        style = self.affine(w)
        modulated = self.weight[None] * style[:, None, :, None, None]
        demodulation = torch.rsqrt(modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        modulated = modulated * demodulation
        batch = len(x)
        images = []
        for i in range(batch):
            if self.up:
                y = F.conv_transpose2d(x[i : i + 1], modulated[i].transpose(0, 1), stride=2)
                y = fir(y, self.resample_filter, (1, 1), 4.0)
            else:
                y = F.conv2d(x[i : i + 1], modulated[i], padding=1)
            images.append(y)
        y = torch.cat(images)
        if noise:
            y = y + self.noise_const * self.noise_strength
        y = activate(y + self.bias[:, None, None])
        return y if clamp is None else y.clamp(-clamp, clamp)


class ToRGB(nn.Module):
    """1x1 convolution modulated by w, without demodulation or activation."""

    def __init__(self, inputs: int, outputs: int, w: int) -> None:
        super().__init__()
        self.scale = 1 / sqrt(inputs)
        self.affine = FullyConnected(w, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor, w: torch.Tensor, clamp: float | None = None) -> torch.Tensor:
        """x (B,in,H,W), w (B,W) -> (B,out,H,W)."""
        style = self.affine(w) * self.scale
        weight = self.weight[:, :, 0, 0] * style[:, None, :]
        y = torch.einsum("boi,bihw->bohw", weight, x) + self.bias[:, None, None]
        return y if clamp is None else y.clamp(-clamp, clamp)
