"""Training speed: the input pipeline alone, and a training step against a plain PyTorch loop on the same network.

    python perf/training.py                     the laptop's network at 128 pixels
    python perf/training.py --size 256 --batch 8 --precision bf16-mixed --json speed.json

    python perf/training.py --busy 1 --threads 2                 beside a spinning process, with two threads
    python perf/training.py --loader-only --size 256 --batch 16      the input pipeline alone, on one core

Samples are decoded from shards (`--dataset DIR`, or made-up ones of the input's size), cropped with a margin,
augmented and batched. `decode and crop` is what a worker does the first time, `from the cache` from then on
(`cache_gb`), `augment` what the device does with a batch; `input pipeline` is all of it, one after the other.

Both loops train the same three tasks with the same losses on the same crops; ours also augments, averages weights and
keeps a position to resume from. Samples a second and a second of processor time, the median of the rounds; the loops
take turns, so that a busy machine slows both alike. The ratio is ours over plain: 1 is no overhead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, which reads it once: as the command line does
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import finish, sample_key, write_shard
from synthforge.learning import hardware, loop
from synthforge.learning.config import FramingConfig, HardwareConfig, NetworkConfig, TrainConfig
from synthforge.learning.data import CropDataset, EpochBatches, SyntheticFaces, prepare, task_targets
from synthforge.learning.fields import plan_tasks
from synthforge.learning.loaders import make_loader
from synthforge.learning.losses import TaskWeights
from synthforge.learning.model import FaceModel, build_tasks
from synthforge.learning.policies import policy_of
from synthforge.learning.train import MultiTask

FIELDS = (
    Field("landmarks2d", "points2d", unit="px", schema="ibug68"),
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", unit="m"),
)


def made_up(count: int, size: int) -> Iterator[dict[str, Any]]:
    """Samples that cost what rendered ones cost to decode: smooth shading with noise, flat labels, smooth depth."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    for index in range(count):
        rng = np.random.default_rng(index)
        waves = rng.normal(size=(3, 4)) * 6
        shade = [np.sin(w[0] * x + w[1] * y + w[2]) * 60 + 120 + w[3] for w in waves]
        noise = rng.normal(0, 2, (size, size, 3))
        radius = np.hypot(x, 1.2 * y)
        inside = radius < 0.4
        yield {
            "__key__": sample_key(index),
            "image": np.clip(np.stack(shade, axis=-1) + noise, 0, 255).astype(np.uint8),
            "landmarks2d": (size * rng.uniform(0.25, 0.75, (68, 2))).astype(np.float32),
            "segmentation": np.where(inside, (radius * 40).astype(np.uint8), 0).astype(np.uint8),
            "depth": np.where(inside, 0.6 + 0.2 * radius**2, 0).astype(np.float32),
            "scene": {"seed": 0, "index": index, "parameters": {"local": rng.normal(size=200)}},
            "camera": None,
        }


def write_dataset(folder: Path, count: int, size: int) -> Path:
    """A finished dataset of made-up samples."""
    write_shard(folder, 0, made_up(count, size), FIELDS, config_hash="perf")
    finish(folder, shards=1, config_hash="perf", config={}, licences={"made up": "CC0"})
    return folder


def measure(rounds: int, seconds: float, named: dict[str, Callable[[], int]]) -> dict[str, dict[str, float]]:
    """Samples a second, and a second of processor time, of callables that each do one step, taking turns."""
    for step in named.values():
        step()
    found: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in named}
    for _ in range(rounds):
        for name, step in named.items():
            begin, busy, samples = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - begin < seconds:
                samples += step()
            found[name]["wall"].append(samples / (time.perf_counter() - begin))
            found[name]["cpu"].append(samples / max(time.process_time() - busy, 1e-9))
    return {name: {kind: statistics.median(v) for kind, v in rates.items()} for name, rates in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the network's input")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--backbone", default="residual", choices=["residual", "unet", "timm"])
    parser.add_argument("--model", default="resnet18", help="of timm")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--head", default="light", choices=["light", "paper"])
    parser.add_argument("--tasks", default="keypoints,segmentation,depth")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--policy", default="strong", help="of augmentation")
    parser.add_argument("--no-channels-last", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--dataset", type=Path, help="a generated dataset with landmarks, segmentation and depth")
    parser.add_argument("--samples", type=int, default=64, help="how many are made up without --dataset")
    parser.add_argument("--loader-only", action="store_true", help="the input pipeline, no network")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1, help="of this process")
    parser.add_argument("--busy", type=int, default=0, help="processes that spin beside it, to see what a load costs")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        run(options)
    finally:
        for process in spinning:
            process.kill()


def run(options: argparse.Namespace) -> None:
    """Measure on the dataset given, or on a made-up one."""
    with tempfile.TemporaryDirectory() as folder:
        root = options.dataset or write_dataset(Path(folder) / "data", options.samples, options.size)
        compare(options, root, Path(folder))


def compare(options: argparse.Namespace, root: Path, scratch: Path) -> None:
    """Measure and print. root: of the dataset; scratch: a folder for what loops write."""
    settings = HardwareConfig(workers=options.workers, channels_last=not options.no_channels_last)
    network = NetworkConfig(
        backbone=options.backbone, model=options.model, width=options.width, input_size=options.size
    )
    config = TrainConfig(
        tasks=[{"name": name, "head": options.head} for name in options.tasks.split(",")],
        network=network,
        batch_size=options.batch,
        hardware=settings,
        precision=options.precision,
        augmentation=options.policy,
    )
    fabric = hardware.make_fabric(settings, options.precision)
    tasks, references = build_tasks(config.tasks, load_plugins())
    dataset = ShardDataset(root, [each.name for each in FIELDS] + ["image"])
    plans, members = plan_tasks({f.name: f for f in FIELDS}, tasks, where="noise")
    names = list(plans)

    def cropped(cache_bytes: int = 0) -> CropDataset:
        return CropDataset(
            SyntheticFaces(dataset, names, "landmarks2d"),
            plans,
            options.size,
            FramingConfig(),
            policy=policy_of(options.policy),
            cache_bytes=cache_bytes,
        )

    crops, cached = cropped(), cropped(2**30)

    def network_of() -> MultiTask:
        torch.manual_seed(0)
        model = FaceModel(network, tasks, references)
        module = MultiTask(model, TaskWeights(dict.fromkeys(tasks, 1.0), learned=False), config.self_supervision)
        return module.to(memory_format=torch.channels_last) if settings.channels_last else module  # type: ignore[call-overload]

    def laid_out(images: torch.Tensor) -> torch.Tensor:
        return images.contiguous(memory_format=torch.channels_last) if settings.channels_last else images

    def endless(source: CropDataset) -> Iterator[dict[str, torch.Tensor]]:
        order = EpochBatches(range(len(source)), options.batch, 0, last=10_000)
        return iter(make_loader(source, order, workers=options.workers))

    cached.reserve()
    read, again = endless(crops), endless(cached)
    for _ in range(len(cached) // options.batch):  # one epoch fills the cache
        next(again)

    def reading() -> int:
        next(read)
        return options.batch

    def recalling() -> int:
        next(again)
        return options.batch

    kept = next(read)

    def augmenting() -> int:
        prepare(kept, plans, options.size, fabric.device)
        _wait(fabric.device)
        return options.batch

    def feeding() -> int:
        prepare(next(read), plans, options.size, fabric.device)
        _wait(fabric.device)
        return options.batch

    def feeding_again() -> int:
        prepare(next(again), plans, options.size, fabric.device)
        _wait(fabric.device)
        return options.batch

    loading = {
        "decode and crop": reading,
        "from the cache": recalling,
        "augment": augmenting,
        "input pipeline": feeding,
        "  with the cache": feeding_again,
    }
    if options.loader_only:
        rates = measure(options.rounds, options.seconds, loading)
        print(f"input pipeline at {options.size}, {fabric.device}, {torch.get_num_threads()} threads")
        show(rates)
        if options.json:
            write(options, {"samples_per_second": rates})
        return

    # The plain loop: one batch that is ready, forward, loss, backward, AdamW. What any loop must at least do.
    plain = network_of().to(fabric.device)
    plain_optimiser = hardware.adamw([{"params": list(plain.parameters()), "lr": 1e-4}], fabric)
    images, targets = prepare(kept, plans, options.size, fabric.device)
    images, ready = laid_out(images), task_targets(targets, members)
    low = "bf16" in str(fabric.strategy.precision.precision)

    def stepping() -> int:
        with torch.autocast(fabric.device.type, torch.bfloat16, enabled=low):
            loss = plain(images, ready)["loss"]
        plain_optimiser.zero_grad()
        loss.backward()
        plain_optimiser.step()
        _wait(fabric.device)
        return options.batch

    ours = network_of()
    job = loop.TrainingJob(
        module=ours,
        averaged=ours.model,
        optimiser=hardware.adamw([{"params": list(ours.parameters()), "lr": 1e-4}], fabric),
        forward=lambda module, batch, state: module(images, ready),
        batches=lambda epoch, position: iter([]),
        per_epoch=lambda epoch: 1_000_000,
        batch_size=options.batch,
        limits=loop.StoppingCriteria(max_steps=10**9),
        final=0.1,
        seed=0,
        fingerprint="perf",
        ema=0.999,
        checkpoint_seconds=0,
    )
    whole = loop.TrainingJob(**{**vars(job), "module": network_of()})
    whole.averaged = whole.module.model  # type: ignore[assignment]
    whole.optimiser = hardware.adamw([{"params": list(whole.module.parameters()), "lr": 1e-4}], fabric)

    def all_of_it(module: Any, batch: Any, state: Any) -> dict[str, torch.Tensor]:
        fresh, wanted_now = prepare(batch, plans, options.size, fabric.device)
        found: dict[str, torch.Tensor] = module(laid_out(fresh), task_targets(wanted_now, members))
        return found

    whole.forward = all_of_it
    inner = loop.Loop(fabric, job, scratch / "a", "perf")
    outer = loop.Loop(fabric, whole, scratch / "b", "perf")

    def looping() -> int:
        inner.micro_step(None, 1_000_000)
        _wait(fabric.device)
        return options.batch

    def training() -> int:
        outer.micro_step(next(again), 1_000_000)
        _wait(fabric.device)
        return options.batch

    found = measure(
        options.rounds,
        options.seconds,
        {
            **loading,
            "step, plain PyTorch": stepping,
            "step, our loop": looping,
            "training, all of it": training,
        },
    )
    model = ours.model

    def ratio(name: str) -> float:
        # Processor time is what a busy machine disturbs least; a GPU's work does not show in it.
        kind = "cpu" if fabric.device.type == "cpu" and not options.workers else "wall"
        return found[name][kind] / found["step, plain PyTorch"][kind]

    report = {
        "device": str(fabric.device),
        "threads": torch.get_num_threads(),
        "precision": str(fabric.strategy.precision.precision),
        "native_bf16": hardware.native_bf16(fabric.device.type),
        "parameters": sum(p.numel() for p in model.parameters()),
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
        "samples_per_second": {name: round(rate["wall"], 2) for name, rate in found.items()},
        "samples_per_cpu_second": {name: round(rate["cpu"], 2) for name, rate in found.items()},
        "ratio": round(ratio("step, our loop"), 3),
        "ratio_all": round(ratio("training, all of it"), 3),
    }
    print(f"{options.backbone} x {options.width} at {options.size}, {report['precision']}, {report['device']}")
    show(found)
    print(f"  our step / plain step {report['ratio']:10.2f}")
    print(f"  all of it / plain step{report['ratio_all']:10.2f}")
    if options.json:
        write(options, report)


def show(found: dict[str, dict[str, float]]) -> None:
    """A line a row."""
    for name, rate in found.items():
        print(f"  {name:<22}{rate['wall']:10.1f} samples/s {rate['cpu']:10.1f} samples/cpu-s")


def write(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """The figures as JSON."""
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
