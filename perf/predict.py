"""Images a second of a model at its working size on one thread, against timm's ResNet-18 and MediaPipe's landmarker.

    python perf/predict.py                       a network of the laptop's size with random weights
    python perf/predict.py MODEL --batch 1 8 --json speed.json
    python perf/predict.py MODEL --no-flip --float32    without the mirrored crop; as where bf16 is not native

MODEL is a model folder or a shipped name. The tasks come from one network: those of `synthforge predict`, or --tasks.
`predict` adds what else `synthforge predict` does to a face: the crop, and values mapped back to the photograph. That
photograph's crop is twice as large as the network's input. ResNet-18 is a plain forward pass on that input. MediaPipe,
where it is installed, gets one photograph of a face after the other, finds the face itself and answers points alone.
They take turns in one run, so that a busy machine slows all alike. Figures are the median of the rounds, in images a
second of processor time (and of wall time). Ratios are ours over ResNet-18 and `predict` over MediaPipe: above 1 is
faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, which reads it once
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.core.errors import UserError
from synthforge.core.plugins import load_plugins
from synthforge.core.shipped import find_model
from synthforge.learning import model as learning
from synthforge.learning.config import NetworkConfig
from synthforge.learning.model import FaceModel, build_tasks, load_model
from synthforge.prediction.detectors import find_detector
from synthforge.prediction.predictor import Predictor

LAPTOP = NetworkConfig(backbone="residual", width=0.375, channels=48, input_size=128)
TASKS = (
    {"name": "keypoints", "head": "light"},
    {"name": "segmentation", "head": "light", "width": 0.25},
    {"name": "depth", "head": "light", "width": 0.25},
)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a model folder or a shipped name [default: random weights]")
    parser.add_argument("--tasks", help="comma-separated, or `all` [default: those of `synthforge predict`]")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of processor time for each round of each network")
    parser.add_argument("--no-flip", action="store_true", help="without the mirrored crop, whatever the model says")
    parser.add_argument("--float32", action="store_true", help="no bf16 even where it is native")
    parser.add_argument("--json", type=Path, dest="json_file", help="write the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    flip = False if options.no_flip else None
    if options.float32:
        learning.native_bf16 = lambda accelerator: False
    model = load_model(find_model(options.model)) if options.model else random_model()
    reference, landmarker = resnet18(), mediapipe()
    size, rows = model.input_size, []
    chosen = options.tasks.split(",") if options.tasks else None
    predictor = Predictor(model, tasks=chosen, passes=1, flip=flip, input_size=size)
    parameters = sum(p.numel() for p in model.parameters())
    named = ", ".join(predictor.tasks)
    print(f"{options.model or 'random weights'}: {parameters / 1e6:.2f} M parameters, {size} px, {named}")
    names = ["ours", "predict", "resnet18", *(["mediapipe"] if landmarker else [])]
    print(f"{'batch':>6}{''.join(f'{name:>13}' for name in names)}  images/s  (wall)", flush=True)
    for batch in options.batch:
        images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
        photograph = np.random.default_rng(0).integers(0, 255, (3 * size, 3 * size, 3)).astype(np.uint8)
        half = size / model.crop_scale  # half of a box whose crop is twice the input
        box = (1.5 * size - half, 1.5 * size - half, 1.5 * size + half, 1.5 * size + half)
        asked: dict[str, Callable[[], Any]] = {
            "ours": lambda images=images: model.predict(images, flip=flip, tasks=predictor.tasks),
            "predict": lambda b=batch, p=photograph, box=box: predictor(p, [box] * b),
            "resnet18": lambda images=images: forward(reference, images),
        }
        if landmarker is not None:
            asked["mediapipe"] = lambda b=batch: [landmarker() for _ in range(b)]
        found = measure(asked, batch, options.rounds, options.seconds)
        cpu = {name: each["cpu"] for name, each in found.items()}
        ratios = {"ours/resnet18": cpu["ours"] / cpu["resnet18"]}
        if landmarker is not None:
            ratios["predict/mediapipe"] = cpu["predict"] / cpu["mediapipe"]
        cells = "".join(f"{cpu[name]:>13.1f}" for name in names)
        wall = ", ".join(f"{found[name]['wall']:.1f}" for name in names)
        print(
            f"{batch:>6}{cells}  {', '.join(f'{name} {ratio:.2f}' for name, ratio in ratios.items())}  ({wall})",
            flush=True,
        )
        rows.append({"batch": batch, "ratios": ratios, **found})
    if options.json_file is not None:
        options.json_file.write_text(json.dumps({"input_size": size, "parameters": parameters, "rows": rows}, indent=2))


def random_model() -> FaceModel:
    """A network of the laptop's size that was never trained."""
    tasks, references = build_tasks(TASKS, load_plugins())
    return FaceModel(LAPTOP, tasks, references).eval()


def resnet18() -> torch.nn.Module:
    """timm's ResNet-18 classifier, random weights."""
    import timm

    network: torch.nn.Module = timm.create_model("resnet18", pretrained=False).eval()
    return network


def mediapipe() -> Callable[[], Any] | None:
    """MediaPipe's landmarker on the face of a photograph; None, and said so, where it is not installed."""
    detector = find_detector("mediapipe")
    try:
        detector.check()
        find = detector.build(faces=False, points=True)
    except UserError as error:
        print(f"MediaPipe is left out: {error}")
        return None
    photograph = Path(__file__).resolve().parent.parent / "configs/photographs/astronaut.jpg"
    image = np.array(Image.open(photograph).convert("RGB"))
    return lambda: find(image, (183.0, 89.0, 259.0, 172.0))


@torch.inference_mode()
def forward(network: torch.nn.Module, images: torch.Tensor) -> Any:
    """One plain forward pass."""
    return network(images)


def measure(
    named: dict[str, Callable[[], Any]], batch: int, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Images a second of processor and of wall time, the median of rounds that take turns."""
    for step in named.values():
        step()
    speeds: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in named}
    for _ in range(rounds):
        for name, step in named.items():
            begin, busy, steps = time.perf_counter(), time.process_time(), 0
            while time.process_time() - busy < seconds:
                step()
                steps += 1
            speeds[name]["cpu"].append(batch * steps / (time.process_time() - busy))
            speeds[name]["wall"].append(batch * steps / (time.perf_counter() - begin))
    return {name: {kind: statistics.median(v) for kind, v in kinds.items()} for name, kinds in speeds.items()}


if __name__ == "__main__":
    main()
