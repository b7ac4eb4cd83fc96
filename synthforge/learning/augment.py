"""Augmentation of batches: drawn per sample from a generator of its own, applied to image and labels together.

Positions are in the centred unit frame u = 2 x / size - 1 (x right, y down, pixel centre i at i + 0.5). It is that of
`torch.nn.functional.grid_sample`, the same for an image and for labels of any resolution.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from kornia.filters import get_gaussian_kernel1d
from PIL import Image
from torch.nn import functional

from .policies import Policy

#: how many patches one image is hidden by at most
PATCHES = 2
#: cells a side of the light that changes over a picture
SHADES = 4
#: a blur reaches this many sigmas
_REACH = 2.25
#: in how many places the bank of noise can be read
_PLACES = 2**20
_LUMA = (0.299, 0.587, 0.114)


def draw(
    policy: Policy,
    rng: np.random.Generator,
    *,
    margin: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    jitter_shift: float = 0.0,
    jitter_scale: float = 0.0,
    wide: tuple[float, float] = (0.0, 1.0),
) -> dict[str, np.ndarray]:
    """The numbers of one sample's augmentation, float32; collate them along a new first axis for
    `sampling_grid`, `warp_points` and `photometric`.

    matrix (3,3) maps source to output positions, both in the unit frame. Before anything is drawn the source shows
    `margin` times the side of the output, its centre at `offset` of the output's unit frame. The jitter moves and
    resizes the box before everything else; wide: (probability, how many times as much is shown at most). Draws the
    same count of numbers whatever the policy, so that changing one of its numbers leaves the others' draws alone.
    """
    normal = np.clip(rng.standard_normal(24), -2.5, 2.5)
    chance = rng.random(12)
    amount = rng.random(12)
    patches = rng.random((PATCHES, 7))
    field, sudden = rng.standard_normal((SHADES, SHADES)), rng.random()

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
    matrix = perspective @ affine @ jitter @ _similarity(0.0, margin, np.asarray(offset))
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
        "shade": maybe(9, policy.shade),
        "shade_field": (1.0 + 7.0 * sudden**2) * field,
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
    back = torch.linalg.inv(matrix.double()).float()
    columns = back[:, :, 0, None, None] * centres
    rows = (back[:, :, 1, None] * centres + back[:, :, 2, None])[..., None]
    at = rows + columns  # (B,3,size,size), homogeneous
    # One plane for x, one for y: written and read faster than pairs.
    return (at[:, :2] / at[:, 2:]).permute(0, 2, 3, 1)


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
    shaded = torch.nonzero(numbers["shade"] > 0).flatten()
    blurred = torch.nonzero(numbers["blur"] > 0.05).flatten().tolist()
    x = images.clone() if blurred or len(shaded) else images
    if len(shaded):
        field = numbers["shade_field"][shaded, None].to(x.device)
        field = functional.interpolate(field, size=x.shape[-2:], mode="bicubic", align_corners=True).tanh()
        shaded = shaded.to(x.device)
        x[shaded] *= (numbers["shade"].to(x.device)[shaded, None, None, None] * field).exp()
    for i in blurred:
        x[i] = _blur(x[i], float(numbers["blur"][i]))
    x = _tone(x, {name: numbers[name].to(x.device) for name in _TONE})
    noisy = torch.nonzero(numbers["noise"] > 0).flatten().tolist()
    bank = _noise_bank(x[0].numel(), x.device) if noisy else x
    for i in noisy:
        start = int(numbers["noise_seed"][i]) % _PLACES
        x[i].add_(bank[start : start + x[i].numel()].view(x[i].shape), alpha=float(numbers["noise"][i]))
    colours = numbers["patch"].to(x.device)
    for i, patch, rows, columns in _patches(numbers["boxes"], x.shape[-1]):
        x[i, :, rows, columns] = colours[i, patch, :, None, None]
    return x.clamp_(0.0, 1.0)


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images (...,H,W) through a Gaussian; the border is mirrored.

    As a weighted sum of shifted copies: three times as fast on a CPU as kornia's, a convolution channel by channel.
    """
    reach = max(1, math.ceil(_REACH * sigma))
    weights = get_gaussian_kernel1d(2 * reach + 1, sigma)[0].tolist()
    x = functional.pad(x, (reach,) * 4, mode="reflect")
    for dim in (-1, -2):
        length = x.shape[dim] - 2 * reach
        total = x.narrow(dim, 0, length) * weights[0]
        for start in range(1, len(weights)):
            total.add_(x.narrow(dim, start, length), alpha=weights[start])
        x = total
    return x


@functools.lru_cache(maxsize=4)
def _noise_bank(count: int, device: torch.device) -> torch.Tensor:
    """Standard normal numbers, the same on every device: `count` of them from any of `_PLACES` places are one noise.

    Drawing numbers for every image would take ten times as long as adding them.
    """
    with torch.inference_mode(False):
        generator = torch.Generator().manual_seed(0)
        return torch.randn(_PLACES + count, generator=generator).to(device)


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


def degrade(image: np.ndarray, numbers: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """A source image (S,S,3) uint8 as a poor camera or a web site would leave it: JPEG, then low resolution.

    numbers: of `draw`, for one image. size: pixels of the output, which the drawn resolution is a share of.
    """
    image = compress(image, float(numbers["jpeg"]))
    if numbers["lowres"] < 1.0:
        # How large the whole source would be in the output.
        zoom = math.sqrt(abs(float(np.linalg.det(numbers["matrix"][:2, :2]))))
        pixels = max(8, round(float(numbers["lowres"]) * zoom * size))
        if pixels < len(image):
            image = resized(resized(image, pixels), len(image))
    return image


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square image (H,H,3) uint8 at (size,size,3): triangle-weighted means if that is smaller, bilinear if larger.

    PyTorch's kernel for bytes: within one grey level of Pillow's, and three times as fast.
    """
    x = torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)
    x = functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1)[0].numpy()


def compress(image: np.ndarray, quality: float) -> np.ndarray:
    """An image (H,W,3) uint8 through JPEG of that quality, as a camera or a web site would; 100 leaves it alone."""
    if quality >= 100.0:
        return image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=max(1, round(float(quality))))
    return np.array(Image.open(buffer, formats=("JPEG",)))


def erased(numbers: Mapping[str, torch.Tensor], size: int) -> torch.Tensor:
    """Which pixels patches hide: (B,size,size) bool, on the CPU."""
    hidden = torch.zeros(len(numbers["boxes"]), size, size, dtype=torch.bool)
    for i, _, rows, columns in _patches(numbers["boxes"], size):
        hidden[i, rows, columns] = True
    return hidden


def _patches(boxes: torch.Tensor, size: int) -> Iterator[tuple[int, int, slice, slice]]:
    """Image, patch, rows and columns of the drawn patches (B,PATCHES,4): the pixels whose centres they hold."""
    edges = torch.ceil(boxes * size - 0.5).clamp_(0, size).int().tolist()
    for i, patch in torch.nonzero(boxes[..., 2] > 0).tolist():
        x0, y0, x1, y1 = edges[i][patch]
        yield i, patch, slice(y0, y1), slice(x0, x1)
