"""A trained model as a predictor for a benchmark: its task's output, in the benchmark's label schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.interfaces import Benchmark

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..core.plugins import Plugins
    from ..datasets.crops import Box
    from ..evaluation.boxes import Finder
    from ..evaluation.protocol import Evaluation, Predictor
    from ..learning.model import FaceModel


def evaluate_model(
    folder: Path,
    benchmark: Benchmark,
    split: str,
    *,
    plugins: Plugins,
    name: str,
    box: str = "truth",
    detector: str = "dlib",
    flip: bool | None = None,
    input_size: int = 0,
    **options: Any,
) -> Evaluation:
    """Score the model in `folder` on a split; further options as `evaluation.protocol.evaluate` takes them.

    A label fine-tuning network answers where the model has one for the benchmark's schema; else its own head does,
    through the mapping between class schemas where they differ. flip: also predict the mirrored crop and take the mean;
    None: where the model's description says so.
    input_size: pixels of a crop, 0 for what the model's description says of the task. detector: which finds the boxes
    with box `detector`. Raises UserError when the model has no such task, or when some of the faces, and not all, were
    what its labels were fine-tuned on.
    """
    from ..evaluation.boxes import box_mode
    from ..evaluation.protocol import evaluate
    from ..evaluation.zero_shot import in_schema
    from ..learning.model import load_model

    model = load_model(folder, plugins=plugins, input_size=input_size, task=benchmark.task)
    task = benchmark.task
    if task not in model.tasks:
        raise UserError(
            f"the model in {folder} has no task '{task}', which {name} scores",
            hint=f"It has: {', '.join(model.tasks)}.",
        )
    adapted = task in model.adapter_info and model.adapter_info[task].schema == benchmark.schema
    notes = _fine_tuned_on(model, benchmark, split, name, folder) if adapted else []

    def answer(images: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return model.predict(images, adapted=adapted, flip=flip, tasks=[task])[task]

    predictor: Predictor = answer
    if task == "segmentation" and not adapted:
        own = str(getattr(model.tasks[task], "schema", benchmark.schema))
        predictor = in_schema(answer, own, benchmark.schema)
    by_detector = box_mode(box) == "detector"
    evaluation = evaluate(
        predictor,
        benchmark,
        split,
        name=name,
        input_size=model.input_size,
        box=box,
        finder=_finder(detector) if by_detector else None,
        how={"flip": model.mirrors(task, flip), **({"detector": detector} if by_detector else {})},
        **options,
    )
    evaluation.notes = (*evaluation.notes, *notes)
    return evaluation


def _finder(detector: str) -> Finder:
    from ..prediction.detectors import detect_faces, find_detector, to_crop_box

    find_detector(detector)  # a wrong name is answered before the first photograph

    def find(image: np.ndarray) -> list[Box]:
        return [to_crop_box(box, detector) for box in detect_faces(image, detector)]

    return find


def _fine_tuned_on(model: FaceModel, benchmark: Benchmark, split: str, name: str, folder: Path) -> list[str]:
    """What to say of faces the label fine-tuning network learned from; UserError where only some of them are such."""
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
            f"{name} {split}: a figure over both means nothing",
            hint=f"Score a split it has not seen ({row.get('val_split', 'val')}), or a model that was not fine-tuned.",
        )
    return [f"the model's labels were fine-tuned on these {seen:,} faces: no measure of unseen ones"] if seen else []
