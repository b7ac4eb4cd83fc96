"""Pictures and things without a face, that a face detector learns to leave alone (studies/train_detector.py).

Drawn from random numbers and from rendered people: textures, writing, leaves that lie on each other (Lee et al. 2001),
what a network of random weights draws (Baradad et al. 2021), emblems, rendered faces in disorder, and pieces of people.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from synthforge_plugins.schemas import SYNTHFORGE
from torch.nn import functional

from synthforge.core.progress import progress_bar

SIZE = 320
#: classes of a rendered person that are shown alone: each is no face
PIECES = (
    *(("hair",), ("hair", "hat"), ("torso", "cloth", "neck"), ("cloth",), ("torso",), ("occluder",), ("face_mask",)),
    *(
        ("left_ear", "right_ear"),
        ("upper_lip", "lower_lip", "inner_mouth", "teeth"),
        ("left_eye", "left_lid", "left_brow"),
    ),
)


def texture(rng: np.random.Generator, size: int = SIZE) -> Image.Image:
    """A picture of no face: noise of several scales, stripes, checks, bricks, writing, shapes."""
    low, high = (tuple(int(v) for v in _colour(rng)) for _ in range(2))
    kind = rng.integers(6)
    if kind < 2:
        weight, total = rng.uniform(0.3, 0.9), np.zeros((size, size))
        for octave in range(2, 8):
            noise = Image.fromarray(rng.random((2**octave, 2**octave)).astype(np.float32) - 0.5)
            total += weight**octave * np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC))
        share = (total - total.min()) / np.ptp(total)
        return Image.fromarray((share[..., None] * low + (1 - share[..., None]) * high).astype(np.uint8))
    image = Image.new("RGB", (size, size), low)
    pen = ImageDraw.Draw(image)
    if kind == 2:  # stripes or checks
        step, checks = int(rng.integers(3, 60)), rng.random() < 0.5
        for i in range(0, size, 2 * step):
            pen.rectangle((i, 0, i + step, size), fill=high)
            if checks:
                pen.rectangle((0, i, size, i + step), outline=low, fill=None, width=max(1, step // 3))
        return image.rotate(rng.uniform(0, 180), fillcolor=high)
    if kind == 3:  # writing
        font = ImageFont.load_default(int(rng.integers(8, 50)))
        for y in range(0, size, int(rng.integers(12, 60))):
            pen.text((rng.integers(-20, 60), y), _letters(rng, 24), fill=high, font=font)
        return image
    for _ in range(rng.integers(3, 60)):  # shapes, of many colours or of the colours of skin and hair
        x, y = rng.uniform(-30, size, 2)
        w, h = np.exp(rng.uniform(math.log(4), math.log(120), 2))
        fill = _skin(rng) if kind == 4 else tuple(int(v) for v in _colour(rng))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=fill)
    return image


def _colour(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(0, 255)
    return grey + rng.uniform(0, 1) ** 2 * (rng.uniform(0, 255, 3) - grey)


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ  abcdefghijklmnopqrstuvwxyz0123456789.,-"), count))


def _skin(rng: np.random.Generator) -> tuple[int, int, int]:
    light, red = rng.uniform(40, 240), rng.uniform(0.55, 0.9)
    return int(light), int(light * red), int(light * red * rng.uniform(0.6, 1.0))


def stamp(rng: np.random.Generator, size: int = 96) -> Image.Image:
    """An emblem, a bare limb or a smooth ball (RGBA): round things that are no faces."""
    image = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(image)
    colours = [(*(int(v) for v in rng.integers(0, 256, 3)), 255) for _ in range(5)]
    inset = int(rng.integers(0, size // 4))
    box = (0, inset, size - 1, size - 1 - inset)
    if rng.random() < 0.3:  # skin without a face
        skin = np.array(_skin(rng))
        pen.ellipse(box, fill=(*(int(v) for v in skin), 255))
        grid = np.mgrid[:size, :size] / size - 0.5
        angle = rng.uniform(0, 2 * math.pi)
        shade = 1 + rng.uniform(0.2, 1.2) * (math.cos(angle) * grid[0] + math.sin(angle) * grid[1])
        pixels = np.asarray(image).astype(float)
        pixels[..., :3] *= shade[..., None]
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw_outer = pen.ellipse if rng.random() < 0.7 else pen.rectangle
    draw_outer(box, fill=colours[0], outline=colours[1], width=int(rng.integers(1, 12)))
    middle = size / 2
    for _ in range(rng.integers(1, 9)):
        x, y = rng.normal(middle, size / 5, 2)
        r, colour = rng.uniform(2, size / 4), colours[rng.integers(1, 5)]
        kind = rng.integers(5)
        if kind == 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        elif kind == 1:
            pen.arc((x - 2 * r, y - 2 * r, x + 2 * r, y + 2 * r), *rng.uniform(0, 360, 2), fill=colour, width=3)
        elif kind == 2:
            pen.regular_polygon((x, y, r), int(rng.integers(3, 7)), int(rng.integers(0, 360)), fill=colour)
        elif kind == 3:
            pen.text((x - 2 * r, y), _letters(rng, 6), fill=colour, font=ImageFont.load_default(max(6, r)))
        else:
            pen.line((*rng.uniform(0, size, 4),), fill=colour, width=int(rng.integers(1, 8)))
    return image


def disordered(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A rendered picture whose squares have changed places: skin, hair and eyes, and no face."""
    count = int(rng.integers(6, 10))
    side = len(image) // count
    cut = image[: side * count, : side * count].reshape(count, side, count, side, 3).swapaxes(1, 2)
    mixed = rng.permutation(cut.reshape(-1, side, side, 3)).reshape(count, count, side, side, 3).swapaxes(1, 2)
    return Image.fromarray(np.ascontiguousarray(mixed.reshape(side * count, -1, 3))).resize((SIZE, SIZE))


def piece(image: np.ndarray, classes: np.ndarray, rng: np.random.Generator, size: int = 96) -> Image.Image | None:
    """Hair, clothes, an ear, a mouth or another part of a rendered person alone (RGBA), None where too little shows."""
    names = PIECES[rng.integers(len(PIECES))]
    mask = np.isin(classes, [SYNTHFORGE.classes.index(name) for name in names])
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if mask.sum() < 60 or min(np.ptp(rows), np.ptp(columns)) < 6:
        return None
    cut = np.dstack([image, 255 * mask.astype(np.uint8)])[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    square = Image.new("RGBA", (max(cut.shape[:2]),) * 2)
    square.paste(Image.fromarray(cut))
    return square.resize((size, size))


def random_network(rng: np.random.Generator, size: int = SIZE) -> Image.Image:
    """What a generator of random weights draws: noise through convolutions at growing sizes."""
    torch.manual_seed(int(rng.integers(2**31)))
    channels, x = 24, torch.randn(1, 24, 5, 5)
    while x.shape[-1] < size:
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        weight = torch.randn(channels, channels, 3, 3) * (torch.rand(channels, channels, 1, 1) < rng.uniform(0.1, 0.6))
        x = functional.leaky_relu(
            functional.conv2d(x, weight, padding=1) + rng.uniform(0, 0.5) * torch.randn_like(x), 0.2
        )
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3)
    y = torch.tensordot(torch.randn(3, channels) / channels**0.5, x[0], 1)[:, :size, :size]
    y = torch.lerp(y.mean(0, keepdim=True), y, rng.uniform(0, 1))  # mostly muted colours
    y = (255 * (rng.uniform(0.3, 0.7) + rng.uniform(0.1, 0.35) * y + 0.1 * torch.randn(3, 1, 1))).clamp(0, 255)
    return Image.fromarray(y.permute(1, 2, 0).byte().numpy())


def leaves(
    rng: np.random.Generator, fill: Callable[[np.random.Generator], Image.Image], size: int = SIZE
) -> Image.Image:
    """Shapes on top of each other, many small and few large ones, each filled with a piece of a picture and shaded."""
    image = fill(rng).resize((size, size))
    for _ in range(int(rng.integers(10, 90))):
        side = int(min(0.8 * size, rng.uniform(8, 30) * rng.random() ** -0.7))
        shape = Image.new("L", (side, side))
        pen, kind = ImageDraw.Draw(shape), rng.integers(4)
        if kind == 0:
            pen.ellipse((0, 0, side - 1, side - 1), fill=255)
        elif kind == 1:
            pen.rounded_rectangle((0, 0, side - 1, side - 1), side * rng.uniform(0, 0.5), fill=255)
        else:
            turns = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 12)))
            far = side / 2 * rng.uniform(0.3 if kind == 2 else 0.8, 1, len(turns))
            pen.polygon(
                [(side / 2 + r * math.cos(t), side / 2 + r * math.sin(t)) for t, r in zip(turns, far, strict=True)],
                fill=255,
            )
        tall = max(3, int(side * rng.uniform(0.2, 1)))
        shape = shape.resize((side, tall)).rotate(rng.uniform(0, 180), expand=True)
        picture = fill(rng)
        wide = int(rng.integers(20, min(picture.size)))
        x, y = (int(rng.integers(0, n - wide + 1)) for n in picture.size)
        pixels = np.asarray(picture.resize(shape.size, box=(x, y, x + wide, y + wide), reducing_gap=1.0), np.float32)
        across = np.linspace(-1, 1, shape.width)[None, :, None] * rng.normal(0, 0.3)
        down = np.linspace(-1, 1, shape.height)[:, None, None] * rng.normal(0, 0.3)
        pixels = (pixels * np.clip(rng.uniform(0.6, 1.3) + across + down, 0, 3)).clip(0, 255).astype(np.uint8)
        at = tuple(int(v) for v in rng.uniform(-0.4 * side, size - 0.4 * side, 2))
        image.paste(Image.fromarray(pixels), at, shape)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4))) if rng.random() < 0.3 else image


def backgrounds(path: Path, count: int, people: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """So many pictures of no face (count,SIZE,SIZE,3) uint8, kept in a file; people, places: rendered pictures."""
    if path.exists():
        return np.load(path, mmap_mode="r")
    pictures = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.uint8, (count, SIZE, SIZE, 3))
    rng = np.random.default_rng(3)
    simple = count // 3

    def fill(rng: np.random.Generator) -> Image.Image:
        """A background drawn before, or a face in disorder."""
        images = people[rng.integers(len(people))]
        if rng.random() < 0.2:
            return disordered(images[rng.integers(len(images))], rng)
        return Image.fromarray(pictures[rng.integers(index)])

    with progress_bar("draw backgrounds", count, unit="images") as advance:
        for index in range(count):
            if index >= simple:
                picture = leaves(rng, fill)
            elif index < len(places):
                picture = Image.fromarray(places[index]).resize((SIZE, SIZE))
            else:
                picture = (texture, random_network)[int(rng.random() < 0.4)](rng)
            pictures[index] = np.asarray(picture)
            advance(1)
    pictures.flush()
    path.with_suffix(".part").rename(path)
    return np.load(path, mmap_mode="r")
