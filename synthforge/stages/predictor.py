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
    from ..evaluation.protocol import Evaluation


def evaluate_model(
    folder: Path, benchmark: Benchmark, split: str, *, plugins: Plugins, name: str, **options: Any
) -> Evaluation:
    """Score the model in `folder` on a split; options as `evaluation.protocol.evaluate` takes them.

    Where the model has a label fine-tuning network for the benchmark's schema, that answers; else its own head does,
    through the mapping between class schemas where they differ. Raises UserError when the model has no such task.
    """
    from ..evaluation.protocol import evaluate
    from ..learning.model import load_model

    model = load_model(folder, plugins=plugins)
    if benchmark.task not in model.tasks:
        raise UserError(
            f"the model in {folder} has no task '{benchmark.task}', which {name} scores",
            hint=f"It has: {', '.join(model.tasks)}.",
        )
    model.eval()

    def predictor(images: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return model.predict_for(images, benchmark.task, benchmark.schema)

    return evaluate(predictor, benchmark, split, name=name, input_size=model.input_size, **options)
