"""Worker processes of `generate`: each renders whole shards; none outlives its parent, and any may die at any time."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.cores import one_thread
from ..core.errors import SynthForgeError
from ..core.interfaces import OriginGenerator

if TYPE_CHECKING:
    from ..core.interfaces import Annotator, Filter, Generator
    from ..core.nearby import Origin
    from ..core.records import Rendering, Scene
    from .generate import GenerateConfig


@dataclass(frozen=True)
class Job:
    """What a worker needs to write any shard of a dataset. Plain data: it travels to other processes.

    origins: of the samples in order, where they are not drawn from (seed, index) alone.
    """

    root: Path
    config: GenerateConfig
    seed: int
    config_hash: str
    plugin_files: tuple[str, ...]
    base: Path
    where: str
    origins: tuple[Origin, ...] | None = None

    def scene(self, generator: Generator, index: int) -> Scene:
        """The scene of a sample: drawn from (seed, index), or from its own origin."""
        if self.origins is None:
            return generator.sample(self.seed, index)
        assert isinstance(generator, OriginGenerator)  # `adapt` has asked
        return generator.sample_from(self.origins[index - self.config.start])

    def indices(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.config.shard_size
        last = min(first + self.config.shard_size, self.config.samples)
        return range(self.config.start + first, self.config.start + last)


class Workshop:
    """A generator, its annotators and its filters, built once in a process, that turn indices into samples."""

    def __init__(self, job: Job) -> None:
        from ..core.plugins import load_plugins
        from ..datasets.writer import with_image
        from .generate import build_annotators, build_filters

        plugins = load_plugins(job.plugin_files, base=job.base)
        self.job = job
        self.generator: Generator = plugins.build("generator", job.config.generator, where=f"{job.where}.generator")
        self.annotators: list[Annotator] = build_annotators(plugins, job.config, job.where)
        self.filters: dict[str, Filter] = build_filters(plugins, job.config, job.where)
        self.fields = with_image([item for annotator in self.annotators for item in annotator.fields])

    def samples(self, indices: Sequence[int]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Samples in order, each with the record of its rejection or None.

        They are rendered in batches that depend on the shard alone, so that pixels do too.
        """
        from ..datasets.writer import to_sample

        job, size = self.job, self.generator.batch_size
        for first in range(0, len(indices), size):
            batch = indices[first : first + size]
            scenes = [job.scene(self.generator, index) for index in batch]
            for rendering in self.generator.render(scenes, job.config.resolution):
                annotations: dict[str, Any] = {}
                for annotator in self.annotators:
                    annotations.update(annotator.annotate(rendering))
                yield to_sample(rendering, annotations), self._rejection(rendering, annotations)

    def _rejection(self, rendering: Rendering, annotations: Mapping[str, Any]) -> dict[str, Any] | None:
        from ..datasets.rejections import rejection

        for name, item in self.filters.items():
            verdict = item.judge(rendering, annotations)
            if not verdict.accepted:
                return rejection(rendering.scene.index, name, verdict)
        return None


# Of a worker process: the job it was started for, its way to report progress, and what it built on its first shard.
_job: Job | None = None
_counter: Any = None
_workshop: Workshop | None = None


def _start(job: Job, counter: Any, parent: int) -> None:
    """Set up a worker process."""
    global _job, _counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    # One process a core; and the order of a sum must not depend on the number of threads. Read when torch loads.
    one_thread(always=True)
    _job, _counter = job, counter


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _write(shard: int) -> int:
    """Write one shard in a worker process."""
    global _workshop
    from ..datasets.rejections import NOTE
    from ..datasets.writer import write_shard

    assert _job is not None
    job = _job
    if _workshop is None:  # here and not in `_start`, whose exceptions would not reach the parent
        _workshop = Workshop(job)
    workshop = _workshop

    rejected: list[dict[str, Any]] = []

    def accepted() -> Iterator[dict[str, Any]]:
        for sample, rejection in workshop.samples(job.indices(shard)):
            if rejection is None:
                yield sample
            else:
                rejected.append(rejection)
            _counter.put(1)

    write_shard(
        job.root,
        shard,
        accepted(),
        workshop.fields,
        config_hash=job.config_hash,
        encoding=job.config.encoding(),
        notes={NOTE: rejected} if workshop.filters else None,
    )
    return shard


def run_shards(job: Job, shards: Sequence[int], *, workers: int, say: Callable[[str], None]) -> None:
    """Write shards with several processes. Raises what a worker raised; finished shards stay."""
    from ..core.progress import progress_bar

    workers = max(1, min(workers, len(shards)))
    total = sum(len(job.indices(shard)) for shard in shards)
    context = multiprocessing.get_context("spawn")  # fork would copy torch's threads in an unknown state
    counter = context.Queue()
    executor = ProcessPoolExecutor(workers, context, _start, (job, counter, os.getpid()))
    try:
        futures: list[Future[int]] = [executor.submit(_write, shard) for shard in shards]
        with progress_bar("generate", total, unit="images") as advance:
            while True:
                done, pending = wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)
                advance(_drain(counter))
                for future in done:
                    future.result()
                if not pending:
                    break
    except BrokenProcessPool as error:
        raise SynthForgeError(
            "a worker process died (out of memory, or killed)",
            hint="Run the same command again: it goes on with the shards that are missing. Fewer --workers need less "
            "memory.",
        ) from error
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.kill()  # a shard in the making is only a temporary file
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _drain(counter: Any) -> int:
    count = 0
    try:
        while True:
            count += counter.get_nowait()
    except queue.Empty:
        return count
