"""The layers of StyleGAN2 (Karras et al. 2020) that Next3D and EG3D are built from.

Parameter and buffer names are those of the published checkpoints, so that a state dict loads strictly. Weights are
stored at unit scale and scaled when used ("equalised learning rate"). A new layer holds no values yet: load a state
dict or call `randomise`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
import torch.nn.functional as F
from torch import nn

from . import upsampling, winograd
from .winograd import Sink

LEAK, GAIN = 0.2, sqrt(2.0)
Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))


def winograd_pays(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether x (B,C,H,W) is better convolved with weight (O,I,3,3) by `winograd`: many channels and pixels."""
    tall, wide = x.shape[2:]
    whole_tiles = tall % winograd.TILE == 0 and wide % winograd.TILE == 0
    return x.device.type == "cpu" and min(weight.shape[:2]) >= 128 and whole_tiles and tall * wide >= 32 * 32


def upsampling_pays(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """The same question of `upsampling`."""
    tall, wide = x.shape[2:]
    whole_tiles = tall % winograd.TILE == 0 and wide % winograd.TILE == 0
    enough = len(weight) >= 128 and weight.shape[1] >= 32
    return x.device.type == "cpu" and enough and whole_tiles and tall * wide > 32 * 32


def products_pay(x: torch.Tensor, weight: torch.Tensor, most: int = 16) -> bool:
    """Whether matrix products with weight (O,I,3,3) as it lies in memory are better: up to `most` squared pixels.

    A convolution would first copy the weight into its own order, which takes longer than all the rest.
    """
    few = x.shape[2] * x.shape[3] <= most * most
    return x.device.type == "cpu" and few and weight.is_contiguous(memory_format=torch.channels_last)


def convolve_few(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Zero-padded 3x3 correlation of x (1,I,H,W) with weight (O,I,3,3) in channels-last order."""
    height, width = x.shape[2:]
    padded = F.pad(x[0].permute(1, 2, 0), (0, 0, 1, 1, 1, 1))
    inputs = padded.shape[2]
    across, down = inputs, (width + 2) * inputs
    windows = padded.as_strided((height, width, 3, 3, inputs), (down, across, down, across, 1))
    y = torch.mm(windows.reshape(height * width, -1), weight.permute(0, 2, 3, 1).reshape(len(weight), -1).T)
    return y.view(1, height, width, -1).permute(0, 3, 1, 2)


def convolve_up_few(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Transposed convolution, stride 2, of x (1,I,H,W) with weight (O,I,3,3) in channels-last order."""
    height, width = x.shape[2:]
    pixels = x[0].permute(1, 2, 0).reshape(height * width, -1)
    spread = x.new_zeros(2 * height + 1, 2 * width + 1, len(weight))
    for row in range(3):
        for column in range(3):
            product = torch.mm(pixels, weight[:, :, row, column].T).view(height, width, -1)
            spread[row : row + 2 * height : 2, column : column + 2 * width : 2] += product
    return spread[None].permute(0, 3, 1, 2)


class Derived:
    """Something computed from a weight, and computed again when the weight has changed."""

    def __init__(self, make: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._make = make
        self._of: tuple[int, int] | None = None
        self._value = torch.empty(0)

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        state = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if self._of != state:
            self._of, self._value = state, self._make(weight)
        return self._value


def _energy(weight: torch.Tensor) -> torch.Tensor:
    """Sum of squares (O,I) of the taps of a weight (O,I,3,3)."""
    return weight.square().sum((2, 3))


def rows_of(x: torch.Tensor, i: int) -> torch.Tensor:
    """Sample i of x (B,C,H,W) as (H,W,C)."""
    return x[i].permute(1, 2, 0)


def per_sample(make: Callable[[int], torch.Tensor], batch: int) -> torch.Tensor:
    """A batch (B,C,H,W) from `make(i)`, which gives (1,C,H,W) or (H,W,C)."""
    images = [make(i) for i in range(batch)]
    images = [image[None].permute(0, 3, 1, 2) if image.dim() == 3 else image for image in images]
    return images[0] if batch == 1 else torch.cat(images)


def binomial_filter() -> torch.Tensor:
    """The resampling filter (4,4): outer product of [1,3,3,1], sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64


def activate(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU with slope 0.2 and gain sqrt 2."""
    return F.leaky_relu(x, LEAK) * GAIN


def fir(
    x: torch.Tensor, kernel: torch.Tensor, padding: int, gain: float = 1.0, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Each channel of x (B,C,H,W) filtered with kernel (4,4), zeros `padding` wide around it; bias (C) added."""
    channels = x.shape[1]
    taps = (kernel * gain).expand(channels, 1, 4, 4).contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, taps, bias, padding=padding, groups=channels)


def upsample(x: torch.Tensor) -> torch.Tensor:
    """x (B,C,H,W) to twice the size: zeros between the pixels, then the binomial filter with gain 4.

    Which is bilinear interpolation, of an image that is zero outside.
    """
    return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


def downsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x (B,C,H,W) to half the size: the filter, then every second pixel."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), padding=1, stride=2, groups=channels)


def _kernels(outputs: int, inputs: int, size: int) -> torch.Tensor:
    return torch.empty((outputs, inputs, size, size), memory_format=torch.channels_last)


def randomise(network: nn.Module, generator: torch.Generator) -> None:
    """Give every layer of a network the weights it would start training with, drawn from a generator."""
    for module in network.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if not tensor.is_floating_point() or name == "resample_filter":
                continue
            with torch.no_grad():
                if name in ("weight", "const", "noise_const"):
                    tensor.normal_(generator=generator).div_(getattr(module, "lr", 1.0))
                else:
                    tensor.fill_(getattr(module, "initial_bias", 0.0) if name == "bias" else 0.0)


class FullyConnected(nn.Module):
    """Linear layer: weight (out,in) scaled by lr / sqrt(in), bias by lr, optionally activated."""

    def __init__(
        self, inputs: int, outputs: int, *, activated: bool = False, lr: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.activated, self.lr, self.scale, self.initial_bias = activated, lr, lr / sqrt(inputs), bias
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

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
        self._kernel = Derived(winograd.transform_kernel)
        self.scale = 1 / sqrt(inputs * size * size)
        self.weight = nn.Parameter(_kernels(outputs, inputs, size))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Images (B,Ci,H,W), taken together as one of `inputs` channels."""
        gain = GAIN if self.activated else 1.0  # leaky ReLU is linear in a positive gain: it goes into the weights
        bias = None if self.bias is None else self.bias * gain
        if not self.down and self.size == 3 and winograd_pays(parts[0], self.weight):
            y = per_sample(lambda i: self._fast([rows_of(x, i) for x in parts], gain, bias), len(parts[0]))
        else:
            x = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
            if not self.down and self.size == 3 and products_pay(x, self.weight):
                y = per_sample(lambda i: convolve_few(x[i : i + 1], self.weight), len(x)).mul_(self.scale * gain)
                y = y if bias is None else y.add_(bias[:, None, None])
            else:
                weight = (self.weight * (self.scale * gain)).contiguous(memory_format=torch.channels_last)
                if self.down:
                    y = F.conv2d(fir(x, self.resample_filter, 2), weight, bias, stride=2)
                else:
                    y = F.conv2d(x, weight, bias, padding=self.size // 2)
        return F.leaky_relu_(y, LEAK) if self.activated else y

    def _fast(self, parts: list[torch.Tensor], gain: float, bias: torch.Tensor | None) -> torch.Tensor:
        """(H,W,O) without the activation."""
        y = parts[0].new_empty(*parts[0].shape[:2], len(self.weight))
        scale = y.new_full((len(self.weight),), self.scale * gain)
        shift = torch.zeros_like(scale) if bias is None else bias

        def keep(rows: torch.Tensor, first: int) -> None:
            y[first : first + len(rows)] = rows

        with winograd.on_canvas([(part, None) for part in parts]) as whole:
            winograd.convolve(whole, self._kernel(self.weight), scale, shift, keep)
        return y


class StyledConvolution(nn.Module):
    """3x3 convolution whose weight is modulated by w (B,W) and demodulated, then noise, bias, activation.

    `up` doubles the size. The noise is the constant one of the checkpoint.
    """

    resample_filter: torch.Tensor
    noise_const: torch.Tensor

    def __init__(self, inputs: int, outputs: int, w: int, resolution: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self._kernel = Derived(upsampling.transform_up_kernel if up else winograd.transform_kernel)
        self._energy = Derived(_energy)
        self.affine = FullyConnected(w, inputs, bias=1.0)
        self.weight = nn.Parameter(_kernels(outputs, inputs, 3))
        self.noise_strength = nn.Parameter(torch.empty(()))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("resample_filter", binomial_filter())
        self.register_buffer("noise_const", torch.empty(resolution, resolution))

    def forward(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        *,
        noise: bool = True,
        clamp: float | None = None,
        window: Window = WHOLE,
    ) -> torch.Tensor:
        """x (B,in,H,W), w (B,W) -> (B,out,H,W); window: the part of the whole image that the output is."""
        style, scale = self.modulation(w)
        if self.streams(x):

            def one(i: int) -> torch.Tensor:
                size = 2 if self.up else 1
                y = x.new_empty(size * x.shape[2], size * x.shape[3], len(self.weight))

                def keep(rows: torch.Tensor, first: int) -> None:
                    y[first : first + len(rows)] = rows

                with winograd.on_canvas([(rows_of(x, i), style[i])], self.after) as whole:
                    self.stream(whole, scale[i], keep, noise=noise, clamp=clamp, window=window)
                return y

            return per_sample(one, len(x))
        bias = self.bias * GAIN
        y = per_sample(lambda i: self._direct(x[i : i + 1], style[i], scale[i], bias), len(x))
        if noise:
            y.add_(self._grain(window))
        F.leaky_relu_(y, LEAK)
        return y if clamp is None else y.clamp_(-clamp, clamp)

    def modulation(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Factors of the inputs (B,in) and of the outputs (B,out), the activation's gain among the latter."""
        style = self.affine(w)
        return style, GAIN * torch.rsqrt(style.square() @ self._energy(self.weight).T + 1e-8)

    def _grain(self, window: Window) -> torch.Tensor:
        return self.noise_const[window] * (self.noise_strength * GAIN)

    def streams(self, x: torch.Tensor) -> bool:
        """Whether `stream` is the fast way for inputs of this shape (B,in,H,W)."""
        return upsampling_pays(x, self.weight) if self.up else winograd_pays(x, self.weight)

    @property
    def after(self) -> int:
        """Zeros that `stream` needs behind the image on its canvas."""
        return upsampling.AFTER if self.up else 1

    def stream(
        self,
        whole: torch.Tensor,
        scale: torch.Tensor,
        sink: Sink,
        *,
        noise: bool,
        clamp: float | None,
        window: Window = WHOLE,
    ) -> None:
        """Convolve one modulated image on its canvas and hand the activated rows (n,W,out) to `sink`."""
        grain = self._grain(window) if noise else None

        def finish(rows: torch.Tensor, first: int) -> None:
            if grain is not None:
                rows.add_(grain[first : first + len(rows), :, None])
            F.leaky_relu_(rows, LEAK)
            if clamp is not None:
                rows.clamp_(-clamp, clamp)
            sink(rows, first)

        kernel, shift = self._kernel(self.weight), self.bias * GAIN
        if self.up:
            upsampling.convolve_up(whole, kernel, scale, shift, finish, self.resample_filter * 4)
        else:
            winograd.convolve(whole, kernel, scale, shift, finish)

    def _direct(self, x: torch.Tensor, style: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        # modulate whichever is smaller, the image or the weight
        if 9 * len(self.weight) > x.shape[2] * x.shape[3]:
            x, weight = x * style[:, None, None], self.weight
            scale, shift = scale[:, None, None], bias[:, None, None]
            return self._plain(x, weight, None).mul_(scale).add_(shift)
        return self._plain(x, self.weight * (scale[:, None] * style)[:, :, None, None], bias)

    def _plain(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        products = bias is None and products_pay(x, weight, 32 if self.up else 16)
        if not self.up:
            if products:
                return convolve_few(x, weight)
            return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=1)
        if products:
            spread = convolve_up_few(x, weight)
        else:
            turned = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            spread = F.conv_transpose2d(x, turned, stride=2)
        return fir(spread, self.resample_filter, 1, 4.0, bias)


class ToRGB(nn.Module):
    """1x1 convolution modulated by w, without demodulation or activation."""

    def __init__(self, inputs: int, outputs: int, w: int) -> None:
        super().__init__()
        self.scale = 1 / sqrt(inputs)
        self.affine = FullyConnected(w, inputs, bias=1.0)
        self.weight = nn.Parameter(_kernels(outputs, inputs, 1))
        self.bias = nn.Parameter(torch.empty(outputs))

    def modulated(self, w: torch.Tensor) -> torch.Tensor:
        """The weights (B,in,out) of each sample."""
        return (self.weight[:, :, 0, 0] * (self.affine(w) * self.scale)[:, None]).mT

    def forward(self, x: torch.Tensor, w: torch.Tensor, clamp: float | None = None) -> torch.Tensor:
        """x (B,in,H,W), w (B,W) -> (B,out,H,W)."""
        style = self.affine(w) * self.scale
        y = per_sample(lambda i: F.conv2d(x[i : i + 1], self.weight * style[i, :, None, None], self.bias), len(x))
        return y if clamp is None else y.clamp_(-clamp, clamp)
