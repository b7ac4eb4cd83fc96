"""train: one multi-task model on a synthetic dataset alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key, split_reference
from ..core.errors import ConfigError
from ..core.pipeline import StageContext, StageKind
from ..learning.config import TrainConfig

if TYPE_CHECKING:
    from ..core.interfaces import Task


@dataclass
class TrainStage(TrainConfig):
    """One multi-task network, on synthetic samples alone."""

    dataset: Any = key(MISSING, "A generate or adapt stage, a dataset folder, or a list of these.")
    initial: str = key(
        "", "A train stage or model folder with the same network and tasks, to start from instead of random weights."
    )
    seed: int | None = key(None, "Seed, null for the pipeline's.", low=0)


def check(context: StageContext, config: TrainStage) -> None:
    """Answer wrong task names and keys before the first stage starts."""
    for index, reference in enumerate(config.tasks):
        context.plugins.config("task", reference, where=f"{context.where}.tasks[{index}]")


def run(context: StageContext, config: TrainStage) -> None:
    """Train, or go on from the last checkpoint."""
    from ..datasets.joint import JointDataset
    from ..learning.data import needed_fields
    from ..learning.train import train

    tasks: dict[str, Task] = {}
    for index, reference in enumerate(config.tasks):
        place = f"{context.where}.tasks[{index}]"
        name, _ = split_reference(reference, kind="task", where=place)
        if name in tasks:
            raise ConfigError(f"{place}: the task '{name}' stands twice")
        tasks[name] = context.plugins.build("task", reference, where=place)
    roots = [folder for key, folder in context.inputs.items() if key.partition(".")[0] == "dataset"]
    if not roots:
        raise ConfigError(f"{context.where}.dataset: at least one dataset is needed")
    joint = None
    if len(roots) > 1:
        joint = JointDataset(roots, sorted(needed_fields(tasks.values())))
    train(
        config,
        roots[0],
        context.out,
        tasks=tasks,
        seed=context.seed if config.seed is None else config.seed,
        dataset=joint,
        initial=context.inputs.get("initial"),
    )


KIND = StageKind("train", TrainStage, run, inputs=("dataset", "initial"), check=check, loose=("tensorboard/*",))
