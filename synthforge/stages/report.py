"""report: evaluations beside the published rows, with pictures, as one HTML page and one JSON file."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.errors import DataError
from ..core.pipeline import StageContext, StageKind


@dataclass
class ReportConfig:
    """evaluations: evaluate stages or their folders, in the order of the rows; title: of the page."""

    evaluations: list[str] = field(default_factory=list)
    title: str = "SynthForge report"

    def __post_init__(self) -> None:
        if not self.evaluations:
            raise ValueError("evaluations: at least one evaluate stage is needed")


def run(context: StageContext, config: ReportConfig) -> None:
    """Write report.html and report.json."""
    from ..evaluation.report import write_report
    from ..evaluation.store import NUMBERS, load_evaluation

    inputs = [context.inputs[f"evaluations.{index}"] for index in range(len(config.evaluations))]
    folders = [path.parent for folder in inputs for path in sorted(folder.glob(f"*/{NUMBERS}"))]
    if not folders:
        raise DataError(f"{context.where}.evaluations: no evaluation lies in {', '.join(map(str, inputs))}")
    page = write_report([load_evaluation(folder) for folder in folders], context.out, title=config.title)
    context.say(f"  {page}")


KIND = StageKind("report", ReportConfig, run, inputs=("evaluations",))
