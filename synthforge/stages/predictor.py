"""A trained model as a predictor for a benchmark: its task's output, in the benchmark's label schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.interfaces import Benchmark

if TYPE_CHECKING:
    import torch

    from ..core.plugins import Plugins
    from ..evaluation.protocol import Evaluation, Predictor


def evaluate_model(
    folder: Path, benchmark: Benchmark, split: str, *, plugins: Plugins, name: str, **options: Any
) -> Evaluation:
    """Score the model in `folder` on a split; options as `evaluation.protocol.evaluate` takes them.

    A label fine-tuning network answers where the model has one for the benchmark's schema; else its own head does,
    through the mapping between class schemas where they differ. Raises UserError when the model has no such task.
    """
    from ..evaluation.protocol import evaluate
    from ..evaluation.zero_shot import in_schema
    from ..learning.model import load_model

    model = load_model(folder, plugins=plugins)
    task = benchmark.task
    if task not in model.tasks:
        raise UserError(
            f"the model in {folder} has no task '{task}', which {name} scores",
            hint=f"It has: {', '.join(model.tasks)}.",
        )
    adapted = task in model.adapter_info and model.adapter_info[task].schema == benchmark.schema

    def answer(images: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return model.predict(images, adapted=adapted, tasks=[task])[task]

    predictor: Predictor = answer
    if task == "segmentation" and not adapted:
        own = str(getattr(model.tasks[task], "schema", benchmark.schema))
        predictor = in_schema(answer, own, benchmark.schema)
    return evaluate(predictor, benchmark, split, name=name, input_size=model.input_size, **options)
