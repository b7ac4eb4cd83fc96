"""The executor `local`: processes of this machine; none outlives its parent, and any may die at any time.

They speak through pipes alone: a semaphore would stay in /dev/shm when all of them are killed at once.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TYPE_CHECKING, Any

from synthforge.core import events
from synthforge.core.boundary import arrived, carried
from synthforge.core.config import key
from synthforge.core.cores import available_cores, is_one_thread, one_thread
from synthforge.core.errors import SynthForgeError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Executor, Work

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

TICK = 0.2  # seconds between two looks at the workers


@dataclass
class LocalConfig:
    """Processes of this machine."""

    few: int = key(
        16, "Up to so many samples this process renders itself, which is faster than starting others.", low=0
    )
    hung: float = key(
        1800.0, "A process that finishes no sample for so long is given up, and named; 0 is never.", unit="s", low=0
    )


class LocalExecutor(Executor):
    """Units in this process where they are few, else in several."""

    def __init__(self, config: LocalConfig) -> None:
        self.config = config

    def run(
        self,
        work: Work,
        units: Sequence[int],
        *,
        workers: int,
        advance: Callable[[int], Any],
        say: Callable[[str], Any],
    ) -> Any:
        """See `Executor.run`. This process renders itself only where its libraries use one thread, as others do."""
        workers = max(1, min(workers or available_cores(), len(units)))
        if (workers == 1 or sum(map(work.size, units)) <= self.config.few) and is_one_thread():
            made = work.open(True)
            for unit in units:
                work.run(unit, advance)
            return made
        return _Pool(work, workers, self.config.hung).run(units, advance)


class _Pool:
    """Worker processes, each with a pipe. The first to start prepares what the others would do again (caches)."""

    def __init__(self, work: Work, workers: int, hung: float) -> None:
        self.hung = hung
        context = multiprocessing.get_context("spawn")  # fork would copy the threads of libraries in an unknown state
        parcel = pickle.dumps(work)  # read by the worker in its own time, where an exception can be told

        # Hidden from the workers, which would run it again: the caller's script need not guard its main part.
        script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        self.processes: dict[Connection, BaseProcess] = {}
        resource_tracker.ensure_running()  # which unblocks SIGINT when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C while a worker imports: ours alone
        try:
            for number in range(workers):
                here, there = context.Pipe()
                process = context.Process(target=_work, args=(parcel, there, os.getpid(), number == 0), daemon=True)
                process.start()
                there.close()
                self.processes[here] = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            sys.modules["__main__"] = script

    def run(self, units: Sequence[int], advance: Callable[[int], Any]) -> Any:
        """Hand out units until all are done."""
        waiting, idle, working = list(reversed(units)), set[Connection](), set(self.processes)
        made, opened = None, False
        quiet, units_of = dict.fromkeys(working, 0.0), dict[Connection, int]()
        try:
            while waiting or working:
                begin = time.monotonic()
                ready = wait(list(working), timeout=TICK)
                # At most two ticks: time in which this process stood still counts for nobody.
                passed = min(time.monotonic() - begin, 2 * TICK)
                for each in working:
                    quiet[each] = 0.0 if each in ready else quiet[each] + passed
                    if self.hung and quiet[each] > self.hung:
                        raise self._given_up(each, units_of.get(each))
                for pipe in ready:
                    assert isinstance(pipe, Connection)
                    with _alive():
                        what, value = pipe.recv()
                    if what == "step":
                        advance(value)
                        continue
                    if what == "failed":
                        raise arrived(*value)
                    if what == "made":
                        made, opened = value, True
                    working.discard(pipe)
                    idle.add(pipe)
                while idle and waiting and opened:
                    pipe = idle.pop()
                    with _alive():
                        units_of[pipe], quiet[pipe] = waiting[-1], 0.0
                        pipe.send(waiting.pop())
                        events.figure("queue", len(waiting))
                    working.add(pipe)
        finally:
            for process in self.processes.values():
                process.kill()  # a shard in the making is only a temporary file
            for pipe, process in self.processes.items():
                process.join()
                pipe.close()
        return made

    def _given_up(self, pipe: Connection, unit: int | None) -> SynthForgeError:
        doing = "building the generator" if unit is None else f"at shard {unit}"
        return SynthForgeError(
            f"worker process {self.processes[pipe].pid} hangs: nothing from it for {self.hung:g} s, {doing}",
            hint="Run the same command again: it goes on with the shards that are missing. Where a sample takes so "
            "long, set executor.hung higher.",
        )


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
    """A worker process: open the work, then run the units it is told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # as a plugin's own child processes expect it
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    # Libraries make semaphores at import. With `fork` they have no name, so none is left when this process is killed.
    multiprocessing.set_start_method("fork", force=True)
    # One process a core; and the order of a sum must not depend on the number of threads. Read when torch loads.
    one_thread(always=True)
    try:
        work: Work = pickle.loads(parcel)  # what the parent itself made, over its own pipe; no foreign bytes
        pipe.send(("made" if first else "ready", work.open(first)))
        while True:
            work.run(pipe.recv(), lambda count: pipe.send(("step", count)))
            pipe.send(("ready", None))
    except Exception as error:  # a plugin may raise anything; the parent tells it
        pipe.send(("failed", carried(error)))


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@hookimpl
def register_executors(register: Register) -> None:
    """Offer the executor `local`."""
    register(
        "local",
        LocalExecutor,
        config=LocalConfig,
        summary="processes of this machine, one a core; any may be killed",
        default=1,
    )
