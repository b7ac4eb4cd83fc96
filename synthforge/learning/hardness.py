"""How hard a model finds each sample of a dataset, and which samples to draw more like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.errors import DataError
from ..core.progress import progress_bar
from ..core.seeding import numpy_rng
from . import hardware
from .config import FramingConfig, HardwareConfig
from .data import CropDataset, fields_of, prepare, synthetic_faces, task_targets
from .loaders import make_loader
from .losses import each_loss
from .model import FaceModel

if TYPE_CHECKING:
    from ..datasets.reader import ShardDataset

#: standardised losses count no more than this: a hopeless sample must not take all the children
MOST = 3.0
_BATCH = 16


@torch.no_grad()
def sample_losses(model: FaceModel, dataset: ShardDataset) -> dict[str, np.ndarray]:
    """The loss (N,) float64 of every sample under each task of the model, on crops that are not augmented.

    On one thread, so that the numbers do not depend on how many there are. Raises DataError when the dataset lacks
    what a task learns from.
    """
    # A loss needs raw answers, and targets cut from the same crop, as in training. `prediction.predictor` gives
    # finished values in the photograph's pixels, so it has no part in this.
    there = fields_of(dataset)
    tasks = {name: task for name, task in model.tasks.items() if not task.on_request or task.fields[0] in there}
    faces, plans, members = synthetic_faces(dataset, tasks, where=str(dataset.root))
    crops = CropDataset(faces, plans, model.input_size, FramingConfig(crop_scale=model.crop_scale))
    count = len(dataset)
    places = [[(0, i) for i in range(a, min(a + _BATCH, count))] for a in range(0, count, _BATCH)]
    losses = {name: np.zeros(count) for name in tasks}
    with hardware.numerics(HardwareConfig(threads=1)), progress_bar("score samples", count, unit="images") as advance:
        for batch in make_loader(crops, places, workers=0):
            images, targets = prepare(batch, plans, model.input_size)
            found = model(images)
            for name, target in task_targets(targets, members).items():
                losses[name][batch["index"].numpy()] = each_loss(model.tasks[name], found[name], target).numpy()
            advance(len(images))
    for name, values in losses.items():
        if not np.isfinite(values).all():
            raise DataError(f"{dataset.root}: the loss of '{name}' is not a number for {(~np.isfinite(values)).sum()}")
    return losses


def hardness(losses: dict[str, np.ndarray]) -> np.ndarray:
    """Losses (N,) by task, each standardised over the samples and clipped at `MOST`; their mean over the tasks (N,)."""
    parts = []
    for values in losses.values():
        spread = values.std()
        parts.append(np.clip((values - values.mean()) / spread, -MOST, MOST) if spread > 0 else np.zeros_like(values))
    return np.mean(parts, axis=0)


def probabilities(hard: np.ndarray, temperature: float) -> np.ndarray:
    """Chance (N,) of each sample to be drawn as a parent: softmax(temperature * hardness)."""
    weights = np.exp(temperature * (hard - hard.max()))
    return np.asarray(weights / weights.sum())


def draw_parents(chances: np.ndarray, share: float, seed: int, indices: range) -> np.ndarray:
    """The parent of each new sample as an index into `chances`, -1 for a fresh draw; pure in (seed, index).

    share: chance of a new sample to have a parent.
    """
    steps = np.cumsum(chances)
    parents = np.full(len(indices), -1)
    for row, index in enumerate(indices):
        near, mark = numpy_rng(seed, index, "adapt/parent").random(2)
        if near < share:
            parents[row] = min(int(np.searchsorted(steps, mark * steps[-1], side="right")), len(steps) - 1)
    return parents
