"""Does a second look at eyes and mouth bring points of photographs nearer to annotated ones? Trains it, and scores it.

    python studies/second_look.py models/face OUT --faces 3000 --minutes 10     CPU minutes a network
    python studies/second_look.py models/face OUT --score DIR                   DIR: a folder of 300W (helen/, lfpw/)

The first call renders pictures of 512 pixels, most of each filled by its face. On patches of them it trains one network
for both eyes and one for the mouth (`synthforge.learning.looks`). It writes the model with its second look to
OUT/model, and resumes where it stopped. The encoders start as the model's own. Nothing real is read.

The second call scores training photographs of 300W, every sixth of helen/trainset and lfpw/trainset, with and without
the second look. It prints NME by region in % of the distance of the outer eye corners, raw and with one constant offset
a landmark, and the paired bootstrap interval. Offsets are fitted on one half and scored on the other, mean of 8 splits.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import io
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.policies import STRONG
from synthforge_plugins.schemas import IBUG68

from synthforge.core.frames import apply
from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets.crops import tight_box
from synthforge.learning.augment import degrade, draw, photometric, sampling_grid, warp, warp_points
from synthforge.learning.export import export_model
from synthforge.learning.hardware import native_bf16
from synthforge.learning.looks import SecondLook, SecondLookInfo, build_looks, looks_of
from synthforge.learning.model import FaceModel, load_model
from synthforge.learning.patches import cut
from synthforge.prediction.predictor import Predictor

MIRROR = IBUG68.mirror
RIGHT, MOUTH = tuple(range(36, 42)), tuple(range(48, 68))
LEFT, TURNED = (tuple(MIRROR[point] for point in part) for part in (RIGHT, MOUTH))
#: The mouth is looked at twice, as it is and mirrored, and each eye at two sizes; a share counts for each of these.
LOOKS = {
    "eyes": SecondLookInfo(
        "keypoints", (RIGHT, LEFT) * 2, (False, True) * 2, (0.36, 0.36, 0.29, 0.29), size=64, share=0.4
    ),
    "mouth": SecondLookInfo("keypoints", (MOUTH, TURNED), (False, True), side=0.56, size=80, share=0.4),
}
#: points that face each other, by place in a network's order: lids; borders of lips and the opening, widths
FACING = {
    "eyes": ((1, 5), (2, 4), (0, 3), (0, 1), (3, 2)),
    "mouth": (
        *((2, 13), (3, 14), (4, 15), (8, 17), (9, 18), (10, 19), (13, 19), (14, 18), (15, 17)),
        *((0, 6), (1, 11), (5, 7)),
    ),
}
FACING_WEIGHT = 0.7
LIKELIHOOD_WEIGHT, WARM_UP = 0.05, 0.1
#: of a part's points; a face that shows fewer is not learned from
SEEN = 0.65
#: faces larger in the picture than by default: an eye's patch is 100 to 150 pixels
GENERATOR = {
    "name": "anny",
    "batch_size": 4,
    "camera": {
        "face_fraction": {"kind": "uniform", "low": 0.45, "high": 0.66},
        "shift_x": {"kind": "normal", "mean": 0.0, "std": 0.02, "low": -0.05, "high": 0.05},
    },
}
SEED, RESOLUTION, SHARD = 71, 512, 20
ROOM = 1.5  # what is kept of a face around a patch, for shifts and turns
HELD_OUT, BATCH, RATE = 300, 24, 1e-3
#: a patch turns, moves and changes size about as much as first looks at photographs err
POLICY = dataclasses.replace(
    STRONG, name="look", rotation=6.0, scale=0.09, shift=0.035, perspective=0.03, flip=0.0, default=0
)


def render(folder: Path, faces: int) -> None:
    """Shards of JPEG pictures and their points (N,68,2), by the generator's seed and index."""
    plugins = load_plugins()
    generator = plugins.build("generator", GENERATOR, where="studies")
    annotator = plugins.build("annotator", {"name": "landmarks", "contour": "visible"}, where="studies")
    folder.mkdir(parents=True, exist_ok=True)
    fields = ("landmarks2d", "landmark_visibility")
    with progress_bar("render", faces, unit="faces") as advance:
        for first in range(0, faces, SHARD):
            path = folder / f"{first:06d}.npz"
            if not path.exists():
                pictures: list[np.ndarray] = []
                labels: list[list[np.ndarray]] = []
                for start in range(first, first + SHARD, 4):
                    scenes = [generator.sample(SEED, index) for index in range(start, start + 4)]
                    for rendering in generator.render(scenes, RESOLUTION):
                        buffer = io.BytesIO()
                        Image.fromarray(rendering.image).save(buffer, "JPEG", quality=96)
                        pictures.append(np.frombuffer(buffer.getvalue(), np.uint8))
                        annotation = annotator.annotate(rendering)
                        labels.append([annotation[field] for field in fields])
                ends = np.cumsum([len(picture) for picture in pictures])
                points, seen = (np.stack(column) for column in zip(*labels, strict=True))
                jpeg = np.concatenate(pictures)
                np.savez(path.with_suffix(".part.npz"), jpeg=jpeg, ends=ends, points=points, seen=seen)
                os.replace(path.with_suffix(".part.npz"), path)
            advance(SHARD)


def faces_of(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pictures (H,W,3) uint8, their points (68,2) and which of these are seen (68,)."""
    for path in sorted(folder.glob("[0-9]*[0-9].npz")):
        shard = np.load(path)
        for jpeg, *labels in zip(
            np.split(shard["jpeg"], shard["ends"][:-1]), shard["points"], shard["seen"], strict=True
        ):
            yield np.array(Image.open(io.BytesIO(jpeg.tobytes()))), *labels


def patches(folder: Path, info: SecondLookInfo) -> tuple[np.ndarray, np.ndarray]:
    """What lies around every part: (M,S,S,3) uint8, `ROOM` times the patch, and its points (M,N,2) in [0,1] of that."""
    size = round(info.size * ROOM * 1.2)
    images, targets = [], []
    for picture, points, seen in faces_of(folder):
        dx, dy = points[IBUG68.eye_corners[1]] - points[IBUG68.eye_corners[0]]
        box = tight_box(points)
        largest = max(box[2] - box[0], box[3] - box[1])
        for part, mirrored, share in zip(info.parts, info.mirrored, info.sides, strict=True):
            side = ROOM * share * largest
            mine = points[list(part)]
            if seen[list(part)].mean() < SEEN:
                continue
            image, matrix = cut(picture, mine.mean(0), side, size, math.atan2(dy, dx), mirrored)
            target = apply(matrix, mine) / size
            if ((target > 0) & (target < 1)).all():
                images.append((image.permute(1, 2, 0) * 255).round().byte().numpy())
                targets.append(target)
    return np.stack(images), np.stack(targets).astype(np.float32)


def batch(
    images: np.ndarray, targets: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches (B,3,size,size) as photographs might show them, and their points (B,N,2) in [0,1]."""
    drawn = [draw(POLICY, rng, margin=ROOM) for _ in chosen]
    numbers = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
    source = np.stack([degrade(images[i], each, size) for i, each in zip(chosen, drawn, strict=True)])
    pixels = torch.from_numpy(source).permute(0, 3, 1, 2).float() / 255.0
    pixels = photometric(warp(pixels, sampling_grid(numbers["matrix"], size)).contiguous(), numbers)
    return pixels, warp_points(torch.from_numpy(targets[chosen]), numbers["matrix"])


def start_from(model: FaceModel, info: SecondLookInfo) -> SecondLook:
    """A network that starts as the model's own second look at these points. Where it has none, every part starts as the
    model's first look; the output head as the rows of the points it answers."""
    look = SecondLook(info, model.network.mean, model.network.std)
    for known in looks_of(model):
        if list(known.info.parts[0]) == list(info.parts[0]):
            look.load_state_dict(known.state_dict())
            return look
    own, rows = model.state_dict(), list(info.parts[0])
    state = {}
    for name in look.state_dict():
        value = own[name if name.startswith("backbone.") else name.replace("head.", f"heads.{info.task}.", 1)]
        state[name] = value[rows] if name.startswith("head.net.net.") else value
    look.load_state_dict(state)
    return look


def train(model: FaceModel, info: SecondLookInfo, folder: Path, minutes: float, checkpoint: Path) -> SecondLook:
    """A network trained for as many CPU minutes, averaged over its last steps (EMA)."""
    info = dataclasses.replace(info, width=model.network.width, channels=model.network.channels)
    images, targets = patches(folder, info)
    count = len(images) - HELD_OUT
    torch.manual_seed(0)
    look = start_from(model, info).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    one, other = (list(column) for column in zip(*FACING[checkpoint.stem], strict=True))
    # how far off each coordinate may be, for the loss alone: hidden parts weigh less
    spread = torch.nn.Linear(info.channels, 2 * info.points)
    learned = torch.nn.ModuleList([look.requires_grad_(True), spread])
    optimiser = torch.optim.AdamW(learned.parameters(), lr=RATE, weight_decay=0.02)
    mean, step, spent = copy.deepcopy(look).eval(), 0, 0.0
    rng = np.random.default_rng(1)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for part, name in ((learned, "learned"), (mean, "mean"), (optimiser, "optimiser")):
            part.load_state_dict(saved[name])
        step, spent = saved["step"], saved["spent"]
        rng = np.random.default_rng(step)
    shown, wanted = batch(images, targets, np.arange(count, len(images)), np.random.default_rng(7), info.size)
    start, kept = time.process_time() - spent, time.time()
    with progress_bar(checkpoint.stem, round(60 * minutes), unit="CPU s") as advance:
        while spent < 60 * minutes:
            before = spent
            share = spent / (60 * minutes)
            rate = RATE * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * share) + 0.005)
            optimiser.param_groups[0]["lr"] = rate
            pixels, points = batch(images, targets, rng.integers(0, count, BATCH), rng, info.size)
            there = ((points > 0) & (points < 1)).all(-1).float()
            scaled = ((pixels - look.mean) / look.std).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16("cpu")):
                features = look.train().backbone(scaled)
            features = features.float()  # heatmaps want more than the 8 bits of bf16
            error = look.head(features)["points"] - points
            log_sigma = (spread(features.mean((2, 3))).view_as(error) - 4.0).clamp(-7.0, -1.0)
            likelihood = (math.sqrt(2) * error.abs() * torch.exp(-log_sigma) + log_sigma).sum(-1)  # Laplace's
            apart = (error[:, one] - error[:, other]) * there[:, one, None]
            loss = (length(error) * there).mean() + FACING_WEIGHT * (length(apart) * there[:, other]).mean()
            if share > WARM_UP:
                loss = loss + LIKELIHOOD_WEIGHT * (likelihood * there).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned.parameters(), 2.0)
            optimiser.step()
            step += 1
            follow(mean, look, 1 - min(0.999, step / (step + 10)))
            spent = time.process_time() - start
            advance(spent - before)
            if time.time() - kept > 120:
                save(checkpoint, learned=learned, mean=mean, optimiser=optimiser, step=step, spent=spent)
                kept = time.time()
                print(f"{checkpoint.stem} step {step}: {held_out(mean, shown, wanted):.3f} % of the side", flush=True)
    save(checkpoint, learned=learned, mean=mean, optimiser=optimiser, step=step, spent=spent)
    print(f"{checkpoint.stem} step {step}: {held_out(mean, shown, wanted):.3f} % of the side", flush=True)
    return mean


def length(error: torch.Tensor) -> torch.Tensor:
    """(...,2) -> (...), differentiable at zero."""
    return error.square().sum(-1).add(1e-8).sqrt()


def follow(mean: torch.nn.Module, look: torch.nn.Module, rate: float) -> None:
    """Move the running mean towards the network."""
    with torch.no_grad():
        for old, new in zip(mean.state_dict().values(), look.state_dict().values(), strict=True):
            old.lerp_(new, rate) if old.is_floating_point() else old.copy_(new)


def save(path: Path, **parts: Any) -> None:
    """Everything training needs to go on."""
    data = {name: part.state_dict() if hasattr(part, "state_dict") else part for name, part in parts.items()}
    torch.save(data, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def held_out(look: SecondLook, pixels: torch.Tensor, points: torch.Tensor) -> float:
    """Mean error on rendered patches that were not learned from, % of their side."""
    with torch.no_grad():
        return 100 * float((look(pixels) - points).norm(dim=-1).mean())


def attach(source: Path, out: Path, looks: dict[str, SecondLook]) -> None:
    """The model with its second look, as a folder in 16 bit."""
    model = load_model(source)
    told = [dataclasses.asdict(look.info) for look in looks.values()]
    model.looks = build_looks(told, {"keypoints": "ibug68"}, model.network.mean, model.network.std)
    model.looks.load_state_dict(
        {f"{i}.{k}": v for i, e in enumerate(looks.values()) for k, v in e.state_dict().items()}
    )
    model.save(out)
    export_model(out, out)


def score(folder: Path, root: Path) -> None:
    """Print the table."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(root)}, where="studies")
    items = [item for item in benchmark.items("all-train") if not item.key.startswith("afw")][::6]
    model = load_model(folder)
    marked, found = [], {False: [], True: []}
    with progress_bar("predict", len(items), unit="faces") as advance:
        for item in items:
            sample = benchmark.load(item)
            marked.append(np.asarray(sample.target, float))
            for second, kept in found.items():
                predictor = Predictor(model, tasks=["keypoints"], second_look=second)
                kept.append(predictor(sample.image, [sample.box])[0].points)
            advance(1)
    truth = np.stack(marked)
    a, b = IBUG68.eye_corners
    scale = 100 / np.linalg.norm(truth[:, a] - truth[:, b], axis=-1)[:, None, None]
    errors = {second: (np.stack(kept) - truth) * scale for second, kept in found.items()}
    rng = np.random.default_rng(1)
    resampled = rng.integers(0, len(truth), (4000, len(truth)))
    for name, members in {"all": range(68), **IBUG68.regions}.items():
        some = {second: error[:, list(members)] for second, error in errors.items()}
        raw = {second: float(np.linalg.norm(e, axis=-1).mean()) for second, e in some.items()}
        kept = {second: without_offset(e) for second, e in some.items()}
        low, high = np.percentile((kept[True] - kept[False])[resampled].mean(1), [2.5, 97.5])
        print(
            f"{name:6s} one look {raw[False]:.2f} / {kept[False].mean():.2f}   two {raw[True]:.2f} / "
            f"{kept[True].mean():.2f}   difference with offsets [{low:+.3f}, {high:+.3f}]"
        )


def without_offset(error: np.ndarray) -> np.ndarray:
    """Mean error of each face (F,) after a constant offset a landmark, fitted on faces of the other half."""
    rng, total = np.random.default_rng(0), np.zeros(len(error))
    for _ in range(8):
        order = rng.permutation(len(error))
        half = order[: len(order) // 2], order[len(order) // 2 :]
        for fit, test in (half, half[::-1]):
            total[test] += np.linalg.norm(error[test] - error[fit].mean(0), axis=-1).mean(1)
    return total / 8


def main() -> None:
    """Parse the command line; train or score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes a network")
    parser.add_argument("--score", type=Path, metavar="DIR", help="300W's folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.score:
        score(options.out / "model", options.score)
        return
    render(options.out / "faces", options.faces)
    model = load_model(options.model)
    looks = {
        name: train(model, info, options.out / "faces", options.minutes, options.out / f"{name}.pt")
        for name, info in LOOKS.items()
    }
    attach(options.model, options.out / "model", looks)
    score_hint = f"python studies/second_look.py {options.model} {options.out} --score DIR"
    print(f"{options.out / 'model'} written; score it with: {score_hint}")


if __name__ == "__main__":
    main()
