"""The evaluation protocol: predict the faces of a split as `predict` does, score in the pixels of the photograph.

The face box is that of the annotation, a disturbed copy of it, or a detector's (see `boxes`); the crop is the
benchmark's `crop_scale` times its larger side. From there to a value in the photograph's pixels the predictor decides
(`prediction.predictor`), so that what is scored is what `synthforge predict` serves; maps cover the whole photograph.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np

from ..core.cores import available_cores
from ..core.errors import SynthForgeError, UserError
from ..core.interfaces import Benchmark, Task
from ..core.progress import progress_bar
from ..core.records import PublishedRow, RealItem, RealSample, Scores
from ..core.schemas import POINT_SCHEMAS
from ..datasets import crops
from . import analysis, groups
from .analysis import Analysis, Kept
from .boxes import LEAST_OVERLAP, Finder, box_mode, jittered, matching

#: batches in memory at a time, at most
MOST_WORKERS = 8
#: a sample, what was predicted for it in its own pixels, and the square shown in pictures
Predicted = tuple[RealSample, np.ndarray, crops.Box]

CASES = ("best", "median", "worst")


class PredictsFaces(Protocol):
    """What predicts faces: `prediction.predictor.Predictor`."""

    def faces(self, images: Sequence[np.ndarray], boxes: Sequence[crops.Box], *, whole: bool = False) -> Sequence[Any]:
        """A face, with `values` by task and `crop`, in each box of the photograph in the same place of `images`."""

    def facts(self, task: str) -> Mapping[str, Any]:
        """How a task is predicted, for reports."""


@dataclass(frozen=True)
class ScoringOptions:
    """How a split is scored.

    box: `truth`, `jitter` (see `boxes.jittered`) or `detector`, which asks `finder` for the boxes of a photograph; a
    face none of them belongs to is scored from the annotated box, and counted. look: what is analysed besides the
    scores. limit: number of faces to score, from the first. cases: how many faces are kept for pictures of
    the best, the median and the worst ones. batch_size: photographs read and predicted at once. progress: whether a bar
    is shown.
    """

    box: str = "truth"
    finder: Finder | None = None
    look: Analysis = field(default_factory=Analysis)
    limit: int | None = None
    cases: int = 4
    batch_size: int = 16
    progress: bool = True


@dataclass(frozen=True)
class Case:
    """One face to look at: which (`best`, `median`, `worst`), its error, the sample, the prediction and the crop."""

    kind: str
    error: float
    sample: RealSample
    prediction: np.ndarray
    box: crops.Box


@dataclass
class Evaluation:
    """One model on one split: its scores and everything needed to repeat or judge them.

    task: what is scored, which draws the pictures and names the error.
    details: what `analysis` finds besides the scores, as plain data: `sets`, `bias`, `groups`, `worst`, `align`, and
    `boxes` of a detector.
    cases: best, median and worst faces for a report; sheet: the worst ones alone, for a contact sheet.
    """

    benchmark: str
    split: str
    task: Task
    schema: str
    scores: Scores
    count: int
    available: int
    protocol: Mapping[str, Any]
    seconds: float
    stand_in: str = ""
    notes: Sequence[str] = ()
    published: Sequence[PublishedRow] = ()
    cases: Sequence[Case] = field(default_factory=tuple, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict)
    sheet: Sequence[Case] = field(default_factory=tuple, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON; a figure without a value is null."""
        return {
            "benchmark": self.benchmark,
            "split": self.split,
            "task": self.task.name,
            "schema": self.schema,
            "primary": self.scores.primary,
            "values": {name: _number(value) for name, value in self.scores.values.items()},
            "units": dict(self.scores.units),
            "metrics": {name: asdict(metric) for name, metric in self.scores.metrics.items()},
            "per_item": {key: _number(value) for key, value in self.scores.per_item.items()},
            "count": self.count,
            "available": self.available,
            "protocol": dict(self.protocol),
            "seconds": round(self.seconds, 3),
            "stand_in": self.stand_in,
            "notes": list(self.notes),
            "published": [{**asdict(row), "values": dict(row.values)} for row in self.published],
            "details": _finite(self.details),
        }


def _finite(value: Any) -> Any:
    """Plain data with null for every number that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def evaluate(
    predictor: PredictsFaces,
    task: Task,
    benchmark: Benchmark,
    split: str,
    options: ScoringOptions = ScoringOptions(),
    *,
    name: str = "",
    how: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score a predictor on a split of a benchmark by the protocol above.

    task: what the benchmark scores. name: of the benchmark, for reports. how: what the report tells of the protocol
    besides. Raises UserError when the prediction is not what the benchmark's task needs, ValueError for an unknown box,
    and what the benchmark raises.
    """
    box = box_mode(options.box)
    if box == "detector" and not task.locates:
        raise UserError(
            f"box: detector needs annotated face boxes to compare with; '{name or task.name}' crops otherwise",
            hint="Score a landmark benchmark from a detector's boxes.",
        )
    if (box == "detector") != (options.finder is not None):
        raise ValueError("box 'detector' needs a finder, and only it")
    runner = _Runner(predictor, task.name, benchmark, box, options)
    told = {"source": "model", "box": box, **predictor.facts(task.name), **(how or {})}
    evaluation = assess(runner.run, task, benchmark, split, told, options, name=name)
    return evaluation if options.finder is None else _with_detections(evaluation, runner.missed)


def _with_detections(evaluation: Evaluation, missed: set[str]) -> Evaluation:
    """The evaluation with how many faces were found, and the figure of those alone."""
    scores = evaluation.scores
    lost = sorted(missed & scores.per_item.keys())
    found = [error for key, error in scores.per_item.items() if key not in missed]
    error = f"detected/{scores.primary}"
    values = {
        error: float(np.mean(found)) if found else float("nan"),
        "detected": 100.0 * len(found) / len(scores.per_item),
    }
    details = {
        "missed": len(lost),
        "missed_faces": lost,
        "least_overlap": LEAST_OVERLAP,
        "nme_detected": _number(values[error]),
    }
    note = (
        f"{len(lost)} of {len(scores.per_item)} faces were not found by the detector (no box overlaps the annotated "
        f"one by {LEAST_OVERLAP:g} of their union) and are scored from the annotated box; 'detected' leaves them out"
    )
    return replace(
        evaluation,
        scores=replace(
            scores,
            values={**scores.values, **values},
            units={**scores.units, error: scores.units[scores.primary], "detected": "%"},
        ),
        details={**evaluation.details, "boxes": details},
        notes=(*evaluation.notes, note),
    )


def assess(
    run: Callable[[Sequence[RealItem]], Iterable[Predicted]],
    task: Task,
    benchmark: Benchmark,
    split: str,
    how: Mapping[str, Any],
    options: ScoringOptions = ScoringOptions(),
    *,
    name: str = "",
) -> Evaluation:
    """Score what `run` predicts for the faces of a split, wherever the predictions come from.

    run: items -> (sample, prediction in its photograph's pixels, the square shown in pictures), in the same order.
    how: the protocol, as the report tells it.
    """
    name, look = name or type(benchmark).__name__, options.look
    schema = POINT_SCHEMAS.get(benchmark.schema) if task.kind == "points2d" else None
    if look.align and schema is None:
        raise UserError(f"align: {name} has no landmarks to fit maps for")
    everything = benchmark.items(split)
    items = everything[: options.limit]
    fit_items = analysis.fitting(benchmark, split, items, look)
    more = [item for item in fit_items if look.align_split]
    kept, fitting = Kept(() if look.groups else groups.USUAL), Kept()
    start = time.perf_counter()
    total = len(items) + len(more)
    with progress_bar(f"{name} {split}", total, unit="faces", shown=options.progress) as advance:

        def results() -> Iterator[tuple[RealSample, np.ndarray]]:
            for sample, prediction, square in run(items):
                kept.add(sample, prediction, square[2] - square[0], benchmark.attributes(sample), schema)
                yield sample, prediction
                advance(1)

        scores = benchmark.score(results())
        seconds = time.perf_counter() - start
        for sample, prediction, square in run(more):
            fitting.add(sample, prediction, square[2] - square[0], {}, schema)
            advance(1)
    if len(scores.per_item) != len(items):
        raise SynthForgeError(f"{name}: {len(scores.per_item)} of {len(items)} faces were scored")
    # The faces for the pictures are predicted again rather than kept for the whole split.
    picked = pick_cases(scores.per_item, options.cases)
    drawn = [("worst", key) for key in analysis.worst_first(scores.per_item)[: look.sheet]]
    by_key = {item.key: item for item in items}
    shown = [
        Case(kind, scores.per_item[key], sample, prediction, square)
        for (kind, key), (sample, prediction, square) in zip(
            picked + drawn, run([by_key[key] for _, key in picked + drawn]), strict=True
        )
    ]
    return Evaluation(
        benchmark=name,
        split=split,
        task=task,
        schema=benchmark.schema,
        scores=scores,
        count=len(items),
        available=len(everything),
        protocol=how,
        seconds=seconds,
        stand_in=benchmark.stand_in,
        notes=tuple(benchmark.notes(split)),
        published=benchmark.published,
        cases=tuple(shown[: len(picked)]),
        details=analysis.details(
            scores, kept, fitting, [item.key for item in fit_items], schema, look, how.get("input_size")
        ),
        sheet=tuple(shown[len(picked) :]),
    )


def pick_cases(per_item: Mapping[str, float], count: int) -> list[tuple[str, str]]:
    """Keys of the `count` best, median and worst faces as (kind, key); no face is picked twice."""
    ranked = sorted(per_item, key=lambda key: (per_item[key], key))
    count = min(count, len(ranked) // len(CASES)) if len(ranked) >= len(CASES) else 0
    middle = (len(ranked) - count) // 2
    groups = (ranked[:count], ranked[middle : middle + count], ranked[len(ranked) - count :][::-1])
    return [(kind, key) for kind, group in zip(CASES, groups, strict=True) for key in group]


@dataclass
class _Runner:
    """Predictions in the photographs' pixels, in order: a batch a core at a time, each in a thread of its own."""

    predictor: PredictsFaces
    task: str
    benchmark: Benchmark
    box: str
    options: ScoringOptions
    missed: set[str] = field(default_factory=set)
    #: detectors need not be safe for several threads
    finding: threading.Lock = field(default_factory=threading.Lock)

    def run(self, items: Sequence[RealItem]) -> Iterator[Predicted]:
        import torch

        step = self.options.batch_size
        batches = (items[first : first + step] for first in range(0, len(items), step))
        threads, workers = torch.get_num_threads(), min(available_cores(), MOST_WORKERS)
        try:
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                waiting = deque(pool.submit(self._batch, batch) for batch in islice(batches, workers + 1))
                while waiting:
                    found = waiting.popleft().result()
                    waiting.extend(pool.submit(self._batch, batch) for batch in islice(batches, 1))
                    yield from found
        finally:
            torch.set_num_threads(threads)  # threads made later start with what was set last

    def _batch(self, items: Sequence[RealItem]) -> list[Predicted]:
        samples = [self.benchmark.load(item) for item in items]
        boxes = [self._box(sample) for sample in samples]
        try:
            faces = self.predictor.faces([sample.image for sample in samples], boxes, whole=True)
        except UserError as error:
            keys = ", ".join(sample.item.key for sample in samples)
            raise UserError(f"one of {keys}: {error.message}", hint=error.hint) from error
        return [(sample, face.values[self.task], face.crop) for sample, face in zip(samples, faces, strict=True)]

    def _box(self, sample: RealSample) -> crops.Box:
        if self.box == "jitter":
            return jittered(sample.box, sample.item.key)
        if self.options.finder is None:
            return sample.box
        with self.finding:
            found = matching(sample.box, self.options.finder(sample.image))
        if found is None:
            self.missed.add(sample.item.key)
        return found or sample.box
