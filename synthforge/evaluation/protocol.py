"""The evaluation protocol: crop, predict, map back, score in the pixels of the photograph.

1. The face box (of the annotation, a disturbed copy of it, or a detector's; see `boxes`) is made square,
   `benchmark.crop_scale` times its larger side, cut out and resampled to `input_size` with anti-aliasing; what lies
   outside of the photograph is black.
2. The predictor sees batches of such crops and nothing else.
3. Points are mapped back to the photograph; classes are chosen and depth is interpolated at every pixel of it, at full
   resolution (see `crop_maps`).
4. With two `passes`, the tight box of the predicted points gives a second crop, which is predicted again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..core.errors import SynthForgeError, UserError
from ..core.interfaces import Benchmark
from ..core.progress import progress_bar
from ..core.records import PublishedRow, RealItem, RealSample, Scores
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from ..datasets import crops
from . import analysis
from .analysis import Analysis, Kept
from .boxes import LEAST_OVERLAP, Finder, box_mode, jittered, matching
from .crop_maps import TO_IMAGE, cut_batch

#: batch of crops (B,3,S,S) float in [0,1] -> the prediction mapping of the benchmark's task
Predictor = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
#: a sample, what was predicted for it in its own pixels, and the square shown in pictures
Predicted = tuple[RealSample, np.ndarray, crops.Box]

#: the entry of a prediction mapping that each task's benchmarks are scored on
OUTPUTS = {"keypoints": "points", "segmentation": "logits", "depth": "depth"}
CASES = ("best", "median", "worst")


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

    details: what `analysis` finds besides the scores, as plain data: `sets`, `bias`, `groups`, `worst`, `align`, and
    `boxes` of a detector.
    cases: best, median and worst faces for a report; sheet: the worst ones alone, for a contact sheet.
    """

    benchmark: str
    split: str
    task: str
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
            "task": self.task,
            "schema": self.schema,
            "primary": self.scores.primary,
            "values": {name: _number(value) for name, value in self.scores.values.items()},
            "units": dict(self.scores.units),
            "per_item": {key: _number(value) for key, value in self.scores.per_item.items()},
            "count": self.count,
            "available": self.available,
            "protocol": dict(self.protocol),
            "seconds": round(self.seconds, 3),
            "stand_in": self.stand_in,
            "notes": list(self.notes),
            "published": [{**asdict(row), "values": dict(row.values)} for row in self.published],
            "details": dict(self.details),
        }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@torch.inference_mode()
def evaluate(
    predictor: Predictor,
    benchmark: Benchmark,
    split: str,
    *,
    name: str = "",
    batch_size: int = 16,
    input_size: int = 256,
    passes: int = 1,
    box: str = "truth",
    finder: Finder | None = None,
    how: Mapping[str, Any] | None = None,
    look: Analysis | None = None,
    limit: int | None = None,
    device: str | torch.device = "cpu",
    cases: int = 4,
    progress: bool = True,
) -> Evaluation:
    """Score a predictor on a split of a benchmark by the protocol above.

    predictor: crops (B,3,input_size,input_size) float32 in [0,1] on `device` -> the task's prediction mapping (see
    `core.interfaces.Task`). name: of the benchmark, for reports. passes: 2 crops again around the predicted points.
    box: `truth`, `jitter` (see `boxes.jittered`) or `detector`, which asks `finder` for the boxes of a photograph; a
    face none of them belongs to is scored from the annotated box, and counted. how: what the report tells of the
    protocol besides. look: what is analysed besides the scores. limit: only the first so many faces. cases: how many
    best, median and worst faces to keep for pictures, each. Raises UserError when the prediction is not what the
    benchmark's task needs, ValueError for an unknown box or number of passes, and what the benchmark raises.
    """
    if benchmark.task not in OUTPUTS:
        raise UserError(f"no protocol is known for the task '{benchmark.task}'", hint=f"Known: {', '.join(OUTPUTS)}.")
    if passes not in (1, 2):
        raise ValueError(f"passes is 1 or 2, got {passes}")
    box = box_mode(box)
    if passes > 1 and benchmark.task != "keypoints":
        raise UserError(f"a second pass needs predicted points; '{name or benchmark.task}' has none")
    if box == "detector" and benchmark.task != "keypoints":
        raise UserError(
            f"box: detector needs annotated face boxes to compare with; '{name or benchmark.task}' crops otherwise",
            hint="Score a landmark benchmark from a detector's boxes.",
        )
    if (box == "detector") != (finder is not None):
        raise ValueError("box 'detector' needs a finder, and only it")
    runner = _Runner(predictor, benchmark, input_size, passes, box, finder, torch.device(device), batch_size)
    told = {
        "source": "model",
        "box": box,
        "crop_scale": benchmark.crop_scale,
        "input_size": input_size,
        "passes": passes,
        **(how or {}),
    }
    evaluation = assess(
        runner.run, benchmark, split, told, name=name, look=look, limit=limit, cases=cases, progress=progress
    )
    return evaluation if finder is None else _with_detections(evaluation, runner.missed)


def _with_detections(evaluation: Evaluation, missed: set[str]) -> Evaluation:
    """The evaluation with how many faces were found, and the figure of those alone."""
    scores = evaluation.scores
    lost = sorted(missed & scores.per_item.keys())
    found = [error for key, error in scores.per_item.items() if key not in missed]
    values = {
        "detected/nme": float(np.mean(found)) if found else float("nan"),
        "detected": 100.0 * len(found) / len(scores.per_item),
    }
    details = {
        "missed": len(lost),
        "missed_faces": lost,
        "least_overlap": LEAST_OVERLAP,
        "nme_detected": _number(values["detected/nme"]),
    }
    note = (
        f"{len(lost)} of {len(scores.per_item)} faces were not found by the detector (no box overlaps the annotated "
        f"one by {LEAST_OVERLAP:g} of their union) and are scored from the annotated box; 'detected' leaves them out"
    )
    return replace(
        evaluation,
        scores=replace(
            scores, values={**scores.values, **values}, units={**scores.units, **dict.fromkeys(values, "%")}
        ),
        details={**evaluation.details, "boxes": details},
        notes=(*evaluation.notes, note),
    )


def assess(
    run: Callable[[Sequence[RealItem]], Iterable[Predicted]],
    benchmark: Benchmark,
    split: str,
    how: Mapping[str, Any],
    *,
    name: str = "",
    look: Analysis | None = None,
    limit: int | None = None,
    cases: int = 4,
    progress: bool = True,
) -> Evaluation:
    """Score what `run` predicts for the faces of a split, wherever the predictions come from.

    run: items -> (sample, prediction in its photograph's pixels, the square shown in pictures), in the same order.
    how: the protocol, as the report tells it. look: what is analysed besides the scores.
    """
    name = name or type(benchmark).__name__
    look = look or Analysis()
    schema = POINT_SCHEMAS.get(benchmark.schema) if benchmark.task == "keypoints" else None
    if look.align and schema is None:
        raise UserError(f"align: {name} has no landmarks to fit maps for")
    everything = benchmark.items(split)
    items = everything[:limit]
    fit_items = analysis.fitting(benchmark, split, items, look)
    more = [item for item in fit_items if look.align_split]
    kept, fitting = Kept(), Kept()
    start = time.perf_counter()
    total = len(items) + len(more)
    with progress_bar(f"{name} {split}", total, unit="faces", shown=progress) as advance:

        def results() -> Iterator[tuple[RealSample, np.ndarray]]:
            for sample, prediction, square in run(items):
                known = benchmark.attributes(sample) if look.groups else None
                kept.add(sample, prediction, square[2] - square[0], known, schema)
                yield sample, prediction
                advance(1)

        scores = benchmark.score(results())
        seconds = time.perf_counter() - start
        for sample, prediction, square in run(more):
            fitting.add(sample, prediction, square[2] - square[0], None, schema)
            advance(1)
    if len(scores.per_item) != len(items):
        raise SynthForgeError(f"{name}: {len(scores.per_item)} of {len(items)} faces were scored")
    # The faces for the pictures are predicted again rather than kept for the whole split.
    picked = pick_cases(scores.per_item, cases)
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
        task=benchmark.task,
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
    """Predictions in the photographs' pixels, batch by batch; the next batch is read while this one is computed."""

    predictor: Predictor
    benchmark: Benchmark
    input_size: int
    passes: int
    box: str
    finder: Finder | None
    device: torch.device
    batch_size: int
    missed: set[str] = field(default_factory=set)

    def run(self, items: Sequence[RealItem]) -> Iterator[Predicted]:
        step = self.batch_size
        batches = [items[first : first + step] for first in range(0, len(items), step)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            waiting = [pool.submit(self.benchmark.load, item) for item in batches[0]] if batches else []
            for number in range(len(batches)):
                following = batches[number + 1] if number + 1 < len(batches) else []
                current, waiting = waiting, [pool.submit(self.benchmark.load, item) for item in following]
                yield from self._batch([future.result() for future in current])

    def _batch(self, samples: list[RealSample]) -> Iterator[Predicted]:
        predictions, squares = self._predict(samples, [self._box(sample) for sample in samples])
        for _ in range(1, self.passes):
            boxes = [(*points.min(axis=0), *points.max(axis=0)) for points in predictions]
            predictions, squares = self._predict(samples, boxes)
        yield from zip(samples, predictions, squares, strict=True)

    def _box(self, sample: RealSample) -> crops.Box:
        if self.box == "jitter":
            return jittered(sample.box, sample.item.key)
        if self.finder is None:
            return sample.box
        found = matching(sample.box, self.finder(sample.image))
        if found is None:
            self.missed.add(sample.item.key)
        return found or sample.box

    def _predict(
        self, samples: Sequence[RealSample], boxes: Sequence[crops.Box]
    ) -> tuple[list[np.ndarray], list[crops.Box]]:
        try:
            squares = [crops.square_box(box, self.benchmark.crop_scale) for box in boxes]
            batch, matrices = cut_batch([s.image for s in samples], squares, self.input_size, self.device)
        except ValueError as error:
            keys = ", ".join(sample.item.key for sample in samples)
            raise UserError(f"no crop can be made for one of {keys}: {error}") from error
        output = self.predictor(batch)
        values = self._checked(output, len(samples))
        back = TO_IMAGE[self.benchmark.task]
        mapped = [
            back(value, matrix, self.input_size, sample.image.shape[:2])
            for value, matrix, sample in zip(values, matrices, samples, strict=True)
        ]
        return mapped, squares

    def _checked(self, output: Mapping[str, torch.Tensor], count: int) -> torch.Tensor:
        entry = OUTPUTS[self.benchmark.task]
        if not isinstance(output, Mapping) or entry not in output:
            given = ", ".join(output) if isinstance(output, Mapping) else type(output).__name__
            raise UserError(f"the prediction has no '{entry}' (it gives {given})")
        values = output[entry]
        if len(values) != count or not bool(torch.isfinite(values).all()):
            raise UserError(f"the prediction's '{entry}' {tuple(values.shape)} is not finite or not {count} long")
        schema = self.benchmark.schema
        wanted = POINT_SCHEMAS.get(schema) or CLASS_SCHEMAS.get(schema)
        if wanted is not None and values.shape[1] != len(wanted):
            raise UserError(
                f"the prediction's '{entry}' has {values.shape[1]} channels; the schema {schema} has {len(wanted)}",
                hint="A model in another schema is scored through `synthforge.evaluation.zero_shot`.",
            )
        return values
