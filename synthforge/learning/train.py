"""Stage B: one multi-task model, trained on synthetic samples alone (paper, section 3.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.config import check_values
from ..core.errors import ConfigError, DataError
from ..core.files import write_json
from ..core.foreign import read_json
from ..core.interfaces import Task
from ..core.provenance import counted, digest, plain
from ..core.seeding import seed_sequence
from ..core.shipped import DESCRIPTION
from ..core.storage import place
from ..core.versions import versions
from . import hardware, loop, processes
from .config import SelfSupervisionConfig, TrainConfig
from .data import needed_fields, synthetic_faces
from .feeds import SyntheticFeed
from .losses import (
    TaskWeights,
    each_loss,
    map_consistency,
    prediction_consistency,
    some_pixels,
    thinned,
    to_size,
    transform,
)
from .model import FaceModel, Features, build_tasks, feature_map, load_model
from .networks.widened import start_weights
from .sampling import Sampling, split
from .weights import check_weights, read_description

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class TrainResult:
    """out: the model's folder; metrics: the last validation; steps, samples, seconds: of the whole training."""

    out: Path
    metrics: Mapping[str, float]
    steps: int
    samples: int
    seconds: float


class MultiTask(nn.Module):
    """The model with its losses: what is trained. Called with images, targets and, for the affine term, A."""

    def __init__(
        self, model: FaceModel, weights: TaskWeights, consistency: SelfSupervisionConfig, dense_stride: int = 1
    ) -> None:
        super().__init__()
        self.model, self.weights, self.consistency, self.dense_stride = model, weights, consistency, dense_stride

    def parts_to_spread(self) -> list[nn.Module]:
        """Modules that FSDP brings together one at a time."""
        return [self.model.backbone, *self.model.heads.values()]

    def forward(
        self,
        images: torch.Tensor,
        targets: Mapping[str, Mapping[str, torch.Tensor]],
        matrix: torch.Tensor | None = None,
        each: bool = False,
    ) -> dict[str, torch.Tensor]:
        """`loss`, the loss of every task and, with `each`, `each` (B,): the summed task losses of every sample."""
        size = (images.shape[-2], images.shape[-1])
        pixels = some_pixels(self.dense_stride)
        features = self.model.features(images)
        raw = self.model.run_heads(features)
        tasks = self.model.tasks
        found = {name: to_size(tasks[name], prediction, size, pixels) for name, prediction in raw.items()}
        targets = {name: thinned(target, size, pixels) for name, target in targets.items()}
        losses = {name: task.loss(found[name], targets[name]) for name, task in tasks.items()}
        figures = {f"loss/{name}": loss.detach() for name, loss in losses.items()}
        total = self.weights(losses)
        if matrix is not None:
            term = self._consistency(images, features, raw, matrix)
            figures["loss/affine"] = term.detach()
            total = total + self.consistency.weight * term
        figures["loss"] = total
        if each:
            figures["each"] = torch.zeros(len(images), device=images.device)
            for name, task in tasks.items():
                figures["each"] += each_loss(task, found[name], targets[name])
        return figures

    def _consistency(
        self, images: torch.Tensor, features: Features, raw: Mapping[str, Any], matrix: torch.Tensor
    ) -> torch.Tensor:
        moved, _ = transform(images, matrix)
        of_moved = self.model.features(moved.to(images.dtype))
        on = self.consistency.on
        term = torch.zeros((), device=images.device)
        if on in ("features", "both"):
            term = term + map_consistency(feature_map(of_moved), feature_map(features), matrix)
        if on in ("outputs", "both"):
            size = (images.shape[-2], images.shape[-1])
            for name, prediction in self.model.run_heads(of_moved).items():
                task = self.model.tasks[name]
                sized = [to_size(task, each, size) for each in (prediction, raw[name])]
                term = term + prediction_consistency(task, sized[0], sized[1], matrix)
        return term


def train(
    config: TrainConfig,
    dataset_root: Path | str,
    out_dir: Path | str,
    seed: int = 0,
    *,
    dataset: Any = None,
    initial: Path | str | None = None,
) -> TrainResult:
    """Train the tasks of the configuration, bound or plain, on a dataset; writes the model folder `out_dir`.

    out_dir gets `model.safetensors`, `model.json` and `metrics.json`; while it runs `last.ckpt` and `tensorboard/`. A
    run that was interrupted goes on from `last.ckpt`; one that is finished is left as it is. dataset: an object like
    a `ShardDataset` to read instead of `dataset_root`. initial: a model folder to start from instead of random weights,
    with the same network, or with fewer channels (`networks.widened`). Output heads of other tasks are left out, and
    those of tasks that it lacks start from random weights.

    Raises ConfigError, DataError or PluginError for what the user can mend, SynthForgeError when training diverges.
    """
    check_values(config, "config")
    out = place(out_dir)
    built, references = build_tasks(config.tasks)
    tasks = {name: (task, references[name]) for name, task in built.items()}
    # What is bound does not travel to other processes; and model.json holds the keys as the YAML has them.
    config = dataclasses.replace(config, tasks=plain(config.tasks))
    job = _TrainProcess(config, place(dataset_root), out, tasks, seed, dataset, initial)
    fabric = hardware.make_fabric(config.hardware, config.precision)
    return TrainResult(**processes.launch(fabric, job.run))


@dataclass
class _TrainProcess:
    """Everything a process needs to take part in training."""

    config: TrainConfig
    root: Path
    out: Path
    tasks: dict[str, tuple[Task, dict[str, Any]]]
    seed: int
    dataset: Any
    initial: Path | str | None = None

    def run(self, fabric: Fabric) -> dict[str, Any]:
        """Train; what `TrainResult` holds, as a plain dict that can come back from another process."""
        with hardware.numerics(self.config.hardware, forked=hardware.is_forked(fabric)):
            return dict(vars(self._run(fabric)))

    def _run(self, fabric: Fabric) -> TrainResult:
        config, out = self.config, self.out
        dataset = self._open()
        counts = [counted(config, TrainConfig), self.seed, [r for _, r in self.tasks.values()], dict(dataset.manifest)]
        if self.initial is not None:
            counts.append(read_description(self.initial).get("fingerprint"))
        mark = digest(counts)[:16]
        finished = _finished(out, mark)
        if finished is not None:
            return finished
        learn, held = split(len(dataset), config.val_fraction, self.seed)
        if not len(learn):
            raise DataError(f"{self.root} has {len(dataset)} samples: none is left to train on")
        tasks = {name: task for name, (task, _) in self.tasks.items()}
        faces, plans, members = synthetic_faces(dataset, tasks, where=str(self.root))
        model = self._model(dataset, mark, len(learn))
        module = MultiTask(model, self._weights(), config.self_supervision, config.dense_stride)
        if config.hardware.channels_last and config.hardware.strategy != "fsdp":  # which wants plain strides
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.hardware.compile:
            model.backbone.compile()
            for head in model.heads.values():
                head.compile()
        sampling = Sampling(config.sampling, learn.tolist(), self.seed)
        feed = SyntheticFeed(fabric, config, faces, plans, members, sampling, self.seed)
        job = loop.TrainingJob(
            module=module,
            averaged=model,
            optimiser=lambda: _optimiser(config, module, fabric),
            forward=feed.forward,
            batches=feed.stream.batches,
            per_epoch=feed.stream.per_epoch,
            batch_size=feed.stream.global_batch,
            epoch_samples=feed.stream.epoch_samples,
            limits=loop.StoppingCriteria(config.epochs, config.max_steps, config.max_minutes),
            final=config.optimiser.final_lr / config.optimiser.lr,
            seed=self.seed,
            fingerprint=mark,
            warmup=config.optimiser.warmup_steps,
            clip=config.optimiser.clip,
            accumulate=config.accumulate,
            ema=config.ema,
            validate=(lambda m, s: feed.validate(m, held)) if len(held) else None,
            validate_every=config.validate_every,
            checkpoint_seconds=config.checkpoint_seconds,
            checkpoint_steps=config.checkpoint_steps,
            parts={"sampling": (sampling.state, sampling.restore)},
        )
        averaged, state = loop.run(fabric, job, out, title="training")
        if fabric.is_global_zero:
            assert isinstance(averaged, FaceModel)
            if calibrated := feed.calibrate(averaged, held):
                averaged.info["training"]["calibration"] = calibrated
            self._finish(averaged, state)
        fabric.barrier()
        return TrainResult(out, _last(state.history), state.step, state.samples, state.seconds)

    def _open(self) -> Any:
        if self.dataset is not None:
            return self.dataset
        from ..datasets.reader import ShardDataset, read_manifest

        tasks = (task for task, _ in self.tasks.values())
        return ShardDataset(self.root, fields=needed_fields(tasks, read_manifest(self.root)))

    def _weights(self) -> TaskWeights:
        for key in ("task_weights", "mirrored"):
            if unknown := set(getattr(self.config, key)) - set(self.tasks):
                raise ConfigError(f"{key}: no task is called {', '.join(sorted(unknown))}")
        weights = {n: task.weight * self.config.task_weights.get(n, 1.0) for n, (task, _) in self.tasks.items()}
        return TaskWeights(weights, learned=self.config.weighting == "uncertainty")

    def _model(self, dataset: Any, mark: str, count: int) -> FaceModel:
        torch.manual_seed(int(seed_sequence(self.seed, 0, "weights").generate_state(1)[0]))
        manifest = dict(dataset.manifest)
        info = {
            "crop_scale": self.config.framing.crop_scale,
            "task_sizes": dict(self.config.task_sizes),
            "mirrored": list(self.config.mirrored),
            "seed": self.seed,
            "fingerprint": mark,
            "versions": dict(versions()),
            "training": {
                "config": counted(self.config, TrainConfig),
                "samples": count,
                "manifest": digest(manifest)[:16],
            },
            "licences": manifest.get("licences", {}),
            "real_data": [],
        }
        tasks = {name: task for name, (task, _) in self.tasks.items()}
        model = FaceModel(self.config.network, tasks, {n: r for n, (_, r) in self.tasks.items()}, info=info)
        if self.initial is not None:
            self._start_from(model, place(self.initial))
        if not self.config.optimiser.encoder_factor:
            model.freeze()
        return model

    def _start_from(self, model: FaceModel, folder: Path) -> None:
        given = load_model(folder)
        before = given.info["training"]
        if given.adapter_info or given.info.get("real_data"):
            raise ConfigError(f"initial: {folder} has seen real data; training starts from synthetic models only")
        given.looks = nn.ModuleList()  # what they refine is another first look from now on
        try:
            weights = start_weights(given, model)
            model.load_state_dict(weights)
            if any(weights[name].shape != w.shape for name, w in given.state_dict().items() if name in weights):
                _check_same_answers(given, model)
        except ValueError as error:
            raise ConfigError(
                f"initial: {folder} has another network or other tasks: {error}",
                hint="Give `network` and the keys of its tasks as that model was trained with, or with more channels.",
            ) from error
        model.info["training"]["initial"] = {"fingerprint": given.info.get("fingerprint"), **before}

    def _finish(self, model: FaceModel, state: loop.State) -> None:
        write_json(
            self.out / "metrics.json",
            {
                "final": _last(state.history),
                "history": state.history,
                "steps": state.step,
                "samples": state.samples,
                "seconds": state.seconds,
                "samples_per_second": round(state.samples / max(state.seconds, 1e-9), 2),
            },
        )
        model.info["training"] |= {"steps": state.step, "samples_seen": state.samples}
        model.save(self.out)
        (self.out / loop.CHECKPOINT).unlink(missing_ok=True)


def _check_same_answers(given: FaceModel, wide: FaceModel) -> None:
    """Raise ValueError where a widened network does not answer as the given one: its channels are in another order."""
    size = wide.input_size
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            before, after = given(images), wide.eval()(images)
    except (RuntimeError, AssertionError) as error:  # a transformer is built for one size of crops
        raise ValueError(f"it takes no crops of {size} pixels") from error
    wide.train()
    for task in sorted(set(before) & set(after)):
        for key, value in before[task].items():
            if not torch.allclose(value, after[task][key], rtol=1e-3, atol=1e-3 * float(value.abs().max())):
                raise ValueError(f"the answers to '{task}' are others with more channels: something concatenates them")


def _optimiser(config: TrainConfig, module: MultiTask, fabric: Fabric) -> torch.optim.Optimizer:
    o = config.optimiser
    parts = [(module.model.backbone, o.lr * o.encoder_factor), (module.model.heads, o.lr)]
    groups = hardware.groups_of(parts, o.weight_decay)
    weights = list(module.weights.parameters())
    if weights:
        groups.append({"params": weights, "lr": 10 * o.lr, "weight_decay": 0.0})
    return hardware.adamw(groups, fabric)


def _finished(out: Path, mark: str) -> TrainResult | None:
    if not (out / DESCRIPTION).exists() or (out / loop.CHECKPOINT).exists():
        return None
    description = read_description(out)
    if description.get("fingerprint") != mark:
        raise DataError(
            f"{out} holds a model of another configuration, seed or dataset",
            hint="Train into another folder, or delete it.",
        )
    try:
        check_weights(out, description)
        figures = read_json(out / "metrics.json")
        return TrainResult(out, figures["final"], figures["steps"], figures["samples"], figures["seconds"])
    except (DataError, KeyError, TypeError):  # lost or damaged since: it is made again
        return None


def _last(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return dict(history[-1]) if history else {}
