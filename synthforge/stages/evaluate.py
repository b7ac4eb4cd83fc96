"""evaluate: a model on splits of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from ..core.pipeline import StageContext, StageKind
from . import benchmarks


@dataclass
class EvaluateConfig:
    """model: a train or finetune stage, or a model folder; benchmark: a reference to a benchmark plugin;
    benchmark_root: a stage or folder that takes the place of its `root`; splits: which to score.

    second_pass: crop again from the predicted points. box: ground-truth, or jitter. limit: the first faces only.
    label: what the report calls this row.
    """

    model: str = MISSING
    benchmark: Any = None
    benchmark_root: str = ""
    splits: list[str] = field(default_factory=lambda: ["val"])
    second_pass: bool = False
    box: str = "ground-truth"
    limit: int | None = None
    batch_size: int = 16
    label: str = ""

    def __post_init__(self) -> None:
        if self.box not in ("ground-truth", "jitter"):
            raise ValueError(f"box is ground-truth or jitter, got '{self.box}'")


def check(context: StageContext, config: EvaluateConfig) -> None:
    """Answer what can be answered before the first stage starts."""
    benchmarks.check(context, config.benchmark, config.splits)


def outside(context: StageContext, config: EvaluateConfig) -> Any:
    """The photographs read."""
    return benchmarks.outside(context, config.benchmark, config.splits)


def run(context: StageContext, config: EvaluateConfig) -> None:
    """Score every split and keep the figures and the pictures of best, median and worst."""
    from ..evaluation.store import save_evaluation
    from .predictor import evaluate_model

    benchmark = benchmarks.build(context, config.benchmark)
    name = benchmarks.reference(context, config.benchmark)["name"]
    for split in config.splits:
        evaluation = evaluate_model(
            context.inputs["model"],
            benchmark,
            split,
            plugins=context.plugins,
            name=name,
            batch_size=config.batch_size,
            second_pass=config.second_pass,
            box=config.box,
            limit=config.limit,
        )
        save_evaluation(evaluation, context.out / split, label=config.label or context.name)
        primary = evaluation.scores.primary
        context.say(
            f"  {name} {split}: {primary} {evaluation.scores.values[primary]:.2f} "
            f"{evaluation.scores.units[primary]} over {evaluation.count} faces"
        )


KIND = StageKind(
    "evaluate",
    EvaluateConfig,
    run,
    inputs=("model", "benchmark_root"),
    neutral=("batch_size",),
    check=check,
    outside=outside,
)
