"""Toy benchmarks whose right answer can be read off the pixels of a crop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.core.interfaces import Benchmark
from synthforge.core.plugins import load_plugins
from synthforge.core.records import PublishedRow, RealItem, RealSample, Scores
from synthforge.evaluation.protocol import Evaluation, ScoringOptions, evaluate
from synthforge.evaluation.scoring import score_depth, score_labels, score_points
from synthforge.prediction.network import Function
from synthforge.prediction.predictor import Predictor

SIZE = (150, 190)  # height, width


class Toy(Benchmark):
    """Ten images made from their number; `task` decides what is asked of them."""

    splits = ("test",)
    crop_scale = 1.4
    published = (PublishedRow("a paper", "Table 0", {"nme": 3.0, "mean_f1/10": 90.0}),)

    def __init__(self, task: str, count: int = 10) -> None:
        self.task, self.count = task, count
        self.schema = {"keypoints": "ibug68", "segmentation": "lapa11", "depth": ""}[task]

    def items(self, split: str) -> list[RealItem]:
        return [RealItem(f"test/{i:02d}", Path(f"{i}"), Path(f"{i}"), "test") for i in range(self.count)]

    def load(self, item: RealItem) -> RealSample:
        rng = np.random.default_rng(int(item.key[-2:]))
        if self.task == "keypoints":
            return self._dots(item, rng)
        # Red carries the label times 20, or the depth; blocks are large enough to survive resampling.
        blocks = rng.integers(1, 11, (5, 6))
        value = np.kron(blocks, np.ones((30, 32), int))[: SIZE[0], : SIZE[1]]
        image = np.repeat((value * 20).astype(np.uint8)[..., None], 3, axis=2)
        target = value.astype(np.uint8) if self.task == "segmentation" else value.astype(np.float32) / 10
        return RealSample(item, image, (0.0, 0.0, float(SIZE[1]), float(SIZE[0])), target)

    @staticmethod
    def _dots(item: RealItem, rng: np.random.Generator) -> RealSample:
        """One blurred dot in each colour channel; the 68 points repeat these three, eye corners apart."""
        centres = rng.uniform((70, 50), (120, 100), (3, 2))
        ys, xs = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        distance = (xs[..., None] - centres[:, 0]) ** 2 + (ys[..., None] - centres[:, 1]) ** 2
        image = np.round(250 * np.exp(-distance / (2 * 3.0**2))).astype(np.uint8)
        points = centres[np.arange(68) % 3]
        return RealSample(item, image, (60.0, 40.0, 130.0, 110.0), points)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        if self.task == "keypoints":
            # Points 36 and 45 are the same dot here; the tests compare pixels, so any other span will do.
            return score_points(((_apart(s), p) for s, p in results), "ibug68")
        if self.task == "segmentation":
            return score_labels(results, "lapa11", {"mean_f1/10": ("skin", "hair", "nose")}, "mean_f1/10")
        return score_depth(results, "m")


def _apart(sample: RealSample) -> RealSample:
    target = sample.target.copy()
    target[45] = target[36] + (100.0, 0.0)
    return RealSample(sample.item, sample.image, sample.box, target)


TASKS = {name: load_plugins().build("task", name) for name in ("keypoints", "segmentation", "depth")}


def scored(
    call: Callable[[torch.Tensor], Any],
    bench: Benchmark,
    *,
    input_size: int = 256,
    passes: int = 1,
    name: str = "",
    **options: Any,
) -> Evaluation:
    """A function of crops scored on the split `test`."""
    task = TASKS[bench.task]
    network = Function(call, task, bench.schema, input_size, bench.crop_scale)
    return evaluate(
        Predictor(network, passes=passes), task, bench, "test", ScoringOptions(progress=False, **options), name=name
    )


def find_dots(crops: torch.Tensor) -> dict[str, torch.Tensor]:
    """A perfect detector of the dots: their centres of mass in [0,1]."""
    size = crops.shape[-1]
    centre = (torch.arange(size) + 0.5) / size
    weight = crops.double().clamp(min=0.02) - 0.02
    total = weight.sum(dim=(2, 3))
    x = (weight.sum(dim=2) * centre).sum(dim=2) / total
    y = (weight.sum(dim=3) * centre).sum(dim=2) / total
    points = torch.stack([x, y], dim=-1)[:, torch.arange(68) % 3]
    points[:, 45] = points[:, 36]
    return {"points": points}


def read_labels(crops: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits that say which of the classes 0..10 each pixel's red stands for."""
    value = crops[:, :1] * 255 / 20
    return {"logits": -((value - torch.arange(11).view(1, -1, 1, 1)) ** 2)}


def read_depth(crops: torch.Tensor) -> dict[str, torch.Tensor]:
    """Depth up to the scale and shift that the metric takes out."""
    return {"depth": 5 + 3 * crops[:, :1]}
