"""export: a model trained on synthetic samples alone, made ready to hand out with its card."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from ..core.pipeline import StageContext, StageKind

DTYPES = ("float16", "float32")


@dataclass
class ExportConfig:
    """model: a train stage or a model folder; evaluations: evaluate stages or their folders, whose figures the card
    shows; dtype: of the weights on disk; title, summary, limits: words of the card."""

    model: str = MISSING
    evaluations: list[str] = field(default_factory=list)
    dtype: str = "float16"
    title: str = "SynthForge face model"
    summary: str = ""
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}; got '{self.dtype}'")


def run(context: StageContext, config: ExportConfig) -> None:
    """Write the weights, their description, the card and its figures."""
    from ..evaluation.store import read_numbers
    from ..learning.export import MEGABYTE, CardText, export_model

    folders = [context.inputs[f"evaluations.{index}"] for index in range(len(config.evaluations))]
    facts = export_model(
        context.inputs["model"],
        context.out,
        [numbers for folder in folders for numbers in read_numbers(folder)],
        CardText(config.title, config.summary, config.limits),
        dtype=config.dtype,
        plugins=context.plugins,
    )
    context.say(f"  {facts['bytes'] / MEGABYTE:.1f} MB, {facts['parameters']:,} parameters, sha256 {facts['sha256']}")


KIND = StageKind("export", ExportConfig, run, inputs=("model", "evaluations"))
