"""Train the face detector that ships with SynthForge (`models/detector`), on rendered people alone.

    python studies/train_detector.py OUT                     render, train, write OUT/detector

The pictures are those of the pipeline `detector` (configs/detector.yaml), rendered into OUT/data or, with --data, taken
from there. Each training picture is a collage of them: faces of 9 pixels to most of the picture, turned, mirrored, cut,
covered, degraded as photographs are. Single people are cut out and stand before pictures of no face (no_faces.py);
those that the network takes for faces come up more often from then on. A face that shows few of its landmarks counts
neither as one nor as none. Nothing real is read. It resumes where it stopped.
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
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from no_faces import backgrounds, piece, stamp
from second_look import follow, save
from synthforge_plugins.detectors.network import STRIDE, Centres, faces_of
from synthforge_plugins.policies import STRONG
from torchvision.ops import complete_box_iou_loss

from synthforge.core.progress import progress_bar
from synthforge.datasets.reader import ShardDataset
from synthforge.learning.augment import degrade, draw, photometric
from synthforge.learning.hardware import native_bf16

SETS, CUT_OUT, PLACES, HELD = ("crowds", "around", "portraits"), ("faces", "turned"), "places", "held"
SIZE, SMALLEST, LARGEST = 256, 9.0, 240.0
PICTURES, BATCH, RATE = 100_000, 8, 2e-3
#: shares of a face's 68 landmarks: one that shows fewer than the first is no face, than the second is ignored
NONE, SOME = 0.1, 0.36
#: a face's place in the map of centres: sigma in shares of its box; the box is learned where the map is above NEAR
SIGMA, NEAR = 0.1, 0.3
BOX_WEIGHT = 2.0
#: how often: a tile turned up to 75 degrees, a tile of no face, a picture of 1, 4 or 9 tiles, a thing in the way
TURNED, EMPTY, TILES, THINGS = 0.3, 0.12, (0.45, 0.4, 0.15), 0.5
#: how often a tile shows a person cut out, and a background is one of those taken for faces, which are HARD of all
CUT, HARDER, HARD = 0.65, 0.4, 0.15
BACKGROUNDS, STAMPS, PIECES = 2000, 240, 600
#: so often in all the backgrounds are looked through for faces
LOOKS = 5
#: light, film and compression alone; what lies where is the collage's
POLICY = dataclasses.replace(STRONG, name="detector", rotation=0, scale=0, shift=0, perspective=0, flip=0, erase=(0, 0))
LEAST = 0.3  # of the figures printed while it trains


class Source(NamedTuple):
    """Rendered pictures (N,S,S,3) uint8, and of each its people: landmarks (P,68,2) in pixels and which are seen; of
    single people the class of each pixel (N,S,S), 0 behind them."""

    images: np.ndarray
    points: list[np.ndarray]
    seen: list[np.ndarray]
    classes: np.ndarray | None = None


def render(folder: Path) -> None:
    """The datasets of the pipeline `detector`, or what of them is missing."""
    subprocess.run([sys.executable, "-m", "synthforge", "run", "detector", "--out", str(folder)], check=True)


def read(folder: Path) -> Source:
    """A dataset as arrays, decoded once into files beside it."""
    images, shapes, labels = (folder.with_name(f"{folder.name}{end}") for end in (".npy", "_classes.npy", ".npz"))
    if not labels.exists():
        data = ShardDataset(folder)
        single = "segmentation" in data[0]
        shape = (len(data), *np.asarray(data[0]["image"]).shape)
        pictures = np.lib.format.open_memmap(images, "w+", np.uint8, shape)
        classes = np.lib.format.open_memmap(shapes, "w+", np.uint8, shape[:3]) if single else None
        points, seen, counts = [], [], []
        with progress_bar(f"read {folder.name}", len(data), unit="images") as advance:
            for index in range(len(data)):
                sample = data[index]
                pictures[index] = sample["image"]
                people = [sample] if classes is not None else sample["people"]
                if classes is not None:
                    classes[index] = sample["segmentation"]
                points += [each["landmarks2d"] for each in people]
                seen += [each["landmark_visibility"] for each in people]
                counts.append(len(people))
                advance(1)
        pictures.flush()
        np.savez(labels, points=np.array(points, np.float32), seen=np.array(seen, bool), counts=counts)
    stored = np.load(labels)
    ends = np.cumsum(stored["counts"])[:-1]
    parts = np.split(stored["points"], ends), np.split(stored["seen"], ends)
    return Source(np.load(images, mmap_mode="r"), *parts, np.load(shapes, mmap_mode="r") if shapes.exists() else None)


class Collage:
    """Training pictures from rendered ones."""

    def __init__(self, sources: list[Source], behind: np.ndarray) -> None:
        self.cut, self.whole = ([s for s in sources if (s.classes is not None) is cut] for cut in (True, False))
        self.behind, self.hard = behind, np.arange(len(behind))
        rng = np.random.default_rng(3)
        self.things = [stamp(rng) for _ in range(STAMPS)]
        while self.cut and len(self.things) < STAMPS + PIECES:
            source, own = self._any(rng, self.cut)
            assert source.classes is not None
            part = piece(source.images[own], source.classes[own], rng)
            self.things += [part] if part else []

    def _any(self, rng: np.random.Generator, sources: list[Source]) -> tuple[Source, int]:
        ends = np.cumsum([len(each.images) for each in sources])
        index = int(rng.integers(ends[-1]))
        which = int(np.searchsorted(ends, index, "right"))
        return sources[which], index - (int(ends[which - 1]) if which else 0)

    def _background(self, rng: np.random.Generator, width: int, height: int) -> Image.Image:
        among = self.hard if rng.random() < HARDER else np.arange(len(self.behind))
        picture = Image.fromarray(self.behind[rng.choice(among)])
        side = rng.uniform(0.25, 1) * picture.width
        x, y = rng.uniform(0, picture.width - side, 2)
        turned = picture.transpose(Image.Transpose(int(rng.integers(7))))
        return turned.resize((width, height), box=(x, y, x + side, y + side), reducing_gap=1.0)

    def _tile(self, rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, np.ndarray, np.ndarray]:
        """A tile of the collage, its faces' landmarks and which are seen."""
        ground = self._background(rng, width, height)
        source, own = self._any(rng, self.cut if self.cut and rng.random() < CUT else self.whole)
        image, points, seen = source.images[own], source.points[own], source.seen[own]
        if rng.random() < EMPTY:
            return ground, points[:0], seen[:0]
        shown = np.flatnonzero(seen.mean(1) >= SOME)
        side = max(width, height)
        size = math.exp(rng.uniform(math.log(max(SMALLEST, 0.08 * side)), math.log(min(LARGEST, 0.95 * side))))
        if len(shown):
            face = points[rng.choice(shown)]
            extent, middle = float(np.ptp(face, axis=0).max()), (face.min(0) + face.max(0)) / 2
            zoom = min(max(size / extent, 0.08), 2.5)
        else:
            zoom, middle = math.exp(rng.uniform(-1.5, 0.5)), rng.uniform(0, len(image), 2)
        angle = math.radians(rng.uniform(-75, 75) if rng.random() < TURNED else float(rng.normal(0, 12)))
        c, s = zoom * math.cos(angle), zoom * math.sin(angle)
        turn = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
        offset = rng.uniform(0.15, 0.85, 2) * (width, height) - turn @ middle
        picture, smaller = Image.fromarray(image), 1
        if source.classes is None:
            cover = Image.new("L", picture.size, 255)
        else:  # a pixel less all around: at its edge shows what was behind
            cover = Image.fromarray(np.where(source.classes[own] > 0, np.uint8(255), np.uint8(0)))
            cover = cover.filter(ImageFilter.MinFilter(3))
        while zoom * smaller < 0.6:
            smaller *= 2
        if smaller > 1:
            picture, cover = picture.reduce(smaller), cover.reduce(smaller)
        back = np.linalg.inv(turn)
        numbers = np.column_stack([back, -back @ offset]) / smaller
        affine = (width, height), Image.Transform.AFFINE, tuple(numbers.ravel())
        cover = cover.transform(*affine, Image.Resampling.BILINEAR)
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
            thing = self.things[rng.integers(len(self.things))].resize((size, size)).rotate(rng.uniform(0, 360))
            x, y = (int(v) for v in rng.uniform(-0.3 * size, SIZE - 0.7 * size, 2))
            canvas.paste(thing, (x, y), thing)
            shown &= ~(np.linalg.norm(marked - np.array([x, y]) - size / 2, axis=-1) < size / 2)
        boxes = np.concatenate([marked.min(1), marked.max(1)], 1) if len(marked) else np.zeros((0, 4), np.float32)
        return np.array(canvas), boxes, shown.mean(1) if len(shown) else np.zeros(0)

    def batch(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, list[np.ndarray], list[np.ndarray]]:
        """Pictures (count,3,SIZE,SIZE) as photographs might show them, boxes, shares seen."""
        sides = []
        for _ in range(count // 2):  # shown twice, once mirrored: drawing takes longer than learning
            picture, own, seen = self.draw(rng)
            turned = own[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array(
                [SIZE, 0, SIZE, 0], np.float32
            )
            sides += [(picture, own, seen), (np.ascontiguousarray(picture[:, ::-1]), turned, seen)]
        pictures, boxes, shares = zip(*sides, strict=True)
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


def train(collage: Collage, held: Source, pictures: int, checkpoint: Path, fuse: bool) -> Centres:
    """A network that has learned from so many pictures, averaged over its last steps (EMA). fuse: torch.compile."""
    torch.manual_seed(0)
    network = Centres().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    mean, step, steps = copy.deepcopy(network).eval(), 0, pictures // BATCH
    stride = -(-steps // LOOKS)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for part, name in ((network, "network"), (mean, "mean"), (optimiser, "optimiser")):
            part.load_state_dict(saved[name])
        step, collage.hard = saved["step"], saved["hard"].numpy()
    ask = torch.compile(network) if fuse else network
    kept, losses = time.time(), []
    with progress_bar("train", (steps - step) * BATCH, unit="pictures") as advance:
        while step < steps:
            until = min(steps, (step // stride + 1) * stride)
            for pixels, wanted in torch.utils.data.DataLoader(
                Batches(collage, range(step, until)), batch_size=None, num_workers=1, prefetch_factor=4
            ):
                rate = RATE * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / steps) + 0.005)
                optimiser.param_groups[0]["lr"] = rate
                network.train()
                with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16("cpu")):
                    scores, found = ask(pixels.contiguous(memory_format=torch.channels_last))
                loss = loss_of(scores, found, wanted)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimiser.step()
                step += 1
                losses.append(float(loss.detach()))
                follow(mean, network, 1 - min(0.998, step / (step + 10)))
                advance(BATCH)
                if step == until < steps:
                    collage.hard = mistaken(mean, collage.behind)
                if step in (until, steps) or time.time() - kept > 120:
                    hard = torch.from_numpy(collage.hard)
                    save(checkpoint, network=network, mean=mean, optimiser=optimiser, step=step, hard=hard)
                    found_share, false = held_out(mean, held)
                    told = f"loss {np.mean(losses):.3f}, {found_share:.1f} % found, {false:.3f} false a picture"
                    print(f"step {step} of {steps}: {told}", flush=True)
                    losses.clear()
                    kept = time.time()
    return mean


def mistaken(network: Centres, pictures: np.ndarray) -> np.ndarray:
    """Which of pictures without a face the network is surest to see one in: HARD of them."""
    surest = np.zeros(len(pictures))
    with torch.inference_mode():
        for index, picture in enumerate(pictures):
            pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
            surest[index] = float(network.fast()(pixels)[0].max())
    return np.sort(np.argsort(surest)[-round(HARD * len(pictures)) :])


def held_out(network: Centres, held: Source, count: int = 60) -> tuple[float, float]:
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
    parser.add_argument(
        "--compile", action="store_true", help="fuse operations (torch.compile): faster, needs a C++ compiler"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.data or options.out / "data"
    if options.data is None:
        render(folder)
    options.out.mkdir(parents=True, exist_ok=True)
    sources = [read(folder / name) for name in (*SETS, *CUT_OUT)]
    large = [s.images for s in sources if s.classes is not None]
    behind = backgrounds(options.out / "backgrounds.npy", BACKGROUNDS, large, read(folder / PLACES).images)
    held = read(folder / HELD)
    network = train(Collage(sources, behind), held, options.pictures, options.out / "detector.pt", options.compile)
    write(network, options.out / "detector")


if __name__ == "__main__":
    main()
