"""evaluate: a model on splits of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, at
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.schemas import point_mapping

# Neither of these imports torch, so that `--help` and the check of a configuration stay fast.
from ..evaluation import alignment
from ..evaluation.boxes import MODES
from . import benchmarks, promises

if TYPE_CHECKING:
    from ..evaluation.analysis import Analysis


@dataclass
class AlignConfig:
    """One map for each landmark, fitted on some faces, for constant differences between labelling conventions."""

    fit: int = key(0, "Faces to fit on, 0 for no map.", low=0)
    kind: str = key("affine", "Kind of map.", choices=alignment.MAP_KINDS)
    split: str = key("", "Split of those faces; empty for the evaluated one, whose remaining faces are then reported.")


@dataclass
class EvaluateConfig:
    """A model on splits of a benchmark."""

    model: str = key(MISSING, "A train or finetune stage, or a model folder.")
    benchmark: Any = key(None, "Benchmark plugin: a mapping with `name`, `root` and the plugin's own keys.")
    benchmark_root: str = key("", "A stage or folder that replaces the benchmark's `root`.")
    splits: list[str] = key(["val"], "Splits to score.")
    box: str = key(
        "truth",
        "Where the face box comes from: the annotation, the annotation moved by up to 10 % and resized by up to 20 %, "
        "or a detector.",
        choices=(*MODES, "ground-truth"),
    )
    detector: str = key("", "Face detector, for the box `detector`; empty for the calibrated one that ranks highest.")
    passes: int | None = key(
        None,
        "Number of crops, each further one around the face found; null: as in `predict`, but 1 for a benchmark that "
        "defines its own crop.",
        low=1,
        high=10,
    )
    input_size: int = key(0, "Side of a crop, 0 for the model's size of the task.", unit="px", low=16, high=4096)
    flip: bool | None = key(
        None, "Mean with the prediction for the mirrored crop; null: as the model's description sets it for the task."
    )
    align: AlignConfig = key(AlignConfig, "A map for each landmark, fitted on some of the faces.")
    groups: dict[str, Any] = key(
        {},
        "By attribute of a face: edges of its groups, or [] for one group a value; empty: yaw and skin, where known.",
    )
    worst: int = key(20, "How many of the worst faces to list.", low=0)
    sheet: int = key(0, "How many of the worst faces to draw.", low=0, high=10_000)
    limit: int | None = key(None, "Number of faces to score, from the first; null for all.", low=1)
    batch_size: int = key(16, "Faces per batch; never changes a figure.", low=1, high=65536, counts=False)
    label: str = key("", "Name of the row in reports, empty for the stage's name.")


def check(context: StageContext, config: EvaluateConfig) -> None:
    """Raise ConfigError for mistakes that are detectable before the first stage starts."""
    if not config.splits or len({*config.splits}) < len(config.splits):
        raise ConfigError(f"{context.where}.splits: at least one split is needed, and each once")
    splits = [("splits", split) for split in config.splits]
    if config.align.fit and config.align.split:
        splits.append(("align.split", config.align.split))
    benchmark = benchmarks.check(context, config.benchmark, splits)
    model = promises.of_input(context, "model", "model")
    row = promises.known_task(model, benchmark.task, f"{context.where}.model", "the benchmark scores")
    if not model.photographs:  # fine-tuned labels may be in the benchmark's own schema
        task = context.plugins.bind("task", row, where=f"{context.where}.model").built
        schema = getattr(type(benchmark), "schema", "")  # a property reads it from data that may not be there yet
        if task.kind == "points2d" and isinstance(schema, str) and schema not in ("", task.schema):
            with at(f"{context.where}.benchmark:"):
                point_mapping(task.schema, schema)
    if config.input_size and not context.finished:
        from ..learning.planned import check_sizes

        with at(context.where):
            check_sizes(promises.model(context, "model", config.input_size).eval(), {"input_size": config.input_size})
    _look(context, config)
    if config.box == "detector" or config.detector:
        from ..prediction.detectors import calibration

        with at(f"{context.where}.detector"):
            calibration(config.detector)


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
    from ..evaluation.protocol import ScoringOptions
    from ..evaluation.store import save_evaluation
    from .predictor import evaluate_model

    benchmark = benchmarks.bound(context, config.benchmark)
    options = ScoringOptions(
        box=config.box, look=_look(context, config), limit=config.limit, batch_size=config.batch_size
    )
    for split in config.splits:
        evaluation = evaluate_model(
            context.inputs["model"],
            benchmark.built,
            split,
            options,
            plugins=context.plugins,
            name=benchmark.name,
            passes=config.passes,
            detector=config.detector,
            flip=config.flip,
            input_size=config.input_size,
        )
        save_evaluation(evaluation, context.out / split, label=config.label or context.name)
        primary = evaluation.scores.primary
        context.say(
            f"  {benchmark.name} {split}: {primary} {evaluation.scores.values[primary]:.2f} "
            f"{evaluation.scores.units[primary]} over {evaluation.count} faces"
        )


KIND = StageKind(
    "evaluate",
    EvaluateConfig,
    run,
    inputs=("model", "benchmark_root"),
    local=("benchmark_root",),
    plugins={"benchmark": "benchmark"},
    check=check,
    promise=lambda *_: Promise("evaluation"),
    outside=outside,
)
