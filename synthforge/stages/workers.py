"""Rendering shards, in this process or in several; no worker outlives its parent, and any may die at any time.

Workers speak through pipes alone: a semaphore would stay in /dev/shm when all of them are killed at once.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core import handover
from ..core.boundary import PluginFault
from ..core.cores import is_one_thread, one_thread
from ..core.errors import SynthForgeError, UserError
from ..core.progress import progress_bar
from .recipe import Recipe

if TYPE_CHECKING:
    from ..core.factors import Factor
    from ..core.interfaces import Generator
    from ..core.nearby import Origin
    from ..core.records import Rendering, Scene
    from ..datasets.codecs import Encoding

# Up to this number of samples, rendering in this process is faster than starting workers.
FEW = 16


@dataclass(frozen=True)
class Job:
    """What is needed to write any shard of a dataset; it travels to other processes.

    start: index of the first sample; origins: of the samples in order, where they are not drawn from (seed, index)
    alone.
    """

    root: Path
    recipe: Recipe
    encoding: Encoding
    config_hash: str
    seed: int
    start: int
    samples: int
    resolution: int
    shard_size: int
    origins: tuple[Origin, ...] | None = None

    @property
    def shards(self) -> int:
        """How many files the dataset has."""
        return -(-self.samples // self.shard_size)

    def indices(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.shard_size
        return range(self.start + first, self.start + min(first + self.shard_size, self.samples))

    def scene(self, generator: Any, index: int) -> Scene:
        """The scene of a sample: drawn from (seed, index), or from its own origin."""
        with _placed(f"generator '{self.recipe.generator.name}'", self.seed, index):
            if self.origins is None:
                scene = generator.sample(self.seed, index)
            else:
                scene = generator.sample_from(self.origins[index - self.start])
        handover.check_scene(self.recipe.generator.name, scene, self.seed, index)
        return scene


@contextmanager
def _placed(plugin: str, seed: int, *indices: int) -> Iterator[None]:
    """What a plugin raises on purpose, with its name and the sample in front; `PluginFault` says both itself."""
    try:
        yield
    except PluginFault:
        raise
    except SynthForgeError as error:
        first, last = indices[0], indices[-1]
        where = f"index {first}" if first == last else f"indices {first} to {last}"
        error.message = f"the {plugin} at seed {seed}, {where}: {error.message}"
        error.args = (error.message,)
        raise


@dataclass(frozen=True)
class Made:
    """What a manifest says of a generator: where the pixels come from, and the factors it declares."""

    provenance: dict[str, Any]
    factors: Sequence[Factor]

    @staticmethod
    def by(generator: Generator) -> Made:
        """What a generator says of itself."""
        return Made(generator.provenance(), tuple(generator.factors()))


def samples(job: Job, indices: Sequence[int]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Samples in order, each with the record of its rejection or None.

    They are rendered in batches that depend on the shard alone, so that pixels do too.
    """
    from ..datasets.writer import to_sample

    recipe, seed = job.recipe, job.seed
    made_by = f"generator '{recipe.generator.name}'"
    generator: Generator = recipe.generator.built
    for first in range(0, len(indices), generator.batch_size):
        scenes = [job.scene(generator, index) for index in indices[first : first + generator.batch_size]]
        with _placed(made_by, seed, *(scene.index for scene in scenes)):
            renderings = generator.render(scenes, job.resolution)
        handover.check_renderings(recipe.generator.name, scenes, renderings, job.resolution)
        for rendering in renderings:
            annotations: dict[str, Any] = {}
            for annotator in recipe.annotators:
                with _placed(f"annotator '{annotator.name}'", seed, rendering.scene.index):
                    found = annotator.built.annotate(rendering)
                handover.check_annotations(annotator.name, annotator.built.fields, found, rendering)
                annotations.update(found)
            yield to_sample(rendering, annotations), _rejection(recipe, rendering, annotations)


def _rejection(recipe: Recipe, rendering: Rendering, annotations: Mapping[str, Any]) -> dict[str, Any] | None:
    from ..datasets.rejections import rejection

    for name, item in recipe.named_filters.items():
        with _placed(f"filter '{name}'", rendering.scene.seed, rendering.scene.index):
            verdict = item.judge(rendering, annotations)
        handover.check_verdict(name, verdict, rendering.scene)
        if not verdict.accepted:
            return rejection(rendering.scene.index, name, verdict)
    return None


def write(job: Job, shard: int, advance: Callable[[int], Any]) -> None:
    """Write one shard in this process; `advance(1)` after each sample."""
    from ..datasets.rejections import NOTE
    from ..datasets.writer import write_shard

    rejected: list[dict[str, Any]] = []

    def accepted() -> Iterator[dict[str, Any]]:
        for sample, rejection in samples(job, job.indices(shard)):
            if rejection is None:
                yield sample
            else:
                rejected.append(rejection)
            advance(1)

    notes = {NOTE: rejected} if job.recipe.filters else None
    fields, mark = job.recipe.fields, job.config_hash
    write_shard(job.root, shard, accepted(), fields, config_hash=mark, encoding=job.encoding, notes=notes)


def run_shards(job: Job, shards: Sequence[int], *, workers: int) -> Made:
    """Write shards, with several processes where that is worth it. Raises what a worker raised; finished shards stay.

    The bytes are the same either way: this process renders itself only where its libraries use one thread, as those of
    a worker do.
    """
    workers = max(1, min(workers, len(shards)))
    total = sum(len(job.indices(shard)) for shard in shards)
    with progress_bar("generate", total, unit="images") as advance:
        if (workers == 1 or total <= FEW) and is_one_thread():
            for shard in shards:
                write(job, shard, advance)
            return Made.by(job.recipe.generator.built)
        return _Pool(job, workers).run(shards, advance)


class _Pool:
    """Worker processes, each with a pipe. The first to start prepares what the others would do again (caches)."""

    def __init__(self, job: Job, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy the threads of libraries in an unknown state
        parcel = pickle.dumps(job)  # read by the worker in its own time, where an exception can be told
        # Hidden from the workers, which would run it again: the caller's script need not guard its main part.
        script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        self.processes: dict[Connection, BaseProcess] = {}
        try:
            for number in range(workers):
                here, there = context.Pipe()
                process = context.Process(target=_work, args=(parcel, there, os.getpid(), number == 0), daemon=True)
                process.start()
                there.close()
                self.processes[here] = process
        finally:
            sys.modules["__main__"] = script
        self.first = next(iter(self.processes))

    def run(self, shards: Sequence[int], advance: Callable[[int], Any]) -> Made:
        """Hand out shards until all are written."""
        waiting, idle, working = list(reversed(shards)), set[Connection](), set(self.processes)
        made: Made | None = None
        try:
            while waiting or working:
                for pipe in wait(list(working), timeout=0.2):
                    assert isinstance(pipe, Connection)
                    with _alive():
                        what, value = pipe.recv()
                    if what == "step":
                        advance(value)
                        continue
                    if what == "failed":
                        error, text = value
                        raise error from (None if isinstance(error, UserError) else _WorkerError(text))
                    made = value if what == "made" else made
                    working.discard(pipe)
                    idle.add(pipe)
                while idle and waiting and made is not None:
                    pipe = idle.pop()
                    with _alive():
                        pipe.send(waiting.pop())
                    working.add(pipe)
        finally:
            for process in self.processes.values():
                process.kill()  # a shard in the making is only a temporary file
            for pipe, process in self.processes.items():
                process.join()
                pipe.close()
        assert made is not None
        return made


class _WorkerError(Exception):
    """The traceback of an exception in a worker process, as text."""


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise SynthForgeError(
            "a worker process died (out of memory, or killed)",
            hint="Run the same command again: it goes on with the shards that are missing. Fewer --workers need less "
            "memory.",
        ) from error


def _work(parcel: bytes, pipe: Connection, parent: int, first: bool) -> None:
    """A worker process: build the recipe, then write the shards it is told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    # One process a core; and the order of a sum must not depend on the number of threads. Read when torch loads.
    one_thread(always=True)
    try:
        job: Job = pickle.loads(parcel)  # what the parent itself made, over its own pipe; no foreign bytes
        generator: Generator = job.recipe.generator.built
        if first:
            generator.prepare()
            pipe.send(("made", Made.by(generator)))
        else:
            pipe.send(("ready", None))
        while True:
            write(job, pipe.recv(), lambda count: pipe.send(("step", count)))
            pipe.send(("ready", None))
    except Exception as error:  # a plugin may raise anything; the parent tells it
        text = f"\n{traceback.format_exc()}"
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # not every exception can travel
            error = SynthForgeError(f"{type(error).__name__}: {error}")
        pipe.send(("failed", (error, text)))


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
