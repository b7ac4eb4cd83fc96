"""train: one multi-task model on a synthetic dataset alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, at, did_you_mean
from ..core.pipeline import Promise, StageContext, StageKind
from ..learning.config import TrainConfig
from ..learning.policies import policy_of
from . import promises


@dataclass
class TrainStage(TrainConfig):
    """One multi-task network, on synthetic samples alone."""

    dataset: Any = key(MISSING, "A generate or adapt stage, a dataset folder, or a list of these.")
    initial: str = key(
        "", "A train stage or model folder with the same network and tasks, to start from instead of random weights."
    )
    seed: int | None = key(None, "Seed, null for the pipeline's.", low=0)


def check(context: StageContext, config: TrainStage) -> None:
    """Raise ConfigError for unknown names, tasks without their annotation, and batches larger than the dataset."""
    from ..learning.fields import plan_tasks

    names = [task.name for task in config.tasks]
    for index, task in enumerate(config.tasks):
        if task.name in names[:index]:
            raise ConfigError(f"{task.where}: duplicate task '{task.name}'")
    for name in ("task_weights", "task_sizes", "mirrored"):
        for each in getattr(config, name):
            if each not in names:
                raise ConfigError(f"{context.where}.{name}: there is no task '{each}'", hint=did_you_mean(each, names))
    with at(context.where):
        policy_of(config.augmentation)
    if "initial" in context.inputs:
        initial = promises.of_input(context, "initial", "model")
        if initial.photographs:
            raise ConfigError(
                f"{context.where}.initial: this model was trained on photographs, not on synthetic samples only"
            )
    elif not config.optimiser.encoder_factor:
        raise ConfigError(
            f"{context.where}.optimiser.encoder_factor: 0 keeps the encoder, which is random without `initial`",
            hint="Give `initial`, or a factor above 0.",
        )
    if not context.finished:
        _check_network(context, config)
    found = {name: promises.of_input(context, name, "dataset") for name in context.inputs if name != "initial"}
    if not found:
        raise ConfigError(f"{context.where}.dataset: at least one dataset is needed")
    for name, dataset in found.items():
        plan_tasks(dataset.fields, {task.name: task.built for task in config.tasks}, where=f"{context.where}.{name}")
    if len(set(context.inputs.values())) < len(context.inputs) and "initial" not in context.inputs:
        raise ConfigError(f"{context.where}.dataset: a dataset is in the list twice")
    counts = [dataset.samples for dataset in found.values()]
    if None not in counts:
        total = sum(filter(None, counts))
        left = total - int(total * config.val_fraction)
        for name, asked in (("batch_size", config.batch_size), ("sampling.budget", config.sampling.budget)):
            if asked > left:
                raise ConfigError(
                    f"{context.where}.{name}: {asked:,} is more than the {left:,} samples to train on",
                    hint="Make it smaller, or generate more samples.",
                )


def _check_network(context: StageContext, config: TrainConfig) -> None:
    """Raise ConfigError for crop sizes that the network does not support, and for an incompatible `initial`."""
    from ..learning.planned import check_sizes, check_start, planned

    sizes = {f"more_sizes[{index}]": size for index, size in enumerate(config.more_sizes)}
    with at(context.where):
        model = planned(config.network, {task.name: task.built for task in config.tasks})
        local = config.batch_size // config.hardware.processes
        check_sizes(model, {"network.input_size": config.network.input_size, **sizes}, batch=min(local, 2))
    if "initial" in context.inputs:
        with at(f"{context.where}.initial"):
            check_start(model, promises.model(context, "initial"))


def promise(context: StageContext, config: TrainStage) -> Promise:
    """A model with its tasks."""
    return Promise("model", tasks={task.name: task.reference for task in config.tasks}, network=config.network)


def run(context: StageContext, config: TrainStage) -> None:
    """Train, or resume from the last checkpoint."""
    from ..datasets.joint import JointDataset
    from ..datasets.reader import read_manifest
    from ..learning.data import needed_fields
    from ..learning.train import train

    roots = [folder for name, folder in context.inputs.items() if name.partition(".")[0] == "dataset"]
    joint = None
    if len(roots) > 1:
        joint = JointDataset(roots, needed_fields([task.built for task in config.tasks], *map(read_manifest, roots)))
    train(
        config,
        roots[0],
        context.out,
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
    promise=promise,
    loose=("tensorboard/*",),
    spreads=lambda config: config.hardware.processes > 1,
)
