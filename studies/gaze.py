"""Where eyes look, learned by the model's second look at them: its encoder and points stay as they are.

    python studies/gaze.py face OUT --data FACES TURNED --minutes 7       CPU minutes of training

FACES, TURNED: rendered datasets with the fields landmarks2d, mesh2d, mesh_visibility and gaze. Patches of the eyes are
cut once, and augmented `COPIES` times; what the frozen encoder sees of them stays in memory. The new part learns the
iris' centre and the direction together (`Directions`). It gets what the first look of the model answers for gaze and
head pose. OUT/model is the model with it; `--kept` faces at the end of the first dataset are scored, not learned from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from second_look import LEFT, POLICY, RIGHT, ROOM

from synthforge.core.frames import apply
from synthforge.core.progress import progress_bar
from synthforge.core.shipped import find_model
from synthforge.datasets.crops import tight_box
from synthforge.datasets.reader import ShardDataset
from synthforge.learning.augment import degrade, draw, photometric, sampling_grid, warp, warp_points
from synthforge.learning.export import export_model
from synthforge.learning.looks import SecondLook, build_looks, looks_of
from synthforge.learning.loop import averaged_model, cosine
from synthforge.learning.model import FaceModel, load_model
from synthforge.learning.patches import cut
from synthforge.prediction.predictor import Predictor

GAZE, POSE, SIDE, CUT = "gaze", "head-pose", 0.36, 96
COPIES, BATCH, RATE, SEED = 4, 128, 4e-3, 3
#: of the mesh's 478 points
IRISES = (468, 473)
#: errors that cost 1: of a vector; and of the iris, in sides of the patch
UNIT, PLACE = 0.15, 0.1
#: how much an iris counts that cannot be seen
HIDDEN = 0.3
#: rendered faces bring blur and noise of their own
SOFT = dataclasses.replace(
    POLICY, scale=0.16, blur=(0.15, 1.0), noise=(0.4, 0.02), lowres=(0.15, 0.5), jpeg=(0.2, 40.0), gamma=0.15
)


def eyes(model: FaceModel, root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right eyes and mirrored left ones: (M,96,96,3) uint8; the iris in [0,1] of that and whether it is seen (M,3);
    true vector, first answer, and the head's axes up and forward, in the axes of the patch (M,4,3)."""
    dataset = ShardDataset(root, fields=["image", "landmarks2d", "mesh2d", "mesh_visibility", "gaze"])
    predictor = Predictor(model, tasks=[GAZE, POSE], passes=1, second_look=False)
    images, irises, vectors = [], [], []
    with progress_bar(f"eyes, {root.name}", len(dataset), unit="faces") as advance:
        for sample in dataset:
            points, mesh = np.asarray(sample["landmarks2d"], float), np.asarray(sample["mesh2d"], float)
            box = tight_box(points)
            (face,) = predictor(sample["image"], [box])
            side = ROOM * SIDE * max(box[2] - box[0], box[3] - box[1])
            angle = math.atan2(*(points[45] - points[36])[::-1])
            for part, mirrored, eye in ((RIGHT, False, 1), (LEFT, True, 0)):
                centre = points[list(part)].mean(0)
                patch, matrix = cut(sample["image"], centre, side, CUT, angle, mirrored)
                iris = min(IRISES, key=lambda at, near=centre: float(np.linalg.norm(mesh[at] - near)))
                given = np.stack([sample["gaze"][eye], face.values[GAZE][eye], *face.values[POSE].T[1:]])
                given[:, :2] = given[:, :2] @ (matrix[:, :2] * side / CUT).T
                images.append((patch.permute(1, 2, 0) * 255).round().byte().numpy())
                irises.append([*apply(matrix, mesh[iris]) / CUT, float(sample["mesh_visibility"][iris])])
                vectors.append(given)
            advance(1)
    return np.stack(images), np.array(irises, np.float32), np.stack(vectors).astype(np.float32)


@torch.no_grad()
def seen(look: SecondLook, eyes: Sequence[np.ndarray], copy: int) -> list[torch.Tensor]:
    """Augmented patches as the frozen encoder sees them: maps in half precision, points, irises, vectors."""
    images, irises, vectors = eyes
    rng, rows = np.random.default_rng([SEED, copy]), []
    with progress_bar(f"patches, {copy + 1} of {COPIES}", len(images), unit="patches") as advance:
        for first in range(0, len(images), BATCH):
            some = slice(first, first + BATCH)
            drawn = [draw(SOFT, rng, margin=ROOM) for _ in images[some]]
            numbers = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
            matrix, size = numbers["matrix"], look.info.size
            sources = [degrade(image, each, size) for image, each in zip(images[some], drawn, strict=True)]
            pixels = torch.from_numpy(np.stack(sources)).permute(0, 3, 1, 2).float() / 255
            pixels = photometric(warp(pixels, sampling_grid(matrix, size)).contiguous(), numbers)
            maps, points = look.read(pixels)
            places = warp_points(torch.from_numpy(irises[some, None, :2]), matrix)
            iris = torch.cat([places[:, 0], torch.from_numpy(irises[some, 2:])], 1)
            rows.append((maps.half(), points, iris, turned(torch.from_numpy(vectors[some]), matrix)))
            advance(len(drawn))
    return [torch.cat(column) for column in zip(*rows, strict=True)]


def turned(vectors: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Vectors (B,K,3) turned as the picture is by matrix (B,3,3)."""
    angle = torch.atan2(matrix[:, 1, 0] - matrix[:, 0, 1], matrix[:, 0, 0] + matrix[:, 1, 1])
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], 1)
    return torch.cat([vectors[..., :2] @ turn, vectors[..., 2:]], -1)


def learn(look: SecondLook, parts: Sequence[Sequence[torch.Tensor]], minutes: float) -> int:
    """Train `look.directions`; the number of steps."""
    part = look.directions
    assert part is not None
    optimiser = torch.optim.AdamW(part.requires_grad_(True).parameters(), lr=RATE, weight_decay=0.02)
    mean, rng, step, begun = averaged_model(part, 0.998), np.random.default_rng(SEED), 0, time.process_time()
    shares = np.array([len(each[0]) for each in parts], float)
    part.train()
    while (spent := (time.process_time() - begun) / (60 * minutes)) < 1:
        rows = parts[rng.choice(len(parts), p=shares / shares.sum())]
        some = torch.from_numpy(rng.integers(0, len(rows[0]), BATCH))
        maps, points, iris, vectors = (each[some] for each in rows)
        found, place = part(maps.float(), points, vectors[:, 1:])
        weight = (HIDDEN + (1 - HIDDEN) * iris[:, 2]) * ((iris[:, :2] > 0) & (iris[:, :2] < 1)).all(1)
        loss = functional.huber_loss(found / UNIT, vectors[:, 0] / UNIT)
        loss = loss + ((place[:, 0] - iris[:, :2]).abs().sum(1) * weight).mean() / PLACE
        for group in optimiser.param_groups:
            group["lr"] = RATE * cosine(spent, step, final=0.005, warmup=50)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(part.parameters(), 2.0)
        optimiser.step()
        mean.update_parameters(part)
        step += 1
        if step % 300 == 0:
            print(f"step {step}: {float(loss.detach()):.3f}", flush=True)
    part.load_state_dict(mean.module.state_dict())
    part.requires_grad_(False).eval()
    return step


def with_directions(model: FaceModel) -> SecondLook:
    """The model's second look at eyes, which answers gaze from now on."""
    own = looks_of(model)
    at = next(i for i, look in enumerate(own) if set(look.info.parts[0]) in (set(RIGHT), set(LEFT)))
    vectors = [int(set(part) == set(RIGHT)) for part in own[at].info.parts]
    told = [dataclasses.asdict(look.info) for look in own]
    told[at] |= {"directions": GAZE, "vectors": vectors, "pose": POSE}
    weights = model.looks.state_dict()
    schemas = {name: task.schema for name, task in model.tasks.items()}
    model.looks = build_looks(told, schemas, model.network.mean, model.network.std).eval()
    model.looks.load_state_dict(weights, strict=False)
    return looks_of(model)[at]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, cut, learn, write, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder or a shipped name, with a second look at eyes")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="datasets")
    parser.add_argument("--minutes", type=float, default=7, help="of processor time for the training")
    parser.add_argument("--kept", type=int, default=500, help="faces of the first dataset to score")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = load_model(find_model(options.model))
    looked = [eyes(model, root) for root in options.data]
    look = with_directions(model)
    kept = [column[-2 * options.kept :] for column in looked[0]]
    looked[0] = tuple(column[: -2 * options.kept] for column in looked[0])
    parts = [seen(look, each, copy) for each in looked for copy in range(COPIES)]
    steps = learn(look, parts, options.minutes)
    model.info["heads"] = [
        *model.info.get("heads", []),
        {"tasks": [GAZE], "training": {"note": "the second look, by studies/gaze.py", "steps": steps}},
    ]
    model.save(options.out / "model")
    export_model(options.out / "model", options.out / "model")
    _, points, _, vectors = rows = seen(look, kept, COPIES)
    with torch.no_grad():
        found, _ = look.directions(rows[0].float(), points, vectors[:, 1:])  # type: ignore[misc]
    angles = [torch.rad2deg(torch.acos((each * vectors[:, 0]).sum(1).clamp(-1, 1))) for each in (vectors[:, 1], found)]
    print(
        "kept patches, augmented, first and second look, degrees:", *(round(float(each.mean()), 2) for each in angles)
    )


if __name__ == "__main__":
    main()
