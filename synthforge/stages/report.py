"""report: evaluations beside the published rows, with pictures, as one HTML page, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import DataError
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.provenance import PREVIOUS
from . import promises

if TYPE_CHECKING:
    from ..core.plugins import Plugins
    from ..evaluation.protocol import Evaluation


@dataclass
class ReportConfig:
    """One page about evaluations."""

    evaluations: list[str] = key(MISSING, "Evaluate stages or their folders, in the order of the rows.")
    title: str = key("SynthForge report", "Title of the page.")

    def __post_init__(self) -> None:
        if not self.evaluations:
            raise ValueError("evaluations: at least one evaluate stage is needed")


def check(context: StageContext, config: ReportConfig) -> None:
    """Raise ConfigError for a stage without evaluations; folders of runs are searched when the report is written."""
    check_evaluations(context)


def check_evaluations(context: StageContext) -> None:
    """Raise DataError for inputs `evaluations` that hold none."""
    for name, folder in context.inputs.items():
        if name in context.promised and name.startswith("evaluations"):
            promises.of_input(context, name, "evaluation")
        elif name.startswith("evaluations"):
            _evaluations(folder, f"{context.where}.{name}")


def run(context: StageContext, config: ReportConfig) -> None:
    """Write report.html, report.md and report.json."""
    from ..evaluation.report import write_report

    inputs = [context.inputs[f"evaluations.{index}"] for index in range(len(config.evaluations))]
    found = collect(inputs, context.plugins, where=f"{context.where}.evaluations")
    page = write_report(found, context.out, title=config.title)
    context.say(f"  {page}")


def collect(folders: Sequence[Path], plugins: Plugins, *, where: str) -> list[tuple[str, Evaluation]]:
    """Labels and evaluations in `folders`: of an evaluation, an evaluate stage with a folder per split, or a run.

    where: for messages. Raises DataError when a folder holds none, or one that cannot be read.
    """
    from ..evaluation.store import load_evaluation

    found = [path for folder in folders for path in _evaluations(folder, where)]
    return [load_evaluation(path, plugins) for path in found]


def _evaluations(folder: Path, where: str) -> list[Path]:
    """The evaluations in a folder of an evaluation, a stage or a run, at the first depth that has any; skips results
    set aside."""
    from ..evaluation.store import NUMBERS

    depths = [sorted(folder.glob(f"{above}{NUMBERS}")) for above in ("", "*/", "*/*/")]
    here = next(([path.parent for path in paths if PREVIOUS not in path.parts] for paths in depths if paths), [])
    if not here:
        raise DataError(
            f"{where}: {folder} holds no evaluation", hint=f"An evaluate stage writes SPLIT/{NUMBERS} there."
        )
    return here


KIND = StageKind(
    "report", ReportConfig, run, inputs=("evaluations",), promise=lambda *_: Promise("report"), check=check
)
