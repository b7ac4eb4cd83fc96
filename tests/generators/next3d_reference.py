"""Next3D's arithmetic written as plainly as possible, to hold the fast path against on any weights.

Modulates weights, convolves directly, samples planes with `grid_sample`, gathers and sorts as the papers say.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F

State = dict[str, torch.Tensor]


def leaky(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.2) * sqrt(2)


def affine(state: State, name: str, w: torch.Tensor) -> torch.Tensor:
    weight = state[f"{name}.affine.weight"]
    return F.linear(w, weight / sqrt(weight.shape[1]), state[f"{name}.affine.bias"])


def filtered(x: torch.Tensor, before: int, after: int, gain: float) -> torch.Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64 * gain
    return F.conv2d(F.pad(x, (before, after, before, after)).flatten(0, 1)[:, None], kernel[None, None]).view(
        *x.shape[:2], x.shape[2] + before + after - 3, x.shape[3] + before + after - 3
    )


def zero_inserted(x: torch.Tensor) -> torch.Tensor:
    spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    return spread


def styled(state: State, name: str, x: torch.Tensor, w: torch.Tensor, up: bool, superres: bool) -> torch.Tensor:
    weight = state[f"{name}.weight"][None] * affine(state, name, w)[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    rows = []
    for image, kernel in zip(x, weight, strict=True):
        if up:
            rows.append(filtered(F.conv_transpose2d(image[None], kernel.transpose(0, 1), stride=2), 1, 1, 4.0))
        else:
            rows.append(F.conv2d(image[None], kernel, padding=1))
    y = torch.cat(rows)
    if not superres:
        y = y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    y = leaky(y + state[f"{name}.bias"][:, None, None])
    return y.clamp(-256, 256) if superres else y


def block(
    state: State, name: str, x: Any, image: Any, ws: torch.Tensor, superres: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    w = list(ws.unbind(1))
    if f"{name}.const" in state:
        x = state[f"{name}.const"].expand(len(ws), -1, -1, -1)
    else:
        x = styled(state, f"{name}.conv0", x, w.pop(0), True, superres)
    x = styled(state, f"{name}.conv1", x, w.pop(0), False, superres)
    weight = state[f"{name}.torgb.weight"]
    style = affine(state, f"{name}.torgb", w.pop(0)) / sqrt(weight.shape[1])
    rgb = torch.einsum("oi,bi,bihw->bohw", weight[:, :, 0, 0], style, x) + state[f"{name}.torgb.bias"][:, None, None]
    if superres:
        rgb = rgb.clamp(-256, 256)
    return x, rgb if image is None else rgb + filtered(zero_inserted(image), 2, 1, 4.0)


def plain(state: State, name: str, x: torch.Tensor, activated: bool, down: bool = False) -> torch.Tensor:
    weight = state[f"{name}.weight"]
    weight = weight / sqrt(weight[0].numel())
    y = (
        F.conv2d(filtered(x, 2, 2, 1.0), weight, stride=2)
        if down
        else F.conv2d(x, weight, padding=weight.shape[2] // 2)
    )
    if f"{name}.bias" in state:
        y = y + state[f"{name}.bias"][:, None, None]
    return leaky(y) if activated else y


def synthesis(
    state: State, name: str, ws: torch.Tensor, last: int, condition: torch.Tensor | None = None, first: int = 4
) -> torch.Tensor:
    encoded: list[torch.Tensor] = []
    x = image = None
    level = 0
    while condition is not None and f"{name}.encoder.{level}.conv1.weight" in state:
        stem = f"{name}.encoder.{level}"
        condition = condition if not level else filtered(condition, 1, 1, 1.0)[:, :, ::2, ::2]
        y = plain(state, f"{stem}.fromrgb", condition, False)
        x = y if x is None else y + x
        x = plain(state, f"{stem}.conv2", plain(state, f"{stem}.conv1", x, True), True, down=True)
        encoded.append(x)
        level += 1
    x = None
    size, i, depth = 4, 0, 0
    while size <= last:
        if size >= first:
            if encoded:
                feature = encoded.pop()
                both = feature if x is None else torch.cat([x, feature], 1)
                x = plain(state, f"{name}.fusion.{depth}", both, False)
            depth += 1
            x, image = block(state, f"{name}.b{size}", x, image, ws[:, max(0, 2 * i - 1) : 2 * i + 2])
        size, i = 2 * size, i + 1
    assert image is not None
    return image


def superresolution(state: State, features: torch.Tensor, w: torch.Tensor, size: int) -> torch.Tensor:
    x = F.interpolate(features, size=(size, size), mode="bilinear", antialias=True)
    ws = w[:, None].expand(-1, 3, -1)
    x, image = block(state, "superresolution.block0", x, x[:, :3], ws, superres=True)
    return block(state, "superresolution.block1", x, image, ws, superres=True)[1]


def query(
    state: State, planes: torch.Tensor, axes: torch.Tensor, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Density (B,N) and colour (B,N,32) at points (B,N,3)."""
    total = torch.zeros(())
    for i in range(3):
        grid = (points * 2) @ torch.linalg.inv(axes[i].float())[:, :2]
        total = total + F.grid_sample(planes[:, i], grid[:, None], align_corners=False)[:, :, 0].mT / 3
    for name in ("decoder.net.0", "decoder.net.2"):
        weight = state[f"{name}.weight"]
        total = F.linear(total, weight / sqrt(weight.shape[1]), state[f"{name}.bias"])
        total = F.softplus(total) if name.endswith("0") else total
    return total[..., 0], torch.sigmoid(total[..., 1:]) * 1.002 - 0.001
