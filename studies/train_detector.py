"""Train the face detector that ships with SynthForge (`models/detector`), on rendered people alone.

    python studies/train_detector.py OUT                     render, train, write OUT/detector

The pictures are those of the pipeline `detector` (configs/detector.yaml), rendered into OUT/data or, with --data, taken
from there. Each training picture is a collage of them: faces of 9 pixels to most of the picture, turned, mirrored, cut,
covered, degraded as photographs are. Among them lie textures, emblems and faces in disorder, which are no faces. A face
that shows few of its landmarks counts neither as one nor as none. Nothing real is read. It resumes where it stopped.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from second_look import follow, save
from synthforge_plugins.detectors.network import STRIDE, Centres, faces_of
from synthforge_plugins.policies import STRONG
from torchvision.ops import complete_box_iou_loss

from synthforge.core.progress import progress_bar
from synthforge.datasets.reader import ShardDataset
from synthforge.learning.augment import degrade, draw, photometric
from synthforge.learning.hardware import native_bf16

SETS, HELD = ("crowds", "around", "portraits"), "held"
SIZE, SMALLEST, LARGEST = 192, 9.0, 180.0
PICTURES, BATCH, RATE = 36_000, 8, 2e-3
#: shares of a face's 68 landmarks: one that shows fewer than the first is no face, than the second is ignored
NONE, SOME = 0.1, 0.36
#: a face's place in the map of centres: sigma in shares of its box; the box is learned where the map is above NEAR
SIGMA, NEAR = 0.1, 0.3
BOX_WEIGHT = 2.0
#: how often: a tile turned up to 75 degrees, a tile of no face, a picture of 1, 4 or 9 tiles, a thing in the way
TURNED, EMPTY, TILES, THINGS = 0.3, 0.08, (0.45, 0.45, 0.1), 0.5
TEXTURES, STAMPS = 240, 240
#: light, film and compression alone; what lies where is the collage's
POLICY = dataclasses.replace(STRONG, name="detector", rotation=0, scale=0, shift=0, perspective=0, flip=0, erase=(0, 0))
LEAST = 0.3  # of the figures printed while it trains


class Source(NamedTuple):
    """Rendered pictures (N,S,S,3) uint8, and of each its people: landmarks (P,68,2) in pixels and which are seen."""

    images: np.ndarray
    points: list[np.ndarray]
    seen: list[np.ndarray]


def render(folder: Path) -> None:
    """The datasets of the pipeline `detector`, or what of them is missing."""
    subprocess.run([sys.executable, "-m", "synthforge", "run", "detector", "--out", str(folder)], check=True)


def read(folder: Path) -> Source:
    """A dataset as arrays, decoded once into files beside it."""
    images, labels = (folder.with_name(f"{folder.name}.{end}") for end in ("npy", "npz"))
    if not labels.exists():
        data = ShardDataset(folder, fields=["image", "people"])
        shape = np.asarray(data[0]["image"]).shape
        pictures = np.lib.format.open_memmap(images, "w+", np.uint8, (len(data), *shape))
        points, seen, counts = [], [], []
        with progress_bar(f"read {folder.name}", len(data), unit="images") as advance:
            for index in range(len(data)):
                sample = data[index]
                pictures[index] = sample["image"]
                points += [each["landmarks2d"] for each in sample["people"]]
                seen += [each["landmark_visibility"] for each in sample["people"]]
                counts.append(len(sample["people"]))
                advance(1)
        pictures.flush()
        np.savez(labels, points=np.array(points, np.float32), seen=np.array(seen, bool), counts=counts)
    stored = np.load(labels)
    ends = np.cumsum(stored["counts"])[:-1]
    return Source(np.load(images, mmap_mode="r"), np.split(stored["points"], ends), np.split(stored["seen"], ends))


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
    count = int(rng.integers(4, 8))
    side = len(image) // count
    cut = image[: side * count, : side * count].reshape(count, side, count, side, 3).swapaxes(1, 2)
    mixed = rng.permutation(cut.reshape(-1, side, side, 3)).reshape(count, count, side, side, 3).swapaxes(1, 2)
    return Image.fromarray(np.ascontiguousarray(mixed.reshape(side * count, -1, 3))).resize((SIZE, SIZE))


class Collage:
    """Training pictures from rendered ones."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        ends = np.cumsum([len(each.images) for each in sources])
        self.ends, self.count = ends, int(ends[-1])
        rng = np.random.default_rng(3)
        self.textures = [texture(rng) for _ in range(TEXTURES)]
        self.stamps = [stamp(rng) for _ in range(STAMPS)]

    def _any(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index = int(rng.integers(self.count))
        which = int(np.searchsorted(self.ends, index, "right"))
        own = index - (int(self.ends[which - 1]) if which else 0)
        source = self.sources[which]
        return source.images[own], source.points[own], source.seen[own]

    def _background(self, rng: np.random.Generator, image: np.ndarray) -> Image.Image:
        back = disordered(image, rng) if rng.random() < 0.3 else self.textures[rng.integers(TEXTURES)]
        return back.rotate(90 * int(rng.integers(4)))

    def _tile(self, rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, np.ndarray, np.ndarray]:
        """A tile of the collage, its faces' landmarks and which are seen."""
        image, points, seen = self._any(rng)
        ground = self._background(rng, image).resize((width, height), reducing_gap=1.0)
        share = seen.mean(1)
        shown = np.flatnonzero(share >= SOME)
        if rng.random() < EMPTY:
            return ground, points[:0], seen[:0]
        side = max(width, height)
        size = math.exp(rng.uniform(math.log(max(SMALLEST, 0.08 * side)), math.log(min(LARGEST, 0.95 * side))))
        if len(shown):
            face = points[rng.choice(shown)]
            own, middle = float(np.ptp(face, axis=0).max()), (face.min(0) + face.max(0)) / 2
            zoom = min(max(size / own, 0.15), 2.5)
        else:
            zoom, middle = math.exp(rng.uniform(-1.5, 0.5)), rng.uniform(0, len(image), 2)
        angle = math.radians(rng.uniform(-75, 75) if rng.random() < TURNED else float(rng.normal(0, 12)))
        c, s = zoom * math.cos(angle), zoom * math.sin(angle)
        turn = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
        place = rng.uniform(0.15, 0.85, 2) * (width, height)
        offset = place - turn @ middle
        picture, smaller = Image.fromarray(image), 1
        while zoom * smaller < 0.6:
            smaller *= 2
        picture = picture.reduce(smaller) if smaller > 1 else picture
        back = np.linalg.inv(turn)
        start = -back @ offset
        numbers = np.column_stack([back, start])[:, :3] / smaller
        affine = (width, height), Image.Transform.AFFINE, tuple(numbers.ravel())
        cover = Image.new("L", picture.size, 255).transform(*affine)
        ground.paste(picture.transform(*affine, Image.Resampling.BILINEAR), mask=cover)
        moved = points @ turn.T + offset
        inside = ((moved > 0) & (moved < (width, height))).all(-1)
        return ground, moved.astype(np.float32), seen & inside

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A picture (SIZE,SIZE,3) uint8, boxes (N,4) of its people's landmarks, and which share of these is seen."""
        count = 1 + int(rng.choice(3, p=TILES))
        xs, ys = (
            np.r_[0, (SIZE * (np.arange(1, count) + rng.uniform(-0.25, 0.25, count - 1)) / count).round(), SIZE]
            for _ in range(2)
        )
        canvas, points, seen = Image.new("RGB", (SIZE, SIZE)), [], []
        for x0, x1 in zip(xs[:-1].astype(int), xs[1:].astype(int), strict=True):
            for y0, y1 in zip(ys[:-1].astype(int), ys[1:].astype(int), strict=True):
                tile, marked, shown = self._tile(rng, x1 - x0, y1 - y0)
                canvas.paste(tile, (int(x0), int(y0)))
                points.append(marked + np.array([x0, y0], np.float32))
                seen.append(shown)
        marked, shown = np.concatenate(points), np.concatenate(seen)
        while rng.random() < THINGS:
            size = round(math.exp(rng.uniform(math.log(8), math.log(150))))
            thing = self.stamps[rng.integers(STAMPS)].resize((size, size)).rotate(rng.uniform(0, 360))
            x, y = (int(v) for v in rng.uniform(-0.3 * size, SIZE - 0.7 * size, 2))
            canvas.paste(thing, (x, y), thing)
            shown &= ~(np.linalg.norm(marked - np.array([x, y]) - size / 2, axis=-1) < size / 2)
        boxes = np.concatenate([marked.min(1), marked.max(1)], 1) if len(marked) else np.zeros((0, 4), np.float32)
        return np.array(canvas), boxes, shown.mean(1) if len(shown) else np.zeros(0)

    def batch(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, list[np.ndarray], list[np.ndarray]]:
        """Pictures (count,3,SIZE,SIZE) as photographs might show them, boxes, shares seen."""
        pictures, boxes, shares = zip(*(self.draw(rng) for _ in range(count)), strict=True)
        drawn = [draw(POLICY, rng) for _ in range(count)]
        numbers = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
        degraded = np.stack([degrade(p, each, SIZE) for p, each in zip(pictures, drawn, strict=True)])
        pixels = torch.from_numpy(degraded).permute(0, 3, 1, 2).float() / 255
        return photometric(pixels.contiguous(), numbers), list(boxes), list(shares)


def targets(boxes: list[np.ndarray], shares: list[np.ndarray]) -> tuple[torch.Tensor, ...]:
    """The map of centres (B,h,w), 1 at a face's nearest place; where no face is known to be (B,h,w); and the places
    that learn a box: picture, row, column (M,3), box (M,4), weight (M,), which of one face add up to 1."""
    side = SIZE // STRIDE
    at = (np.arange(side) + 0.5) * STRIDE
    heat, known = np.zeros((len(boxes), side, side), np.float32), np.ones((len(boxes), side, side), bool)
    places, wanted, weights = [], [], []
    for picture, (own, share) in enumerate(zip(boxes, shares, strict=True)):
        for box, seen in zip(own, share, strict=True):
            x0, y0, x1, y1 = box
            width, height = x1 - x0, y1 - y0
            if seen < NONE:
                continue
            far = ((at - (x0 + x1) / 2) / width) ** 2 + ((at[:, None] - (y0 + y1) / 2) / height) ** 2
            if seen < SOME or max(width, height) < 0.8 * SMALLEST:
                known[picture] &= far > 0.25
                continue
            own_heat = np.exp(-far / (2 * SIGMA**2)).astype(np.float32)
            column, row = (int(np.clip(v / 2 // STRIDE, 0, side - 1)) for v in (x0 + x1, y0 + y1))
            own_heat[row, column] = 1.0
            heat[picture] = np.maximum(heat[picture], own_heat)
            rows, columns = np.nonzero(own_heat > NEAR)
            weight = own_heat[rows, columns]
            places += [(picture, r, c) for r, c in zip(rows, columns, strict=True)]
            wanted += [box] * len(rows)
            weights.append(weight / weight.sum())
    place = torch.tensor(places, dtype=torch.long).reshape(-1, 3)
    box = torch.from_numpy(np.array(wanted, np.float32).reshape(-1, 4))
    weight = torch.from_numpy(np.concatenate(weights)) if weights else torch.zeros(0)
    return torch.from_numpy(heat), torch.from_numpy(known), place, box, weight


def loss_of(scores: torch.Tensor, boxes: torch.Tensor, wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The penalty-reduced focal loss of CenterNet, a face's nearby places counting less as no face, and the complete
    IoU's of its box (Zheng et al. 2020), both for each face."""
    heat, known, place, box, weight = wanted
    positive = heat == 1
    chance = scores.sigmoid()
    log, log_not = torch.nn.functional.logsigmoid(scores), torch.nn.functional.logsigmoid(-scores)
    hit = ((1 - chance) ** 2 * log)[positive].sum()
    miss = ((1 - heat) ** 4 * chance**2 * log_not)[known & ~positive].sum()
    faces = max(1, int(positive.sum()))
    found = boxes[place[:, 0], place[:, 1], place[:, 2]]
    apart = (complete_box_iou_loss(found, box) * weight).sum() if len(place) else 0.0
    return (BOX_WEIGHT * apart - hit - miss) / faces


class Batches(torch.utils.data.IterableDataset[Any]):
    """What each step learns from: pictures, and what `targets` says of them; a function of the step alone."""

    def __init__(self, collage: Collage, steps: range) -> None:
        self.collage, self.steps = collage, steps

    def __iter__(self) -> Iterator[Any]:
        torch.set_num_threads(1)
        for step in self.steps:
            pixels, boxes, shares = self.collage.batch(np.random.default_rng([1, step]), BATCH)
            yield pixels, targets(boxes, shares)


def train(sources: list[Source], held: Source, pictures: int, checkpoint: Path) -> Centres:
    """A network that has learned from so many pictures, averaged over its last steps (EMA)."""
    torch.manual_seed(0)
    network = Centres().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    mean, step, steps = copy.deepcopy(network).eval(), 0, pictures // BATCH
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for part, name in ((network, "network"), (mean, "mean"), (optimiser, "optimiser")):
            part.load_state_dict(saved[name])
        step = saved["step"]
    kept, losses = time.time(), []
    loader = torch.utils.data.DataLoader(
        Batches(Collage(sources), range(step, steps)), batch_size=None, num_workers=1, prefetch_factor=4
    )
    with progress_bar("train", (steps - step) * BATCH, unit="pictures") as advance:
        for pixels, wanted in loader:
            rate = RATE * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / steps) + 0.005)
            optimiser.param_groups[0]["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16("cpu")):
                scores, found = network.train()(pixels.contiguous(memory_format=torch.channels_last))
            loss = loss_of(scores, found, wanted)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            step += 1
            losses.append(float(loss.detach()))
            follow(mean, network, 1 - min(0.998, step / (step + 10)))
            advance(BATCH)
            if step == steps or time.time() - kept > 240:
                save(checkpoint, network=network, mean=mean, optimiser=optimiser, step=step)
                found_share, false = held_out(mean, held)
                told = f"loss {np.mean(losses):.3f}, {found_share:.1f} % found, {false:.3f} false a picture"
                print(f"step {step} of {steps}: {told}", flush=True)
                losses.clear()
                kept = time.time()
    return mean


def held_out(network: Centres, held: Source, count: int = 100) -> tuple[float, float]:
    """Share of the faces found in rendered crowds, %, and boxes a picture without a face, be it an ignored one."""
    from torchvision.ops import box_iou

    hits, faces, false = 0, 0, 0
    with torch.inference_mode():
        for image, points, seen in zip(held.images[:count], held.points, held.seen, strict=False):
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
            scores, boxes = network(pixels)
            found = torch.tensor([box for _, box in faces_of(scores[0], boxes[0], LEAST)])
            shares = torch.from_numpy(seen.mean(1))
            truth = torch.from_numpy(np.concatenate([points.min(1), points.max(1)], 1))
            overlap = box_iou(truth, found) if len(found) else torch.zeros(len(truth), 1)
            hits += int((overlap.max(1).values[shares >= SOME] >= 0.5).sum())
            faces += int((shares >= SOME).sum())
            false += int((overlap[shares >= NONE].amax(0) < 0.3).sum()) if (shares >= NONE).any() else len(found)
    return 100 * hits / max(1, faces), false / count


def write(network: Centres, folder: Path) -> None:
    """The network in half precision, as `plugins/detectors/network.py` reads it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    print(f"{folder / 'model.safetensors'} written")


def main() -> None:
    """Parse the command line; render, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="to learn from in all")
    parser.add_argument("--data", type=Path, help="the rendered pipeline [default: OUT/data, rendered if need be]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data is None:
        render(options.out / "data")
    folder = options.data or options.out / "data"
    options.out.mkdir(parents=True, exist_ok=True)
    sources = [read(folder / name) for name in SETS]
    held = read(folder / HELD)
    network = train(sources, held, options.pictures, options.out / "detector.pt")
    write(network, options.out / "detector")


if __name__ == "__main__":
    main()
