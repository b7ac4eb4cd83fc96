"""A trained model on a benchmark: its task's values, in the benchmark's label schema and crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.interfaces import Benchmark

if TYPE_CHECKING:
    import numpy as np

    from ..core.plugins import Plugins
    from ..datasets.crops import Box
    from ..evaluation.boxes import Finder
    from ..evaluation.protocol import Evaluation, ScoringOptions
    from ..prediction.network import Network


def evaluate_model(
    folder: Path,
    benchmark: Benchmark,
    split: str,
    options: ScoringOptions | None = None,
    *,
    plugins: Plugins,
    name: str,
    passes: int | None = None,
    **predictor: Any,
) -> Evaluation:
    """Score the model in `folder` on a split.

    options: how the split is scored; with the box `detector`, `detector` finds the faces. The label fine-tuning network
    for the benchmark's schema predicts if the model has one, else its own output head, mapped to that schema if they
    differ. passes: number of crops, None: as in `predict` if the task locates the face, else 1, since the benchmark
    then defines the crop. predictor: further options of `prediction.predictor.Predictor`: flip, input_size, detector.
    Raises UserError when the model has no such task, or when its labels were fine-tuned on some of the faces, but not
    on all.
    """
    from ..evaluation.boxes import box_mode
    from ..evaluation.protocol import ScoringOptions, evaluate
    from ..prediction.detectors import find_detector
    from ..prediction.onnx_network import open_network
    from ..prediction.predictor import PASSES, Predictor

    options = options or ScoringOptions()
    model = open_network(folder, plugins=plugins, input_size=predictor.get("input_size", 0))
    if benchmark.task not in model.tasks:
        raise UserError(
            f"the model in {folder} has no task '{benchmark.task}', which {name} scores",
            hint=f"It has: {', '.join(model.tasks)}.",
        )
    task = model.tasks[benchmark.task]
    if not task.locates and (passes or 1) > 1:
        raise UserError(f"a second pass needs predicted points; '{name}' has none")
    ready = Predictor(
        model,
        tasks=[task.name],
        schemas={task.name: benchmark.schema},
        passes=passes or (PASSES if task.locates else 1),
        crop_scale=benchmark.crop_scale,
        **predictor,
    )
    adapted = task.name in model.adapter_info and model.schema(task.name) == benchmark.schema
    notes = _fine_tuned_on(model, benchmark, split, name, folder) if adapted else []
    how = {}
    if box_mode(options.box) == "detector":
        detector = find_detector(ready.detector).name
        options, how = replace(options, finder=_finder(detector)), {"detector": detector}
    evaluation = evaluate(ready, task, benchmark, split, options, name=name, how=how)
    evaluation.notes = (*evaluation.notes, *notes)
    if history := _training(folder, task.name, adapted):
        evaluation.details = {**evaluation.details, "training": history}
    return evaluation


def _training(folder: Path, task: str, adapted: bool) -> dict[str, list[float | None]]:
    """Figures of a task that the training of a model wrote while it went, by name, with its steps; {} for none."""
    from ..core.foreign import boundary, check_record, read_json

    path = folder / "metrics.json"
    if not path.exists():
        return {}
    with boundary(path, "the figures of a training"):
        record = read_json(path)
        check_record(record, {"history": list[dict[str, float | None]]})
        history = record["history"]
        # Fine-tuning knows one task, whose figures have no name in front; figures of parts have one behind.
        names = {name: name if adapted else name.removeprefix(f"{task}/") for each in history for name in each}
        own = {full: name for full, name in names.items() if "/" not in name and (adapted or name != full)}
        chosen = {
            "step": "step",
            **{full: name for full, name in own.items() if name not in ("epoch", "samples", "step")},
        }
        return (
            {name: [each.get(full) for each in history] for full, name in chosen.items()}
            if own and len(history) > 1
            else {}
        )


def _finder(detector: str) -> Finder:
    from ..prediction.detectors import calibration, detect_faces, to_crop_box

    calibration(detector)  # an unknown detector, or one without a calibration, is reported before the first photograph

    def find(image: np.ndarray) -> list[Box]:
        return [to_crop_box(box, detector) for box in detect_faces(image, detector)]

    return find


def _fine_tuned_on(model: Network, benchmark: Benchmark, split: str, name: str, folder: Path) -> list[str]:
    """A remark if the label fine-tuning network was trained on these faces; UserError if only on some of them."""
    tuned = [
        row
        for row in model.info.get("real_data", [])
        if row.get("task") == benchmark.task and row.get("benchmark") in (name, benchmark.schema)
    ]
    if not tuned or tuned[-1].get("train_split") not in benchmark.splits:
        return []
    row = tuned[-1]
    learned = [item.key for item in benchmark.items(row["train_split"])][: row.get("train_faces")]
    scored = {item.key for item in benchmark.items(split)}
    seen = len(scored.intersection(learned))
    if 0 < seen < len(scored):
        raise UserError(
            f"the labels of the model in {folder} were fine-tuned on {seen:,} of the {len(scored):,} faces of "
            f"{name} {split}: a figure over seen and unseen faces is meaningless",
            hint=f"Score a split it has not seen ({row.get('val_split', 'val')}), or a model that was not fine-tuned.",
        )
    return [f"the model's labels were fine-tuned on these {seen:,} faces: no measure of unseen ones"] if seen else []
