"""evaluate: a model on splits of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.errors import ConfigError
from ..core.pipeline import StageContext, StageKind

# Neither of these imports torch, so that `--help` and the check of a configuration stay quick.
from ..evaluation import alignment
from ..evaluation.boxes import box_mode
from . import benchmarks

if TYPE_CHECKING:
    from ..evaluation.analysis import Analysis


@dataclass
class AlignConfig:
    """fit: how many faces one map for each landmark is fitted on, 0 for none; kind: `affine` or `offset`; split: where
    those faces are taken from, empty for the evaluated split, whose other faces are then reported."""

    fit: int = 0
    kind: str = "affine"
    split: str = ""

    def __post_init__(self) -> None:
        if self.kind not in alignment.KINDS:
            raise ValueError(f"kind is one of {', '.join(alignment.KINDS)}; got '{self.kind}'")
        if self.fit < 0:
            raise ValueError(f"fit is a number of faces, got {self.fit}")


@dataclass
class EvaluateConfig:
    """model: a train or finetune stage, or a model folder; benchmark: a reference to a benchmark plugin;
    benchmark_root: a stage or folder that takes the place of its `root`; splits: which to score.

    box: `truth`, `jitter` (shift up to 10 %, scale up to 20 %) or `detector`, found by `detector`. passes: how often to
    look, from the second on at the face found; null: as often as `predict`, and once for a benchmark that says what the
    crop shows. input_size: pixels of a crop, 0 for those the model says the task is best at (see
    TrainConfig.task_sizes). flip: the mean of the predictions of the crop and of its mirror image; null: as the model
    says (TrainConfig.mirrored). groups: attribute to edges of bins, or to [] for one group a value. worst: how many of
    the worst faces to list; sheet: how many of them to draw. limit: the first faces only. label: what the report calls
    this row.
    """

    model: str = MISSING
    benchmark: Any = None
    benchmark_root: str = ""
    splits: list[str] = field(default_factory=lambda: ["val"])
    box: str = "truth"
    detector: str = "dlib"
    passes: int | None = None
    input_size: int = 0
    flip: bool | None = None
    align: AlignConfig = field(default_factory=AlignConfig)
    groups: dict[str, Any] = field(default_factory=dict)
    worst: int = 20
    sheet: int = 0
    limit: int | None = None
    batch_size: int = field(default=16, metadata={"counts": False})
    label: str = ""

    def __post_init__(self) -> None:
        box_mode(self.box)
        if self.passes is not None and self.passes < 1:
            raise ValueError(f"passes is at least 1, or null, got {self.passes}")
        if self.input_size and self.input_size < 16:
            raise ValueError(f"input_size is 0 or at least 16 pixels, got {self.input_size}")
        if min(self.worst, self.sheet) < 0:
            raise ValueError(f"worst and sheet are numbers of faces, got {self.worst} and {self.sheet}")


def check(context: StageContext, config: EvaluateConfig) -> None:
    """Answer what can be answered before the first stage starts."""
    benchmarks.check(context, config.benchmark, config.splits)
    _look(context, config)
    if config.box == "detector":
        from ..prediction.detectors import find_detector

        find_detector(config.detector)


def outside(context: StageContext, config: EvaluateConfig) -> Any:
    """The photographs read."""
    more = [config.align.split] if config.align.fit and config.align.split else []
    return benchmarks.outside(context, config.benchmark, [*config.splits, *more])


def _look(context: StageContext, config: EvaluateConfig) -> Analysis:
    from ..evaluation.analysis import Analysis
    from ..evaluation.groups import check_edges

    try:
        groups = check_edges(config.groups)
    except ValueError as error:
        raise ConfigError(f"{context.where}.{error}") from None
    align = config.align
    return Analysis(align.fit, align.kind, align.split, groups, config.worst, config.sheet)


def run(context: StageContext, config: EvaluateConfig) -> None:
    """Score every split and keep the figures and the pictures of best, median and worst."""
    from ..evaluation.protocol import Options
    from ..evaluation.store import save_evaluation
    from .predictor import evaluate_model

    benchmark = benchmarks.build(context, config.benchmark)
    name = benchmarks.reference(context, config.benchmark)["name"]
    options = Options(box=config.box, look=_look(context, config), limit=config.limit, batch_size=config.batch_size)
    for split in config.splits:
        evaluation = evaluate_model(
            context.inputs["model"],
            benchmark,
            split,
            options,
            plugins=context.plugins,
            name=name,
            passes=config.passes,
            detector=config.detector,
            flip=config.flip,
            input_size=config.input_size,
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
    check=check,
    outside=outside,
)
