"""standin: synthetic faces in the layout of a real dataset, so that a pipeline can run without the real one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, did_you_mean
from ..core.interfaces import Benchmark
from ..core.pipeline import Promise, StageContext, StageKind
from . import promises
from .generate import MANY


@dataclass
class StandinConfig:
    """Synthetic faces in the layout of a real dataset."""

    dataset: str = key(MISSING, "A generate stage or a dataset folder, of other seeds than the training data.")
    format: str = key("", "Benchmark whose layout is written, empty for the only one that has a stand-in.")
    counts: dict[str, int] = key(
        {}, "Faces by folder of the official tree, empty for a small default.", low=1, high=MANY
    )

    def __post_init__(self) -> None:
        for folder in self.counts:
            path = PurePosixPath(folder)
            if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in folder or "\0" in folder:
                raise ValueError(f"counts: '{folder}' is no folder inside the stand-in")


def run(context: StageContext, config: StandinConfig) -> None:
    """Write the stand-in; reports on it state that these are not real photographs."""
    from ..datasets.reader import ShardDataset

    name = _format(context, config)
    where = f"{context.where}.format"
    benchmark = context.plugins.build("benchmark", {"name": name, "root": str(context.out)}, where=where)
    dataset = ShardDataset(context.inputs["dataset"])
    written = benchmark.write_stand_in((dataset[index] for index in range(len(dataset))), config.counts)
    context.say(f"  {sum(written.values())} synthetic faces in the format of {name}: a stand-in, not real photographs")


def _format(context: StageContext, config: StandinConfig) -> str:
    """The benchmark to write. Raises ConfigError for an unknown or an ambiguous one."""
    if config.format:
        return context.plugins.entry("benchmark", config.format, where=f"{context.where}.format").name
    able = [
        entry.name
        for entry in context.plugins.catalogues["benchmark"]
        if getattr(entry.factory, "write_stand_in", None) not in (None, Benchmark.write_stand_in)
    ]
    if len(able) != 1:
        raise ConfigError(f"{context.where}.format: this key must be given", hint=f"One of: {', '.join(able)}.")
    return able[0]


def check(context: StageContext, config: StandinConfig) -> None:
    """Raise ConfigError for a wrong benchmark, and for a dataset without labels for its task."""
    name = _format(context, config)
    entry = context.plugins.entry("benchmark", name)
    task = context.plugins.entry("task", getattr(entry.factory, "task", ""))
    wanted = getattr(task.factory, "kind", "")
    folders, dataset = getattr(entry.factory, "stand_in_folders", ()), promises.of_input(context, "dataset", "dataset")
    for folder in config.counts if folders else ():
        if folder not in folders:
            raise ConfigError(
                f"{context.where}.counts: {name} has no folder '{folder}'", hint=did_you_mean(folder, folders)
            )
    asked = sum(config.counts.values())
    if dataset.samples is not None and asked > dataset.samples:
        raise ConfigError(
            f"{context.where}.counts: {asked:,} faces are more than the {dataset.samples:,} of the dataset",
            hint="Generate more samples or ask for fewer faces.",
        )
    kinds = {item.kind for item in dataset.fields.values()}
    if wanted and wanted not in kinds:
        raise ConfigError(f"{context.where}.dataset: it has no {wanted} field, which faces of {name} need")


def promise(context: StageContext, config: StandinConfig) -> Promise:
    """A benchmark's layout."""
    return Promise("benchmark", layout=_format(context, config))


KIND = StageKind("standin", StandinConfig, run, inputs=("dataset",), check=check, promise=promise)
