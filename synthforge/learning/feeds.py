"""What the loop is fed with: batches of one process, the step on them, and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError
from ..core.interfaces import Benchmark, TargetPlan, Task
from ..core.progress import progress_bar
from ..core.seeding import torch_rng
from . import hardware
from .config import FinetuneConfig, FramingConfig, HardwareConfig, TrainConfig
from .data import (
    Batch,
    CropDataset,
    EpochBatches,
    RealFaces,
    SyntheticFaces,
    prepare,
    real_field,
    shard_spans,
    task_targets,
)
from .fields import plan_for
from .loaders import make_loader, read_batches
from .losses import draw_affine
from .model import FaceModel
from .policies import policy_of
from .sampling import FOREVER, Sampling

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from .finetune import LabelNetwork
    from .loop import Figures, State

Answer = dict[str, torch.Tensor]
#: how much memory answers of a frozen model may take, each for training and for validation
ANSWER_BYTES = 2**31


class BatchStream:
    """The batches of one process, epoch after epoch.

    batch_size: of all processes together. subset(epoch): the indices an epoch sees; block(epoch): first epoch and end
    of the epochs that share a subset, over which one loader runs. spans, together: see `EpochBatches`.
    """

    def __init__(
        self,
        fabric: Fabric,
        dataset: CropDataset,
        config: HardwareConfig,
        batch_size: int,
        seed: int,
        *,
        subset: Callable[[int], Sequence[int] | np.ndarray],
        block: Callable[[int], tuple[int, int]] = lambda epoch: (0, FOREVER),
        spans: Sequence[range] = (),
        together: int = 1,
    ) -> None:
        self.fabric, self.dataset, self.seed, self.batch_size = fabric, dataset, seed, batch_size
        self.spans, self.together = spans, together
        self.epoch_samples = len(subset(0))
        self.workers = hardware.worker_count(config)
        self.subset, self.block = subset, block
        if config.cache_gb:
            dataset.reserve()

    def _order(self, epoch: int, position: int = 0) -> EpochBatches:
        """The batches of the block of an epoch, from a position in that epoch on."""
        first, last = self.block(epoch)
        order = EpochBatches(
            self.subset(epoch),
            self.batch_size,
            self.seed,
            first=first,
            last=last,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            spans=self.spans,
            together=self.together,
        )
        order.start = order.before(epoch) + position
        return order

    @property
    def global_batch(self) -> int:
        """Samples a batch, over all processes: fewer than asked for where there are not as many."""
        return self._order(0).batch_size

    def per_epoch(self, epoch: int) -> int:
        """Batches that end in an epoch."""
        order = self._order(epoch)
        return order.before(epoch + 1) - order.before(epoch)

    def batches(self, epoch: int, position: int) -> Iterator[Batch]:
        """Batches from there to the end of the block of epochs that share a subset."""
        order = self._order(epoch, position)
        return read_batches(
            make_loader(self.dataset, order, workers=self.workers, pin=self.fabric.device.type == "cuda")
        )


class Mean:
    """Means of (sum, weight) pairs by name."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, figures: Mapping[str, torch.Tensor], prefix: str = "") -> None:
        """Add pairs (2,)."""
        for name, pair in figures.items():
            key = prefix + name
            self.sums[key] = self.sums.get(key, torch.zeros(2, dtype=torch.float64)) + pair.detach().double().cpu()

    def result(self) -> Figures:
        """sum / weight, where there is any weight."""
        return {name: float(value / weight) for name, (value, weight) in self.sums.items() if weight > 0}


def judge(task: Task, prediction: Answer, target: Answer) -> dict[str, torch.Tensor]:
    """A task's metrics and its loss as (sum, weight) pairs."""
    count = len(next(iter(target.values())))
    loss = task.loss(prediction, target).detach().cpu()
    return {**task.metrics(prediction, target), "loss": torch.stack([loss, torch.ones(())]) * count}


def _in_order(dataset: CropDataset, indices: Iterable[int], size: int = 32) -> Iterable[Batch]:
    places = [(0, int(index)) for index in indices]
    return make_loader(dataset, [places[a : a + size] for a in range(0, len(places), size)], workers=0)


class SyntheticFeed:
    """Stage B: synthetic faces for all tasks."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        faces: SyntheticFaces,
        plans: Mapping[str, TargetPlan],
        members: Mapping[str, Sequence[str]],
        sampling: Sampling,
        seed: int,
    ) -> None:
        self.fabric, self.config, self.plans, self.members = fabric, config, plans, members
        self.sampling, self.seed = sampling, seed
        self.size = config.network.input_size
        self.sizes = (self.size, *config.more_sizes)
        dataset = CropDataset(
            faces,
            plans,
            max(self.sizes),
            config.framing,
            policy=policy_of(config.augmentation),
            seed=seed,
            cache_bytes=int(config.hardware.cache_gb * 2**30),
        )
        self.held = CropDataset(faces, plans, self.size, config.framing)
        self.stream = BatchStream(
            fabric,
            dataset,
            config.hardware,
            config.batch_size,
            seed,
            subset=sampling.subset,
            block=sampling.block,
            spans=shard_spans(faces.dataset) if config.sampling.shards else (),
            together=config.sampling.shards,
        )

    def forward(self, module: nn.Module, batch: Batch, state: State) -> dict[str, torch.Tensor]:
        """One batch through the losses."""
        size = self.sizes[state.step % len(self.sizes)]
        images, targets = prepare(batch, self.plans, size, self.fabric.device)
        if self.config.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        matrix = None
        consistency = self.config.self_supervision
        if consistency.weight:
            stream = f"affine/{state.position % self.config.accumulate}/0"
            count, rank = len(images), self.fabric.global_rank
            drawn = draw_affine(consistency, count * self.fabric.world_size, torch_rng(self.seed, state.step, stream))
            matrix = drawn[count * rank : count * (rank + 1)].to(images.device)
        active = self.config.sampling.policy == "active"
        figures: dict[str, torch.Tensor] = module(images, task_targets(targets, self.members), matrix, active)
        if active:
            index, each = batch["index"].to(images.device), figures.pop("each")
            seen, losses = self.fabric.all_gather(index), self.fabric.all_gather(each)
            self.sampling.observe(_numpy(seen), _numpy(losses))
        return figures

    @torch.no_grad()
    def validate(self, model: nn.Module, indices: np.ndarray) -> Figures:
        """Losses and metrics of samples, not augmented."""
        assert isinstance(model, FaceModel)
        mean = Mean()
        for batch in _in_order(self.held, indices):
            images, targets = prepare(batch, self.plans, self.size, self.fabric.device)
            found = model(images)
            for name, target in task_targets(targets, self.members).items():
                mean.add(judge(model.tasks[name], found[name], target), f"{name}/")
        return mean.result()

    def calibrate(self, model: FaceModel, indices: np.ndarray) -> dict[str, dict[str, float]]:
        """See `calibrate`."""
        return calibrate(model, self.held, self.plans, self.members, self.size, indices)


@torch.no_grad()
def calibrate(
    model: FaceModel,
    faces: CropDataset,
    plans: Mapping[str, TargetPlan],
    members: Mapping[str, Sequence[str]],
    size: int,
    indices: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Correct the output heads that ask for it by faces that were not learned from; what `Task.calibrate` says of each.

    faces: plain crops of `size` pixels, of which `indices` count; plans by field, members: fields by task.
    """
    names = [name for name, task in model.tasks.items() if task.calibrates]
    if not names or not len(indices):
        return {}
    found, wanted = [], []
    for batch in _in_order(faces, indices):
        images, targets = prepare(batch, plans, size, model.device)
        found.append(model.eval().predict(images, tasks=names))
        wanted.append(task_targets(targets, members))
    joined = {name: [_joined([each[name] for each in rows]) for rows in (found, wanted)] for name in names}
    return {name: dict(model.tasks[name].calibrate(model.heads[name], *joined[name])) for name in names}


class RealFeed:
    """Stage C: photographs of a benchmark for one task."""

    def __init__(
        self,
        fabric: Fabric,
        config: FinetuneConfig,
        benchmark: Benchmark,
        model: FaceModel,
        train: RealFaces,
        val: RealFaces,
        seed: int,
    ) -> None:
        self.fabric, self.config = fabric, config
        self.task = model.adapter_task(benchmark.task)
        self.size = model.input_size
        self.plans = {"target": plan_for(self.task, real_field(benchmark, self.task))}
        framing = FramingConfig(
            crop_scale=benchmark.crop_scale, jitter_shift=config.jitter_shift, jitter_scale=config.jitter_scale
        )
        policy = policy_of(config.augmentation)
        jittered = bool(config.jitter_shift or config.jitter_scale)
        self.augmented = jittered or policy != policy_of("none")
        if config.early_size and not self.augmented:
            raise ConfigError("early_size: crops change their size only where they are augmented")
        dataset = CropDataset(
            train,
            self.plans,
            self.size,
            framing,
            policy=policy if self.augmented else None,
            seed=seed,
            cache_bytes=int(config.hardware.cache_gb * 2**30),
        )
        everything = np.arange(len(train))
        self.stream = BatchStream(
            fabric, dataset, config.hardware, config.batch_size, seed, subset=lambda epoch: everything
        )
        self.plain = CropDataset(train, self.plans, self.size, framing)
        self.val = CropDataset(val, self.plans, self.size, framing)
        self.kept: dict[int, Answer] = {}
        self.val_answers: list[tuple[Answer, Answer]] = []

    def forward(self, module: nn.Module, batch: Batch, state: State) -> dict[str, torch.Tensor]:
        """One batch through the frozen model and the adapter's loss."""
        size = self.config.early_size if state.epoch < self.config.early_epochs else self.size
        images, targets = prepare(batch, self.plans, size, self.fabric.device)
        network: Any = getattr(module, "module", module)
        if self.config.cache and not self.augmented:
            answer = self._remembered(network, batch["index"].tolist(), images)
        else:
            answer = self._answer(network, images)
        found: dict[str, torch.Tensor] = module(answer, targets["target"], (size, size))
        return found

    def _answer(self, network: LabelNetwork, images: torch.Tensor) -> Answer:
        if self.config.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.fabric.autocast():
            return network.answer(images)

    def _remembered(self, network: LabelNetwork, indices: list[int], images: torch.Tensor) -> Answer:
        """Answers to plain crops, from memory where they were given before."""
        missing = [row for row, index in enumerate(indices) if index not in self.kept]
        fresh = self._answer(network, images[missing]) if missing else {}
        given = {indices[row]: {k: v[n] for k, v in fresh.items()} for n, row in enumerate(missing)}
        for index, answer in given.items():
            if (len(self.kept) + 1) * _bytes(answer) <= ANSWER_BYTES:
                self.kept[index] = {k: v.clone() for k, v in answer.items()}
        rows = [self.kept.get(index) or given[index] for index in indices]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    @torch.no_grad()
    def validate(self, network: LabelNetwork, adapter: nn.Module) -> Figures:
        """Loss and metrics over the validation split, as plain crops; the frozen answers are kept if they fit."""
        training = adapter.training
        adapter.eval()
        mean = Mean()
        for answer, target in self._val_answers(network):
            with self.fabric.autocast():
                prediction = network.adapted(adapter, answer, (self.size, self.size))
            mean.add(judge(self.task, prediction, target))
        adapter.train(training)
        return mean.result()

    def lean(self, model: FaceModel) -> list[float]:
        """The mean of `Task.offset` over the training faces; empty for a task that has none."""
        total, count = torch.zeros(0, dtype=torch.float64), 0
        with progress_bar("offset of labels", len(self.plain), unit="faces") as advance:
            for batch in _in_order(self.plain, range(len(self.plain))):
                images, targets = prepare(batch, self.plans, self.size, self.fabric.device)
                found = model.predict(images, tasks=[self.task.name])[self.task.name]
                rows = self.task.offset(found, targets["target"])
                if rows is None:
                    return []
                total = rows.sum(0).cpu() + (total if len(total) else 0.0)
                count += len(rows)
                advance(len(images))
        return (total / max(count, 1)).tolist()

    def _val_answers(self, network: LabelNetwork) -> Iterator[tuple[Answer, Answer]]:
        if self.val_answers:
            yield from self.val_answers
            return
        found = []
        room = ANSWER_BYTES if self.config.cache else 0
        for batch in _in_order(self.val, range(len(self.val)), size=16):
            images, targets = prepare(batch, self.plans, self.size, self.fabric.device)
            pair = self._answer(network, images), targets["target"]
            room -= sum(_bytes(part) for part in pair)
            if room > 0:
                found.append(pair)
            yield pair
        if room > 0:
            self.val_answers = found


def _joined(rows: Sequence[Mapping[str, torch.Tensor]]) -> Answer:
    return {key: torch.cat([row[key].cpu() for row in rows]) for key in rows[0]}


def _bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _numpy(values: Any) -> np.ndarray:
    return torch.as_tensor(values).flatten().cpu().numpy()
