"""finetune: only the labels, on real data; the model itself stays frozen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, at
from ..core.pipeline import Promise, StageContext, StageKind
from ..learning.config import FinetuneConfig
from ..learning.policies import policy_of
from . import benchmarks, promises


@dataclass
class FinetuneStage(FinetuneConfig):
    """The label fine-tuning network of a benchmark's task, on a frozen model."""

    model: str = key(MISSING, "A train stage or a model folder.")
    benchmark: Any = key(None, "Benchmark plugin: a mapping with `name`, `root` and the plugin's own keys.")
    benchmark_root: str = key("", "A stage or folder that replaces the benchmark's `root`.")
    train_split: str = key("train", "Split to learn from.")
    val_split: str = key("val", "Split that selects the best weights.")
    seed: int | None = key(None, "Seed, null for the pipeline's.", low=0)


def check(context: StageContext, config: FinetuneStage) -> None:
    """Raise ConfigError for mistakes that are detectable before the first stage starts."""
    from ..learning.planned import adapter_info, check_adapter, check_sizes

    splits = config.train_split, config.val_split
    benchmark = benchmarks.check(context, config.benchmark, [*zip(("train_split", "val_split"), splits, strict=True)])
    for name, split in zip(("train_split", "val_split"), splits, strict=True):
        with at(f"{context.where}.{name}"):
            benchmark.for_learning(split)
    with at(context.where):
        policy_of(config.augmentation)
    model = promises.of_input(context, "model", "model")
    task = promises.known_task(model, benchmark.task, f"{context.where}.model", "the benchmark scores")
    values = {"name": task} if isinstance(task, str) else dict(task)
    context.plugins.config("task", {**values, **config.adapter}, where=f"{context.where}.adapter")
    if config.train_split == config.val_split:
        raise ConfigError(f"{context.where}.val_split: the split '{config.val_split}' cannot both train and validate")
    faces = 0 if "benchmark_root" in context.promised else len(benchmark.items(config.train_split))
    faces = min(faces, config.limit or faces)
    if faces and config.batch_size > faces:
        raise ConfigError(
            f"{context.where}.batch_size: {config.batch_size:,} is more than the {faces:,} faces to train on",
            hint="Make it smaller.",
        )
    if context.finished:
        return
    with at(context.where):
        shapes = promises.model(context, "model", config.input_size)
        check_adapter(shapes, benchmark.task, adapter_info(config, benchmark, benchmark.task))
        size = {"input_size" if config.input_size else "model": shapes.input_size}
        sizes = size | ({"early_size": config.early_size} if config.early_size else {})
        check_sizes(shapes, sizes, batch=min(config.batch_size, 2), adapted=benchmark.task)


def promise(context: StageContext, config: FinetuneStage) -> Promise:
    """The model with other labels."""
    return dataclasses.replace(promises.of_input(context, "model", "model"), photographs=True)


def outside(context: StageContext, config: FinetuneStage) -> Any:
    """The photographs read."""
    return benchmarks.outside(context, config.benchmark, (config.train_split, config.val_split))


def run(context: StageContext, config: FinetuneStage) -> None:
    """Train the label fine-tuning network of the benchmark's task."""
    from ..learning.finetune import finetune

    benchmark = benchmarks.bound(context, config.benchmark)
    finetune(
        config,
        context.inputs["model"],
        benchmark.built,
        context.out,
        seed=context.seed if config.seed is None else config.seed,
        splits=(config.train_split, config.val_split),
        name=benchmark.name,
        plugins=context.plugins,
    )


KIND = StageKind(
    "finetune",
    FinetuneStage,
    run,
    inputs=("model", "benchmark_root"),
    local=("benchmark_root",),
    plugins={"benchmark": "benchmark"},
    loose=("tensorboard/*",),
    promise=promise,
    check=check,
    outside=outside,
    spreads=lambda config: config.hardware.processes > 1,
)
