"""convert: a finished dataset in another tool's format, with its card, a Croissant file and its recipe."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, DataError, PluginError, at, did_you_mean
from ..core.interfaces import Work
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.plugins import load_plugins
from ..core.progress import progress_bar
from ..core.tables import Default
from ..datasets.marks import source_type
from . import promises

if TYPE_CHECKING:
    from ..core.interfaces import Executor
    from ..datasets.formats import Export, Format


@dataclass
class ConvertConfig:
    """A dataset in the format of another tool."""

    dataset: str = key(MISSING, "A generate stage or a dataset folder.")
    to: str = key(MISSING, "Format to write; `synthforge plugins --kind formats` lists them.")
    val: float = key(0.0, "Share of the samples, the last ones, that are for validation; 0 for none.", low=0, below=1)
    mark: bool = key(True, "Whether pictures say in their metadata that a program made them (IPTC, as XMP).")
    workers: int = key(0, "Processes; 0 is one a core. Never changes a byte.", low=0, high=100_000, counts=False)
    executor: Any = key(
        Default("executors"), "Where shards are written: a name, or a mapping with `name`.", counts=False
    )


@dataclass(frozen=True)
class ExportJob(Work):
    """What is needed to write any shard of an export; it travels to other processes, where it is opened again."""

    dataset: Path
    out: Path
    to: str
    val: float
    mark: str
    counts: tuple[int, ...]
    plugin_files: tuple[str, ...] = ()
    base: Path = Path()

    def size(self, unit: int) -> int:
        """Samples of a shard."""
        return self.counts[unit]

    def open(self, first: bool) -> None:
        """Take in the plugins."""
        load_plugins(self.plugin_files, base=self.base)

    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        """Write the files of a shard."""
        from ..datasets.formats import FORMATS, write_part

        write_part(FORMATS[self.to], self.export, unit, advance)

    @property
    def export(self) -> Export:
        """The dataset and the folder, opened."""
        return _opened(self)


@functools.lru_cache(maxsize=1)
def _opened(job: ExportJob) -> Export:
    """Opened once in each process, not once a shard."""
    from ..datasets.formats import Export
    from ..datasets.reader import ShardDataset

    return Export(ShardDataset(job.dataset), job.out, job.val, job.mark)


def _format(context: StageContext, config: ConvertConfig) -> Format:
    from ..datasets.formats import FORMATS

    if config.to not in FORMATS:
        hint = did_you_mean(config.to, FORMATS)
        raise ConfigError(f"{context.where}.to: there is no format '{config.to}'", hint=hint)
    return FORMATS[config.to]


def check(context: StageContext, config: ConvertConfig) -> None:
    """Answer an unknown format, a library that is not there, and a dataset that lacks what the format needs."""
    chosen = _format(context, config)
    dataset = promises.of_input(context, "dataset", "dataset")
    with at(f"{context.where}.to:"):
        chosen.check_installed()
        if chosen.check is not None:
            chosen.check(list(dataset.fields.values()))
    if config.val and not chosen.splits:
        raise ConfigError(f"{context.where}.val: the format {chosen.name} does not tell splits apart")


def promise(context: StageContext, config: ConvertConfig) -> Promise:
    """Files for another tool, which no other stage reads."""
    return Promise("export")


def run(context: StageContext, config: ConvertConfig) -> None:
    """Write the shards that are not there yet, then the files that all of them share, then card and recipe."""
    from ..datasets.card import describe
    from ..datasets.formats import part_file
    from ..datasets.reader import read_manifest

    chosen, root = _format(context, config), context.inputs["dataset"]
    manifest = read_manifest(root)
    mark = source_type(manifest) if config.mark else ""
    counts = tuple(entry["count"] for entry in manifest["shards"])
    job = ExportJob(root, context.out, config.to, config.val, mark, counts, context.plugin_files, context.base)
    _opened.cache_clear()  # the dataset may be another one than at the last run
    export = job.export
    details = f"{sum(counts):,} samples"
    if config.val:
        details += f" ({', '.join(f'{size:,} for {split}' for split, size in export.splits.items())})"
    if chosen.write is not None:
        if chosen.prepare is not None:
            chosen.prepare(context.out)
        todo = [shard for shard in range(len(counts)) if not part_file(context.out, shard).is_file()]
        there = f", {len(counts) - len(todo):,} shards there already" if len(todo) < len(counts) else ""
        context.say(f"  {details} in {len(counts):,} shard{'s' * (len(counts) != 1)}{there}")
        with progress_bar("export", sum(map(job.size, todo)), unit="samples") as advance:
            executor: Executor = config.executor.built
            if todo:
                executor.run(job, todo, workers=config.workers, advance=advance, say=context.say)
    card = chosen.finish(export) if chosen.finish is not None else None
    describe(export, chosen, card, recipe=_recipe(context, root))
    shutil.rmtree(part_file(context.out, 0).parent, ignore_errors=True)


def _recipe(context: StageContext, root: Path) -> str:
    """The recipe as YAML; empty, with a word to the user, where the dataset cannot be made from one."""
    from .again import recipe_text

    try:
        return recipe_text(root, context.plugins)
    except (DataError, PluginError) as error:
        context.say(f"  no recipe: {error.message}")
        return ""


KIND = StageKind(
    "convert",
    ConvertConfig,
    run,
    inputs=("dataset",),
    plugins={"executor": "executor"},
    check=check,
    promise=promise,
)
