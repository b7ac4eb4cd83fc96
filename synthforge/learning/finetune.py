"""Stage C: label fine-tuning. Backbone and output heads stay frozen; a network behind them learns a benchmark's labels.

Only the train split is learned from and only the validation split is looked at; a test split is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.config import check_values
from ..core.errors import ConfigError, DataError
from ..core.files import write_json
from ..core.interfaces import Benchmark
from ..core.plugins import Plugins
from ..core.provenance import counted, digest
from ..core.seeding import seed_sequence
from ..core.storage import place
from ..core.versions import versions
from . import hardware, loop, processes
from .config import FinetuneConfig
from .data import RealFaces
from .feeds import RealFeed
from .losses import EVERY, some_pixels, thinned, to_size
from .model import FaceModel, load_model
from .networks.adapters import WithEncoder
from .planned import adapter_info
from .weights import read_description

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

    def __init__(self, model: FaceModel, task: str, dense_stride: int = 1) -> None:
        super().__init__()
        self.dense_stride = dense_stride
        self.adapter = model.adapters[task]
        self.task = task
        self.learned = model.adapter_task(task)
        # Not a submodule: neither saved with the adapter, nor moved to training mode, nor wrapped for gradients.
        self.frozen: tuple[FaceModel] = (model.requires_grad_(False).eval(),)
        self.adapter.requires_grad_(True).train()

    @torch.no_grad()
    def answer(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the frozen model says: its output head's prediction, and as `features` what the adapter reads beside.

        Where the adapter needs neither, `features` are the pixels that it sees.
        """
        model = self.frozen[0]
        if model.is_apart(self.task):
            return {"features": model.pixels(images)}
        features, reads = model.features_for(images, [self.task], folded=True)
        answer: dict[str, torch.Tensor] = dict(model.head(self.task, features))
        if (seen := reads[self.task]) is not None:
            answer["features"] = seen
        return answer

    def forward(
        self, answer: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], size: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        """The loss of the adapter on answers of the frozen model."""
        pixels = some_pixels(self.dense_stride)
        found = self.adapted(self.adapter, answer, size, pixels)
        return {"loss": self.learned.loss(found, thinned(target, size, pixels))}

    def adapted(
        self,
        adapter: nn.Module,
        answer: Mapping[str, torch.Tensor],
        size: tuple[int, int],
        pixels: tuple[slice, slice] = EVERY,
    ) -> dict[str, torch.Tensor]:
        """The prediction of an adapter, which is given float32 whatever the frozen model computed in."""
        given = {key: value.float() for key, value in answer.items() if key != "features"}
        return to_size(self.learned, adapter(given, answer.get("features")), size, pixels)


def finetune(
    config: FinetuneConfig,
    model_dir: Path | str,
    benchmark: Benchmark,
    out_dir: Path | str,
    seed: int = 0,
    *,
    splits: tuple[str, str] = ("train", "val"),
    name: str = "",
    plugins: Plugins | None = None,
) -> FinetuneResult:
    """Fine-tune the task of `benchmark` on its train split; writes a complete model folder `out_dir`.

    The weights kept are those of the best validation, on plain crops, or of the last step (`FinetuneConfig.keep`). The
    constant label offset of points (`AdapterInfo.lean`) is measured last, on the training faces: a network that learns
    from flipped faces cannot learn it.

    splits: to learn from and to choose the best weights by. name: what `model.json` calls the real data.
    Raises ConfigError for a split or task that is not there, or a test split; DataError for files that are not what
    they should be.
    """
    check_values(config, "config")
    benchmark.for_learning(*splits)
    if len(set(splits)) == 1:
        raise ConfigError(f"the split '{splits[0]}' cannot both train and validate")
    job = _FinetuneProcess(
        config,
        place(model_dir),
        benchmark,
        place(out_dir),
        seed,
        *splits,
        name or benchmark.schema or benchmark.task,
        plugins,
    )
    fabric = hardware.make_fabric(config.hardware, config.precision)
    return FinetuneResult(**processes.launch(fabric, job.run))


@dataclass
class _FinetuneProcess:
    config: FinetuneConfig
    model_dir: Path
    benchmark: Benchmark
    out: Path
    seed: int
    train_split: str
    val_split: str
    name: str
    plugins: Plugins | None

    def run(self, fabric: Fabric) -> dict[str, Any]:
        """Train; what `FinetuneResult` holds, as a plain dict that can come back from another process."""
        with hardware.numerics(self.config.hardware, forked=hardware.is_forked(fabric)):
            return dict(vars(self._run(fabric)))

    def _run(self, fabric: Fabric) -> FinetuneResult:
        config, benchmark, task = self.config, self.benchmark, self.benchmark.task
        model = load_model(self.model_dir, plugins=self.plugins, input_size=config.input_size, task=task)
        model.info["task_sizes"] = {}  # the network's own size is that of these labels from here on
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
        counts = [
            counted(config, FinetuneConfig),
            self.seed,
            read_description(self.model_dir),
            [item.key for found in items.values() for item in found],
        ]
        mark = digest(counts)[:16]
        torch.manual_seed(int(seed_sequence(self.seed, 0, "adapter").generate_state(1)[0]))
        model.add_adapter(task, adapter_info(config, benchmark, self.name))
        module = LabelNetwork(model, task, config.dense_stride)
        if config.hardware.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.to(fabric.device)
        faces = {split: RealFaces(benchmark, found) for split, found in items.items()}
        feed = RealFeed(fabric, config, benchmark, model, faces[self.train_split], faces[self.val_split], self.seed)
        best = _Best(module.adapter)
        before = feed.validate(module, module.adapter) if fabric.is_global_zero else {}
        before = fabric.broadcast(before, src=0)
        best.offer(module.adapter, before)
        groups = hardware.groups_of(_parts(module.adapter, config), config.weight_decay)

        def validate(adapter: nn.Module, state: loop.State) -> loop.Figures:
            figures = feed.validate(module, adapter)
            best.offer(adapter, figures)
            return figures

        job = loop.TrainingJob(
            module=module,
            averaged=module.adapter,
            optimiser=lambda: hardware.adamw(groups, fabric),
            forward=feed.forward,
            batches=feed.stream.batches,
            per_epoch=feed.stream.per_epoch,
            batch_size=feed.stream.global_batch,
            epoch_samples=feed.stream.epoch_samples,
            limits=loop.StoppingCriteria(config.epochs, config.max_steps, config.max_minutes),
            final=config.final_lr / config.lr,
            seed=self.seed,
            fingerprint=mark,
            warmup=config.warmup_steps,
            clip=config.clip,
            ema=config.ema,
            validate=validate,
            validate_every=config.validate_every,
            stop=lambda state: bool(config.patience) and best.stale >= config.patience,
            parts={"best": (best.state, best.restore)},
        )
        averaged, state = loop.run(fabric, job, self.out, title="fine-tuning")
        if fabric.is_global_zero:
            if config.keep == "last":
                best.weights = _copy(averaged)
                best.figures = {name: value for name, value in state.history[-1].items() if name in before}
            module.adapter.load_state_dict(best.weights)
            if lean := feed.lean(model.eval()):
                model.adapter_info[task] = dataclasses.replace(model.adapter_info[task], lean=lean)
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
                "seconds": state.seconds,
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
            "config": counted(self.config, FinetuneConfig),
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


def _parts(adapter: nn.Module, config: FinetuneConfig) -> list[tuple[nn.Module, float]]:
    """What learns, and its learning rate: an encoder has one of its own."""
    if isinstance(adapter, WithEncoder):
        own = adapter.encoder, config.lr * config.encoder_factor
        return [own, (nn.ModuleList([adapter.head, adapter.net]), config.lr)]
    return [(adapter, config.lr)]


class _Best:
    """The adapter of the best validation so far; the untrained one is its first candidate."""

    def __init__(self, adapter: nn.Module) -> None:
        self.weights = _copy(adapter)
        self.figures: loop.Figures = {}
        self.stale = 0

    def offer(self, adapter: nn.Module, figures: loop.Figures) -> None:
        if not self.figures or not figures["loss"] >= self.figures["loss"]:
            self.weights, self.figures, self.stale = _copy(adapter), dict(figures), 0
        else:
            self.stale += 1

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "figures": self.figures, "stale": self.stale}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights, self.figures, self.stale = state["weights"], state["figures"], state["stale"]


def _copy(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
