"""Losses that belong to no single task: the affine self-supervised term and learned task weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from ..core.interfaces import Task
from . import augment
from .config import SelfSupervisionConfig

Prediction = Mapping[str, torch.Tensor]

#: all rows and columns
EVERY = (slice(None), slice(None))


def draw_affine(config: SelfSupervisionConfig, count: int, generator: torch.Generator) -> torch.Tensor:
    """Random affine maps A (count,3,3) in the unit frame, from a generator on the CPU."""
    normal = torch.randn(count, 4, generator=generator).clamp(-2.5, 2.5)
    angle = torch.deg2rad(config.rotation * normal[:, 0])
    zoom = torch.exp(config.scale * normal[:, 1])
    matrix = torch.eye(3).repeat(count, 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom * torch.cos(angle)
    matrix[:, 1, 0] = zoom * torch.sin(angle)
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, :2, 2] = 2 * config.shift * normal[:, 2:]
    return matrix


def transform(x: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A x for maps or images x (B,C,H,W) square, and where it is known: (B,1,H,W) in [0,1], 0 outside of x."""
    grid = augment.sampling_grid(matrix, x.shape[-1])
    inside = (grid.abs() <= 1.0 - 1.0 / x.shape[-1]).all(-1)[:, None]
    return augment.warp(x, grid), inside.to(x.dtype)


def map_consistency(of_moved: torch.Tensor, of_plain: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """mean |f(A x) - A f(x)| over the region that A f(x) is known in; maps (B,C,h,w) (paper, section 3.2)."""
    moved, inside = transform(of_plain.float(), matrix)
    error = (of_moved.float() - moved).abs() * inside
    return error.sum() / (inside.sum() * error.shape[1]).clamp_min(1.0)


def prediction_consistency(
    task: Task, of_moved: Prediction, of_plain: Prediction, matrix: torch.Tensor
) -> torch.Tensor:
    """The same for what of a task's prediction moves with the image: points (B,N,2) are moved, maps are warped."""
    total = torch.zeros((), device=matrix.device)
    moved = task.moving(of_moved)
    for key, plain in task.moving(of_plain).items():
        if plain.ndim == 4:
            total = total + map_consistency(moved[key], plain, matrix)
            continue
        wanted = augment.warp_points(plain.float(), matrix)
        inside = ((wanted > 0) & (wanted < 1)).all(-1)
        error = (moved[key].float() - wanted).abs().sum(-1) * inside
        total = total + error.sum() / inside.sum().clamp_min(1)
    return total


def some_pixels(stride: int) -> tuple[slice, slice]:
    """Every `stride`-th row and column, from random first ones; the loop seeds torch each step."""
    if stride == 1:
        return EVERY
    first = torch.randint(stride, (2,)).tolist()
    return slice(first[0], None, stride), slice(first[1], None, stride)


def thinned(
    target: Mapping[str, torch.Tensor], size: tuple[int, int], pixels: tuple[slice, slice]
) -> dict[str, torch.Tensor]:
    """A task's targets at the chosen pixels: maps (B,...,H,W) are cut, points and flags are not."""
    return {k: v[..., pixels[0], pixels[1]] if tuple(v.shape[-2:]) == size else v for k, v in target.items()}


@torch.no_grad()
def each_loss(task: Task, prediction: Prediction, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A task's loss of every sample of a batch by itself, (B,)."""
    count = len(next(iter(target.values())))
    rows = [slice(i, i + 1) for i in range(count)]
    return torch.stack(
        [task.loss({k: v[row] for k, v in prediction.items()}, {k: v[row] for k, v in target.items()}) for row in rows]
    )


class TaskWeights(nn.Module):
    """The weighted sum of task losses: fixed, or learned as exp(-s) loss + s (Kendall et al. 2018), s = -log weight."""

    def __init__(self, weights: Mapping[str, float], *, learned: bool) -> None:
        super().__init__()
        self.names = tuple(weights)
        self.learned = learned
        start = torch.tensor([float(weights[name]) for name in self.names])
        if learned:
            self.log_variance = nn.Parameter(-torch.log(start.clamp_min(1e-6)))
        else:
            self.register_buffer("fixed", start, persistent=False)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """A scalar from scalars by task name."""
        stacked = torch.stack([losses[name] for name in self.names])
        if self.learned:
            return (torch.exp(-self.log_variance) * stacked + self.log_variance).sum()
        return (self.get_buffer("fixed") * stacked).sum()


def resized_logits(x: torch.Tensor, size: tuple[int, int], pixels: tuple[slice, slice] = EVERY) -> torch.Tensor:
    """Maps (B,K,h,w) brought to (B,K,*size) by bilinear interpolation, only rows and columns `pixels` of it.

    Computed as two matrix products, one for rows and one for columns. PyTorch's own kernel takes twenty times as long
    to differentiate on a CPU if the maps are not channels-last. For 24 images of 29 classes, 24 to 96 pixels, it took
    200 ms instead of 10.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x[..., pixels[0], pixels[1]]
    rows = _interpolation(x.shape[-2], size[0])[pixels[0]].to(x)
    columns = _interpolation(x.shape[-1], size[1])[pixels[1]].to(x)
    return rows @ x @ columns.T


@functools.cache
def _interpolation(given: int, wanted: int) -> torch.Tensor:
    """Matrix (wanted, given) of bilinear weights, half-pixel centres, edges repeated."""
    size = [wanted, 1]
    # Kept for training too, which refuses tensors made while predicting.
    with torch.inference_mode(False):
        rows = torch.eye(given)[None, :, :, None]
        return functional.interpolate(rows, size=size, mode="bilinear", align_corners=False)[0, :, :, 0].T.contiguous()


def to_size(
    task: Task, prediction: Mapping[str, torch.Tensor], size: tuple[int, int], pixels: tuple[slice, slice] = EVERY
) -> dict[str, torch.Tensor]:
    """A task's prediction with its maps brought to (H,W), or to those rows and columns of it."""
    return {k: _resized(v, size, pixels) if k in task.maps else v for k, v in prediction.items()}


def _resized(x: torch.Tensor, size: tuple[int, int], pixels: tuple[slice, slice]) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):  # bf16 would round depth to centimetres
        return resized_logits(x.float(), size, pixels)
