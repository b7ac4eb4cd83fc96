"""finetune: only the labels, on real data; the model itself stays frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from ..core.pipeline import StageContext, StageKind
from ..learning.config import FinetuneConfig
from . import benchmarks


@dataclass
class FinetuneStage(FinetuneConfig):
    """model: a train stage or a model folder; benchmark: a reference to a benchmark plugin; benchmark_root: a stage or
    folder that takes the place of its `root`; train_split, val_split: which splits it may see; seed: None takes the
    pipeline's; the rest as FinetuneConfig."""

    model: str = MISSING
    benchmark: Any = None
    benchmark_root: str = ""
    train_split: str = "train"
    val_split: str = "val"
    seed: int | None = None


def check(context: StageContext, config: FinetuneStage) -> None:
    """Answer what can be answered before the first stage starts."""
    benchmarks.check(context, config.benchmark, (config.train_split, config.val_split))


def outside(context: StageContext, config: FinetuneStage) -> Any:
    """The photographs read."""
    return benchmarks.outside(context, config.benchmark, (config.train_split, config.val_split))


def run(context: StageContext, config: FinetuneStage) -> None:
    """Train the label fine-tuning network of the benchmark's task."""
    from ..learning.finetune import finetune

    finetune(
        config,
        context.inputs["model"],
        benchmarks.build(context, config.benchmark),
        context.out,
        seed=context.seed if config.seed is None else config.seed,
        train_split=config.train_split,
        val_split=config.val_split,
        name=benchmarks.reference(context, config.benchmark)["name"],
        plugins=context.plugins,
    )


KIND = StageKind(
    "finetune",
    FinetuneStage,
    run,
    inputs=("model", "benchmark_root"),
    loose=("tensorboard/*",),
    check=check,
    outside=outside,
)
