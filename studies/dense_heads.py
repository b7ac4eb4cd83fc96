"""Output heads for mesh, actions, head pose, gaze and openness on the frozen encoder of a model, in little time.

    python studies/dense_heads.py face OUT --data FACES TURNED --minutes 20       minutes of training
    synthforge export face --heads OUT/model --out models/face

`synthforge run dense` trains the same heads on fresh crops in every epoch, and runs the encoder each time. Here crops
are drawn once, half of them as strongly augmented as the encoder's own were. Their features are kept on disk: a step
takes a fifth. FACES, TURNED: datasets with the fields of `configs/dense.yaml`. The last `--kept` faces of the first are
not learned from: standard deviations are calibrated on them. What is on disk is used again by a second call, which goes
on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.cli.common import shipped_configs
from synthforge.core.config import read_yaml
from synthforge.core.progress import progress_bar
from synthforge.core.shipped import find_model
from synthforge.core.versions import versions
from synthforge.datasets.reader import ShardDataset, read_manifest
from synthforge.learning.config import FramingConfig
from synthforge.learning.data import CropDataset, needed_fields, prepare, synthetic_faces, task_targets
from synthforge.learning.feeds import calibrate
from synthforge.learning.loaders import make_loader
from synthforge.learning.loop import averaged_model, cosine
from synthforge.learning.model import FaceModel, build_tasks, load_model
from synthforge.learning.policies import policy_of

#: what `synthforge run dense` trains by, which is done here as well
STAGE = read_yaml(shipped_configs()["dense"])["stages"]["model"]
SIZE, BATCH, SEED = STAGE["network"]["input_size"], STAGE["batch_size"], 3
RATE, LAST, WARM_UP, DECAY, EMA = 3e-3, 1e-2, 20, 0.01, STAGE["ema"]

Targets = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Faces:
    """Crops of a dataset, the plans of its fields, and the fields of each task."""

    cut: CropDataset
    plans: Mapping[str, Any]
    members: Mapping[str, Sequence[str]]


def crops_of(model: FaceModel, root: Path, policy: Any) -> Faces:
    """The faces of a dataset as crops: augmented and jittered, or plain where `policy` is empty."""
    dataset = ShardDataset(root, fields=needed_fields(model.tasks.values(), read_manifest(root)))
    faces, plans, members = synthetic_faces(dataset, model.tasks, where=str(root))
    jitter = STAGE["framing"] if policy else {}
    framing = FramingConfig(**{**jitter, "crop_scale": model.crop_scale})
    augmentation = policy_of(policy) if policy else None
    return Faces(CropDataset(faces, plans, SIZE, framing, policy=augmentation, seed=SEED), plans, members)


class Remembered:
    """Features (N,C,h,w) of faces in a file, and their targets by task; made where they are not there."""

    def __init__(self, model: FaceModel, faces: Faces, places: range, at: Path) -> None:
        self.file, self.count = at.with_suffix(".npy"), len(places)
        if not at.with_suffix(".pt").exists():
            self._make(model, faces, places, at)
        self.features = np.load(self.file, mmap_mode="r")
        self.targets: Targets = torch.load(at.with_suffix(".pt"), weights_only=True)

    def _make(self, model: FaceModel, faces: Faces, places: range, at: Path) -> None:
        shape = (self.count, model.network.channels, SIZE // 4, SIZE // 4)
        kept = np.lib.format.open_memmap(self.file, mode="w+", dtype=np.float16, shape=shape)
        batches = [[(0, index) for index in places[a : a + BATCH]] for a in range(0, self.count, BATCH)]
        rows: dict[str, dict[str, list[torch.Tensor]]] = {}
        done = 0
        with progress_bar(f"features, {at.name}", self.count, unit="faces") as advance:
            for batch in make_loader(faces.cut, batches, workers=0):
                images, targets = prepare(batch, faces.plans, SIZE, model.device)
                images = images.contiguous(memory_format=torch.channels_last)
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    kept[done : done + len(images)] = model.features(images).float().numpy()
                for name, target in task_targets(targets, faces.members).items():
                    for key, value in target.items():
                        rows.setdefault(name, {}).setdefault(key, []).append(value.clone())
                done += len(images)
                advance(len(images))
        kept.flush()
        torch.save({n: {k: torch.cat(v) for k, v in t.items()} for n, t in rows.items()}, at.with_suffix(".pt"))


def batch_of(parts: Sequence[Remembered], indices: np.ndarray) -> tuple[torch.Tensor, Targets]:
    """Features and targets at indices into all parts, one after the other; ordered by part."""
    features, targets, first = [], [], 0
    for part in parts:
        own = np.sort(indices[(indices >= first) & (indices < first + part.count)] - first)
        features.append(torch.from_numpy(part.features[own]))
        targets.append({name: {key: v[own] for key, v in t.items()} for name, t in part.targets.items()})
        first += part.count
    joined = {n: {k: torch.cat([t[n][k] for t in targets]) for k in targets[0][n]} for n in targets[0]}
    return torch.cat(features), joined


def learn(model: FaceModel, parts: Sequence[Remembered], out: Path, minutes: float) -> int:
    """Train the output heads; the number of steps. Checkpoints every minute in `out`."""
    heads, total = model.heads, sum(part.count for part in parts)
    groups = [
        {"params": [p for p in heads.parameters() if (p.ndim > 1) == matrices], "weight_decay": DECAY * matrices}
        for matrices in (True, False)
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    mean, step, spent, path = averaged_model(heads, EMA), 0, 0.0, out / "last.pt"
    if path.exists():
        state = torch.load(path, weights_only=True)
        for each, name in ((heads, "heads"), (mean, "mean"), (optimiser, "optimiser")):
            each.load_state_dict(state[name])
        step, spent = state["step"], state["spent"]
    begun = time.monotonic() - spent
    saved = spent
    heads.train()
    with progress_bar("training", None, unit="samples", shown=True) as advance:
        while (spent := time.monotonic() - begun) < 60 * minutes:
            rng = np.random.default_rng([SEED, step * BATCH // total])
            at = step % (total // BATCH)
            features, targets = batch_of(parts, rng.permutation(total)[at * BATCH : (at + 1) * BATCH])
            for group in optimiser.param_groups:
                group["lr"] = RATE * cosine(spent / (60 * minutes), step, final=LAST, warmup=WARM_UP)
            with torch.autocast("cpu", torch.bfloat16):
                found = model.run_heads(features.bfloat16().contiguous(memory_format=torch.channels_last))
            losses = [model.tasks[name].loss(found[name], targets[name]) for name in found]
            optimiser.zero_grad()
            torch.stack(losses).sum().backward()
            nn.utils.clip_grad_norm_(heads.parameters(), 1.0)
            optimiser.step()
            mean.update_parameters(heads)
            step += 1
            advance(BATCH)
            if spent - saved > 60:
                saved = spent
                torch.save(
                    {"heads": heads.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict()}
                    | {"step": step, "spent": spent},
                    path,
                )
                print(step, [round(float(loss.detach()), 3) for loss in losses], flush=True)
    heads.load_state_dict(mean.module.state_dict())
    heads.eval()
    return step


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, remember, train, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder or a shipped name, whose encoder it is")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="datasets")
    parser.add_argument("--minutes", type=float, default=20, help="of training")
    parser.add_argument("--kept", type=int, default=500, help="faces of the first dataset for the calibration")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    options.out.mkdir(parents=True, exist_ok=True)
    given = load_model(find_model(options.model))
    tasks, references = build_tasks(STAGE["tasks"])
    info = {"crop_scale": given.crop_scale, "seed": SEED, "real_data": [], "licences": {}, "versions": versions()}
    info["mirrored"] = list(tasks)
    network = dataclasses.replace(given.network, input_size=SIZE)
    model = FaceModel(network, tasks, references, info=info)
    model.backbone.load_state_dict(given.backbone.state_dict())
    model.freeze()
    parts, kept = [], None
    for root in options.data:
        manifest = read_manifest(root)
        info["licences"] |= manifest.get("licences", {})
        faces = crops_of(model, root, "")
        half, count = len(faces.cut) // 2, len(faces.cut)
        if kept is None:
            first, kept, count = faces, np.arange(count - options.kept, count), count - options.kept
        strong = STAGE["augmentation"]
        for name, policy, places in (("light", "light", range(half)), ("strong", strong, range(half, count))):
            at = options.out / f"{root.name}-{name}"
            parts.append(Remembered(model, crops_of(model, root, policy), places, at))
    steps = learn(model, parts, options.out, options.minutes)
    said = calibrate(model, first.cut, first.plans, first.members, SIZE, kept)
    count = sum(part.count for part in parts)
    training = {"samples": count, "samples_seen": steps * BATCH, "steps": steps, "calibration": said}
    model.info["training"] = {**training, "note": "heads alone, by studies/dense_heads.py", "minutes": options.minutes}
    model.save(options.out / "model")
    print(json.dumps(training))


if __name__ == "__main__":
    main()
