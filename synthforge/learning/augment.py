"""Augmentation of batches: drawn per sample from a generator of its own, applied to image and labels together.

Positions are in the centred unit frame u = 2 x / size - 1 (x right, y down, pixel centre i at i + 0.5): it is the same
for an image and for labels of any resolution, and the frame of `torch.nn.functional.grid_sample`.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from PIL import Image
from torch.nn import functional

from ..core.errors import ConfigError

#: how many patches one image is hidden by at most
PATCHES = 2
#: widest blur kernel; holds sigma up to 2 pixels
_KERNEL = 9
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Policy:
    """What is drawn. Plain numbers are sigmas, pairs are (probability, strongest).

    rotation: degrees; scale: of the log; shift: in sides of the image; perspective: the projective terms in the unit
    frame; flip: probability. brightness adds, contrast, saturation, colour (per channel) and gamma multiply (of the
    log). blur: sigma in pixels; noise: sigma in units of the range; erase: side of a patch in sides of the image;
    grey: probability; lowres: smallest factor of resolution; jpeg: lowest quality (before everything else, in `data`).
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    colour: float = 0.0
    gamma: float = 0.0
    grey: float = 0.0
    blur: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)
    erase: tuple[float, float] = (0.0, 0.0)
    lowres: tuple[float, float] = (0.0, 1.0)
    jpeg: tuple[float, float] = (0.0, 100.0)


_PAPER = Policy(
    rotation=18.0,
    scale=0.1,
    shift=0.05,
    perspective=0.05,
    flip=0.5,
    brightness=0.08,
    contrast=0.2,
    gamma=0.2,
    grey=0.1,
    blur=(0.3, 1.5),
    noise=(0.3, 0.05),
    erase=(0.3, 0.3),
)

POLICIES: dict[str, Policy] = {
    "none": Policy(),
    "light": Policy(
        rotation=5.0, scale=0.04, shift=0.015, flip=0.5, brightness=0.05, contrast=0.1, gamma=0.1, saturation=0.1
    ),
    "paper": _PAPER,
    # For renderings that must stand in for any photograph: cameras, compression, colour casts, low resolution.
    "strong": dataclasses.replace(
        _PAPER,
        brightness=0.1,
        contrast=0.25,
        saturation=0.3,
        colour=0.07,
        gamma=0.25,
        grey=0.12,
        blur=(0.35, 1.8),
        noise=(0.6, 0.045),
        lowres=(0.25, 0.3),
        jpeg=(0.3, 25.0),
    ),
}


def policy_of(reference: str | Mapping[str, Any]) -> Policy:
    """A policy by name, or `{policy: strong, rotation: 7}` to change some of its numbers. Raises ConfigError."""
    values = {} if isinstance(reference, str) else {str(k): v for k, v in reference.items()}
    name = reference if isinstance(reference, str) else values.pop("policy", "none")
    if name not in POLICIES:
        raise ConfigError(f"augmentation: there is no policy '{name}'", hint=f"Known: {', '.join(POLICIES)}.")
    known = [item.name for item in dataclasses.fields(Policy)]
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(f"augmentation.{key}: there is no such key", hint=f"Known: {', '.join(near or known)}.")
        pair = isinstance(getattr(Policy, key), tuple)
        numbers = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(numbers) != (2 if pair else 1) or not all(isinstance(n, (int, float)) for n in numbers):
            wanted = "a pair [probability, strongest]" if pair else "a number"
            raise ConfigError(f"augmentation.{key}: this is {wanted}, got {value!r}")
        values[key] = tuple(map(float, numbers)) if pair else float(numbers[0])
    return dataclasses.replace(POLICIES[name], **values)


def draw(
    policy: Policy,
    rng: np.random.Generator,
    *,
    margin: float = 1.0,
    jitter_shift: float = 0.0,
    jitter_scale: float = 0.0,
    wide: tuple[float, float] = (0.0, 1.0),
) -> dict[str, np.ndarray]:
    """The numbers of one sample's augmentation, float32; collate them along a new first axis for `apply`.

    matrix (3,3) maps source to output positions, both in the unit frame, where the source shows `margin` times the side
    of the output. The jitter moves and resizes the box before everything else; wide: (probability, how many times
    as much is shown at most). Draws the same count of numbers whatever the policy, so that changing one of its numbers
    leaves the others' draws alone.
    """
    normal = np.clip(rng.standard_normal(24), -2.5, 2.5)
    chance = rng.random(12)
    amount = rng.random(12)
    patches = rng.random((PATCHES, 7))

    def maybe(slot: int, pair: tuple[float, float], neutral: float = 0.0) -> float:
        return neutral + (pair[1] - neutral) * amount[slot] if chance[slot] < pair[0] else neutral

    flip = chance[0] < policy.flip
    jitter = _similarity(
        0.0, np.exp(jitter_scale * normal[0]) / maybe(8, wide, neutral=1.0), 2 * jitter_shift * normal[1:3]
    )
    angle, zoom = np.radians(policy.rotation * normal[3]), np.exp(policy.scale * normal[4])
    affine = _similarity(angle, zoom, 2 * policy.shift * normal[5:7])
    perspective = np.eye(3)
    perspective[2, :2] = np.clip(policy.perspective * normal[7:9], -0.2, 0.2)
    matrix = perspective @ affine @ jitter @ np.diag([margin, margin, 1.0])
    if flip:
        matrix = np.diag([-1.0, 1.0, 1.0]) @ matrix
    boxes = np.zeros((PATCHES, 4))
    if chance[1] < policy.erase[0]:
        count = 1 + int(amount[1] * PATCHES)
        sides = policy.erase[1] * (0.3 + 0.7 * patches[:count, 2:4])
        corners = patches[:count, 0:2] * (1.0 + sides) - sides
        boxes[:count] = np.concatenate([corners, corners + sides], axis=1)
    grey = chance[2] < policy.grey
    numbers = {
        "matrix": matrix,
        "flip": float(flip),
        "brightness": policy.brightness * normal[9],
        "contrast": np.exp(policy.contrast * normal[10]),
        "saturation": 0.0 if grey else np.exp(policy.saturation * normal[11]),
        "colour": np.exp(policy.colour * normal[12:15]),
        "gamma": np.exp(policy.gamma * normal[15]),
        "blur": maybe(3, policy.blur),
        "noise": maybe(4, policy.noise),
        "noise_seed": np.floor(amount[5] * 2**24),
        "lowres": maybe(6, policy.lowres, neutral=1.0),
        "jpeg": maybe(7, policy.jpeg, neutral=100.0),
        "boxes": boxes,
        "patch": patches[:, 4:7],
    }
    return {name: np.asarray(value, np.float32) for name, value in numbers.items()}


def _similarity(angle: float, zoom: float, shift: np.ndarray) -> np.ndarray:
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]], [0.0, 0.0, 1.0]])


def sampling_grid(matrix: torch.Tensor, size: int) -> torch.Tensor:
    """Where each output pixel lies in the source: matrix (B,3,3) source -> output to a grid (B,size,size,2)."""
    centres = (torch.arange(size, device=matrix.device, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    grid = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3)
    at = grid @ torch.linalg.inv(matrix.double()).float().transpose(1, 2)
    return (at[..., :2] / at[..., 2:]).view(len(matrix), size, size, 2)


def warp(x: torch.Tensor, grid: torch.Tensor, *, nearest: bool = False) -> torch.Tensor:
    """x (B,C,h,w) float read at `grid` (B,H,W,2); 0 outside."""
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(x, grid.to(x.dtype), mode=mode, padding_mode="zeros", align_corners=False)


def warp_points(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Points (B,N,2) in [0,1] moved by matrix (B,3,3), which acts in the unit frame."""
    centred = 2.0 * points - 1.0
    moved = centred @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 2]
    depth = (centred * matrix[:, None, 2, :2]).sum(-1, keepdim=True) + matrix[:, None, 2:, 2]
    return (moved / depth + 1.0) / 2.0


@torch.no_grad()
def photometric(images: torch.Tensor, numbers: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Change images (B,3,H,W) in [0,1] as `draw` has decided; the result is in [0,1]. Each image by its own numbers."""
    x = images.clone()
    for i in torch.nonzero(numbers["lowres"] < 1.0).flatten().tolist():
        x[i] = _low_resolution(x[i : i + 1], float(numbers["lowres"][i]))[0]
    chosen = torch.nonzero(numbers["blur"] > 0.05).flatten().tolist()
    if chosen:
        sigma = numbers["blur"][chosen, None].expand(-1, 2).to(x.device)
        x[chosen] = gaussian_blur2d(x[chosen], _KERNEL, sigma)
    x = _tone(x, {name: numbers[name].to(x.device) for name in _TONE})
    for i in torch.nonzero(numbers["noise"] > 0).flatten().tolist():
        # Drawn on the CPU, so that every device adds the same noise.
        generator = torch.Generator().manual_seed(int(numbers["noise_seed"][i]))
        noise = torch.randn(x.shape[1:], generator=generator)
        x[i] += noise.mul_(float(numbers["noise"][i])).to(x.device)
    for i, patch in torch.nonzero(numbers["boxes"][..., 2] > 0).tolist():
        hidden = erased({"boxes": numbers["boxes"][i : i + 1, patch : patch + 1]}, x.shape[-1])[0, 0].to(x.device)
        x[i] = torch.where(hidden, numbers["patch"][i, patch].to(x.device)[:, None, None], x[i])
    return x.clamp_(0.0, 1.0)


_TONE = ("brightness", "contrast", "saturation", "colour", "gamma")


def _tone(x: torch.Tensor, by: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Saturation, contrast, brightness and colour are one affine map of the channels; gamma follows."""
    count, _, height, width = x.shape
    luma = torch.tensor(_LUMA, device=x.device)
    saturation, contrast = by["saturation"][:, None, None], by["contrast"][:, None, None]
    matrix = saturation * torch.eye(3, device=x.device) + (1.0 - saturation) * luma
    mean = (x.mean(dim=(2, 3)) @ luma)[:, None, None]
    matrix, offset = contrast * matrix, (1.0 - contrast) * mean + by["brightness"][:, None, None]
    colour = by["colour"][:, :, None]
    x = torch.baddbmm(colour * offset, colour * matrix, x.reshape(count, 3, -1)).clamp_(1e-4, 1.0)
    # The power as exp(gamma log x): both are vectorised, the general power is not.
    return x.log_().mul_(by["gamma"][:, None, None]).exp_().view(count, 3, height, width)


def _low_resolution(x: torch.Tensor, factor: float) -> torch.Tensor:
    size = x.shape[-1]
    small = functional.interpolate(x, size=max(8, round(size * factor)), mode="bilinear", antialias=True)
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)


def compress(image: np.ndarray, quality: float) -> np.ndarray:
    """An image (H,W,3) uint8 through JPEG of that quality, as a camera or a web site would; 100 leaves it alone."""
    if quality >= 100.0:
        return image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=max(1, round(float(quality))))
    return np.array(Image.open(buffer, formats=("JPEG",)))


def erased(numbers: Mapping[str, torch.Tensor], size: int) -> torch.Tensor:
    """Which pixels each patch hides: (B,PATCHES,size,size) bool, on the device of the numbers."""
    boxes = numbers["boxes"]
    at = (torch.arange(size, device=boxes.device, dtype=torch.float32) + 0.5) / size
    columns = (at >= boxes[..., 0:1]) & (at < boxes[..., 2:3])
    rows = (at >= boxes[..., 1:2]) & (at < boxes[..., 3:4])
    return rows[..., :, None] & columns[..., None, :]
