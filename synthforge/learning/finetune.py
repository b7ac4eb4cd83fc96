"""Stage C: label fine-tuning. Backbone and heads stay frozen; a small network learns a benchmark's labels.

Only the train split is learned from and only the validation split is looked at; a test split is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.errors import ConfigError, DataError
from ..core.files import write_json
from ..core.interfaces import Benchmark
from ..core.plugins import Plugins
from ..core.seeding import seed_sequence
from ..core.versions import versions
from . import hardware, loop
from .augment import policy_of
from .config import FinetuneConfig, FramingConfig
from .data import Batch, CropDataset, EpochBatches, RealFaces, make_loader, prepare, real_field
from .fields import Plan, plan_field
from .model import AdapterInfo, FaceModel, load_model, read_description, to_size
from .sampling import FOREVER

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class FinetuneResult:
    """out: the model's folder; before, metrics: the validation before the first step and of the weights kept."""

    out: Path
    before: Mapping[str, float]
    metrics: Mapping[str, float]
    steps: int
    samples: int
    seconds: float


class LabelNetwork(nn.Module):
    """The frozen model and the adapter of one task behind it; only the adapter has gradients and a training mode."""

    def __init__(self, model: FaceModel, task: str) -> None:
        super().__init__()
        self.adapter = model.adapters[task]
        self.task = task
        # Not a submodule: neither saved with the adapter, nor moved to training mode, nor wrapped for gradients.
        self.frozen: tuple[FaceModel] = (model.requires_grad_(False).eval(),)
        self.adapter.requires_grad_(True)

    @torch.no_grad()
    def answer(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the frozen model says of images: its head's prediction and, where the adapter reads it, `features`."""
        model = self.frozen[0]
        features = model.features(images)
        answer: dict[str, torch.Tensor] = dict(model.heads[self.task](features))
        if model.adapter_info[self.task].with_features:
            answer["features"] = features
        return answer

    def forward(
        self, answer: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], size: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        """The loss of the adapter on answers of the frozen model."""
        prediction = self.adapter(answer, answer.get("features"))
        return {"loss": self.frozen[0].tasks[self.task].loss(to_size(prediction, size), target)}


def finetune(
    config: FinetuneConfig,
    model_dir: Path | str,
    benchmark: Benchmark,
    out_dir: Path | str,
    seed: int = 0,
    *,
    train_split: str = "train",
    val_split: str = "val",
    name: str = "",
    plugins: Plugins | None = None,
) -> FinetuneResult:
    """Fine-tune the task of `benchmark` on its train split; writes a complete model folder `out_dir`.

    The weights kept are those of the best validation. name: what `model.json` calls the real data. Raises ConfigError for
    a split or task that is not there, or a test split; DataError for files that are not what they should be.
    """
    for split in (train_split, val_split):
        if split not in benchmark.splits:
            raise ConfigError(
                f"there is no split '{split}' in this benchmark", hint=f"It has: {', '.join(benchmark.splits)}."
            )
        if split in _TEST or split.startswith("test"):
            raise ConfigError(
                f"fine-tuning does not touch the test split '{split}'", hint="Train on `train`, validate on `val`."
            )
    if train_split == val_split:
        raise ConfigError(f"the split '{train_split}' cannot both train and validate")
    job = _FinetuneJob(
        config,
        Path(model_dir),
        benchmark,
        Path(out_dir),
        seed,
        train_split,
        val_split,
        name or benchmark.schema,
        plugins,
    )
    fabric = hardware.make_fabric(config.hardware, config.precision)
    result: FinetuneResult = fabric.launch(job.run)
    return result


#: names that benchmarks give to what is only for the final measurement
_TEST = ("test", "common", "challenge", "full", "challenging", "private")


@dataclass
class _FinetuneJob:
    config: FinetuneConfig
    model_dir: Path
    benchmark: Benchmark
    out: Path
    seed: int
    train_split: str
    val_split: str
    name: str
    plugins: Plugins | None

    def run(self, fabric: Fabric) -> FinetuneResult:
        with hardware.numerics(self.config.hardware):
            return self._run(fabric)

    def _run(self, fabric: Fabric) -> FinetuneResult:
        config, benchmark, task = self.config, self.benchmark, self.benchmark.task
        model = load_model(self.model_dir, plugins=self.plugins)
        if task not in model.tasks:
            raise ConfigError(
                f"{self.model_dir} has no task '{task}', which this benchmark scores",
                hint=f"It has: {', '.join(model.tasks)}.",
            )
        items = {split: benchmark.items(split) for split in (self.train_split, self.val_split)}
        shared = {i.key for i in items[self.train_split]} & {i.key for i in items[self.val_split]}
        if shared:
            raise DataError(f"{len(shared)} faces stand in both '{self.train_split}' and '{self.val_split}'")
        if config.limit:
            items[self.train_split] = items[self.train_split][: config.limit]
        for split, found in items.items():
            if not found:
                raise DataError(f"the split '{split}' of this benchmark is empty")
        mark = loop.fingerprint(
            [
                _what_counts(config),
                self.seed,
                read_description(self.model_dir),
                [item.key for found in items.values() for item in found],
            ]
        )
        torch.manual_seed(int(seed_sequence(self.seed, 0, "adapter").generate_state(1)[0]))
        model.add_adapter(task, AdapterInfo(benchmark.schema, config.with_features, self.name))
        module = LabelNetwork(model, task)
        if config.hardware.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.to(fabric.device)
        faces = {split: RealFaces(benchmark, found) for split, found in items.items()}
        feed = _Feed(fabric, config, benchmark, model, faces[self.train_split], faces[self.val_split], self.seed)
        best = _Best(module.adapter)
        before = feed.validate(module, module.adapter) if fabric.is_global_zero else {}
        before = fabric.broadcast(before, src=0)
        best.offer(module.adapter, before)
        matrices = [p for p in module.adapter.parameters() if p.ndim > 1]
        others = [p for p in module.adapter.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.lr,
        )

        def validate(adapter: nn.Module, state: loop.State) -> loop.Figures:
            figures = feed.validate(module, adapter)
            best.offer(adapter, figures)
            return figures

        job = loop.Job(
            module=module,
            averaged=module.adapter,
            optimiser=optimiser,
            forward=feed.forward,
            batches=feed.batches,
            per_epoch=feed.per_epoch,
            batch_size=feed.global_batch,
            limits=loop.Limits(config.epochs, config.max_steps, config.max_minutes),
            final=config.final_lr / config.lr,
            seed=self.seed,
            fingerprint=mark,
            ema=config.ema,
            validate=validate,
            validate_every=config.validate_every,
            stop=lambda state: bool(config.patience) and best.stale >= config.patience,
            parts={"best": (best.state, best.restore)},
        )
        _, state = loop.run(fabric, job, self.out, title="fine-tuning")
        if fabric.is_global_zero:
            module.adapter.load_state_dict(best.weights)
            self._finish(model, state, before, best.figures, mark, {k: len(v) for k, v in items.items()})
        fabric.barrier()
        return FinetuneResult(self.out, before, best.figures, state.step, state.samples, state.seconds)

    def _finish(
        self,
        model: FaceModel,
        state: loop.State,
        before: loop.Figures,
        figures: loop.Figures,
        mark: str,
        counts: Mapping[str, int],
    ) -> None:
        write_json(
            self.out / "metrics.json",
            {
                "before": before,
                "final": figures,
                "history": state.history,
                "steps": state.step,
                "samples": state.samples,
                "seconds": round(state.seconds, 3),
            },
        )
        benchmark = self.benchmark
        seen = {
            "benchmark": self.name,
            "task": benchmark.task,
            "schema": benchmark.schema,
            "train_split": self.train_split,
            "train_faces": counts[self.train_split],
            "val_split": self.val_split,
            "val_faces": counts[self.val_split],
            "stand_in": benchmark.stand_in,
            "config": _what_counts(self.config),
            "seed": self.seed,
            "fingerprint": mark,
            "versions": dict(versions()),
        }
        model.info["real_data"] = [*model.info.get("real_data", []), seen]
        model.info["licences"] = {
            **model.info.get("licences", {}),
            f"labels {self.name}": "the terms of that dataset",
        }
        model.save(self.out)
        (self.out / loop.CHECKPOINT).unlink(missing_ok=True)


class _Best:
    """The adapter of the best validation so far; the untrained one is its first candidate."""

    def __init__(self, adapter: nn.Module) -> None:
        self.weights = _copy(adapter)
        self.figures: loop.Figures = {}
        self.stale = 0

    def offer(self, adapter: nn.Module, figures: loop.Figures) -> None:
        if not self.figures or figures["loss"] < self.figures["loss"]:
            self.weights, self.figures, self.stale = _copy(adapter), dict(figures), 0
        else:
            self.stale += 1

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "figures": self.figures, "stale": self.stale}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights, self.figures, self.stale = state["weights"], state["figures"], state["stale"]


def _copy(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


class _Feed:
    """Batches of real faces, the step on them, and validation."""

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
        self.fabric, self.config, self.seed = fabric, config, seed
        self.task = model.tasks[benchmark.task]
        self.size = model.input_size
        self.plans: dict[str, Plan] = {"target": plan_field(real_field(benchmark))}
        framing = FramingConfig(
            crop_scale=benchmark.crop_scale, jitter_shift=config.jitter_shift, jitter_scale=config.jitter_scale
        )
        policy = policy_of(config.augmentation)
        jittered = bool(config.jitter_shift or config.jitter_scale)
        self.augmented = jittered or policy != policy_of("none")
        self.workers = hardware.worker_count(config.hardware)
        self.local = max(1, config.batch_size // fabric.world_size)
        memory = int(config.hardware.cache_gb * 2**30) // fabric.world_size
        self.train = CropDataset(
            train,
            self.plans,
            self.size,
            framing,
            policy=policy if self.augmented else None,
            seed=seed,
            cache_bytes=memory,
        )
        if memory:
            self.train.reserve()
        self.val = CropDataset(val, self.plans, self.size, framing)
        self.kept: dict[int, dict[str, torch.Tensor]] = {}
        self.val_answers: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    @property
    def global_batch(self) -> int:
        return self._order(0, 0).batch_size * self.fabric.world_size

    def _order(self, epoch: int, position: int, last: int | None = None) -> EpochBatches:
        return EpochBatches(
            range(len(self.train)),
            self.local,
            self.seed,
            first=epoch,
            last=epoch + 1 if last is None else last,
            start=position,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )

    def per_epoch(self, epoch: int) -> int:
        return self._order(epoch, 0).per_epoch

    def batches(self, epoch: int, position: int) -> Iterator[Batch]:
        order = self._order(epoch, position, FOREVER)
        return iter(make_loader(self.train, order, workers=self.workers, pin=self.fabric.device.type == "cuda"))

    def forward(self, module: nn.Module, batch: Batch, state: loop.State) -> dict[str, torch.Tensor]:
        images, targets = prepare(batch, self.plans, self.size, self.fabric.device)
        label_network = getattr(module, "module", module)
        if self.config.cache and not self.augmented:
            answer = self._remembered(label_network, batch["index"].tolist(), images)
        else:
            answer = self._answer(label_network, images)
        found: dict[str, torch.Tensor] = module(answer, targets["target"], (self.size, self.size))
        return found

    def _answer(self, network: LabelNetwork, images: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.config.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.fabric.autocast():
            return network.answer(images)

    def _remembered(self, network: LabelNetwork, indices: list[int], images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Answers to plain crops, from memory where they were given before."""
        missing = [row for row, index in enumerate(indices) if index not in self.kept]
        fresh: dict[str, torch.Tensor] = self._answer(network, images[missing]) if missing else {}
        given = {indices[row]: {k: v[n] for k, v in fresh.items()} for n, row in enumerate(missing)}
        for index, answer in given.items():
            if (len(self.kept) + 1) * _bytes(answer) <= _ANSWER_BYTES:
                self.kept[index] = {k: v.clone() for k, v in answer.items()}
        rows = [self.kept.get(index) or given[index] for index in indices]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    @torch.no_grad()
    def validate(self, network: LabelNetwork, adapter: nn.Module) -> loop.Figures:
        """Loss and metrics over the validation split, as plain crops; the frozen model's answers are kept if they fit."""
        training = adapter.training
        adapter.eval()
        sums: dict[str, torch.Tensor] = {}
        for answer, target in self._val_answers(network):
            prediction = to_size(adapter(answer, answer.get("features")), (self.size, self.size))
            figures = self.task.metrics(prediction, target)
            count = len(next(iter(target.values())))
            figures["loss"] = torch.stack([self.task.loss(prediction, target).cpu(), torch.ones(())]) * count
            for metric, pair in figures.items():
                sums[metric] = sums.get(metric, torch.zeros(2, dtype=torch.float64)) + pair.double().cpu()
        adapter.train(training)
        return {name: float(value / weight) for name, (value, weight) in sums.items() if weight > 0}

    def _val_answers(self, network: LabelNetwork) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
        if self.val_answers:
            yield from self.val_answers
            return
        found = []
        room = _ANSWER_BYTES
        order = [[(0, i) for i in range(a, min(a + 16, len(self.val)))] for a in range(0, len(self.val), 16)]
        for batch in make_loader(self.val, order, workers=0):
            images, targets = prepare(batch, self.plans, self.size, self.fabric.device)
            pair = self._answer(network, images), targets["target"]
            room -= sum(_bytes(part) for part in pair)
            if room > 0:
                found.append(pair)
            yield pair
        if room > 0 and self.config.cache:
            self.val_answers = found


#: how much memory answers of the frozen model may take, each for training and for validation
_ANSWER_BYTES = 2**31


def _bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _what_counts(config: FinetuneConfig) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(FinetuneConfig)} - {"hardware", "cache"}
    return {name: value for name, value in dataclasses.asdict(config).items() if name in names}
