"""standin: synthetic faces laid out as a real dataset, so that a pipeline runs before the real one is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import UserError
from ..core.pipeline import StageContext, StageKind
from .generate import MANY


@dataclass
class StandinConfig:
    """Synthetic faces in the files and folders of a real dataset."""

    dataset: str = key(MISSING, "A generate stage or a dataset folder, of other seeds than the training data.")
    format: str = key("300w", "Layout to write.", choices=("300w",))
    counts: dict[str, int] = key(
        {}, "Faces by folder of the official tree, empty for a small default.", low=1, high=MANY
    )

    def __post_init__(self) -> None:
        for folder in self.counts:
            path = PurePosixPath(folder)
            if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in folder or "\0" in folder:
                raise ValueError(f"counts: '{folder}' is no folder inside the stand-in, such as helen/trainset")


def run(context: StageContext, config: StandinConfig) -> None:
    """Write the stand-in; reports on it say that these are no real photographs."""
    from ..datasets.reader import ShardDataset
    from ..evaluation.standin import write_300w_standin

    dataset = ShardDataset(context.inputs["dataset"])
    if "landmarks2d" not in {item.name for item in dataset.fields}:
        raise UserError(f"{context.where}.dataset: it has no field 'landmarks2d', so no 300W faces can be written")
    samples = (dataset[index] for index in range(len(dataset)))
    written = write_300w_standin(samples, context.out, config.counts or None)
    context.say(f"  {sum(written.values())} synthetic faces in 300W's format: a stand-in, not real photographs")


KIND = StageKind("standin", StandinConfig, run, inputs=("dataset",))
