"""train: one multi-task model on a synthetic dataset alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError
from ..core.pipeline import StageContext, StageKind
from ..core.provenance import plain
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
    """Answer a task that stands twice before the first stage starts."""
    names = [task.name for task in config.tasks]
    for task in config.tasks:
        if names.count(task.name) > 1:
            raise ConfigError(f"{task.where}: the task '{task.name}' stands twice")


def run(context: StageContext, config: TrainStage) -> None:
    """Train, or go on from the last checkpoint."""
    from ..datasets.joint import JointDataset
    from ..learning.data import needed_fields
    from ..learning.train import train

    tasks: dict[str, Task] = {task.name: task.built for task in config.tasks}
    roots = [folder for key, folder in context.inputs.items() if key.partition(".")[0] == "dataset"]
    if not roots:
        raise ConfigError(f"{context.where}.dataset: at least one dataset is needed")
    joint = None
    if len(roots) > 1:
        joint = JointDataset(roots, sorted(needed_fields(tasks.values())))
    train(
        dataclasses.replace(config, tasks=plain(config.tasks)),
        roots[0],
        context.out,
        tasks=tasks,
        seed=context.seed if config.seed is None else config.seed,
        dataset=joint,
        initial=context.inputs.get("initial"),
    )


KIND = StageKind(
    "train",
    TrainStage,
    run,
    inputs=("dataset", "initial"),
    plugins={"tasks": "task"},
    check=check,
    loose=("tensorboard/*",),
)
