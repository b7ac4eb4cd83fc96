"""Processes of a training: how they are started, and how Ctrl-C and SIGTERM end them.

A signal is only recorded. The loop finishes its step, writes its checkpoint and raises `Interrupted`. Its exit code is
128 + the signal's number, as in a shell: 130 for Ctrl-C, 143 for SIGTERM. A second signal ends everything at once.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.errors import SynthForgeError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: the signal that was noted, 0 for none
_noted = 0


class Interrupted(SynthForgeError):
    """Training was stopped by a signal and has saved where it was."""


def interrupted(number: int, saved: str) -> Interrupted:
    """The error that ends a training after signal `number`; saved: what can be gone on with."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    error = Interrupted(f"stopped by {name}; {saved}", hint="The same command goes on from there.")
    error.exit_code = 128 + number
    return error


def noted() -> int:
    """The signal that asks this training to stop, 0 for none."""
    return _noted


@contextmanager
def signals_noted(*, forward: bool = False) -> Iterator[None]:
    """Note SIGINT and SIGTERM instead of ending the process. forward: to all child processes as well.

    Does nothing outside of the main thread, where Python has no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _noted
    worker = multiprocessing.parent_process() is not None

    def note(number: int, frame: Any) -> None:
        global _noted
        again, _noted = _noted, number
        if worker:  # whoever started this process decides about a second signal
            return
        for child in multiprocessing.active_children() if forward else ():
            if child.pid:
                os.kill(child.pid, signal.SIGKILL if again else number)
        if again:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    if not worker:
        _noted = 0
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# What torch says when another process of a training is there no more; its exceptions have no class of their own.
_LOST = re.compile(r"gloo/transport|Connection (?:closed|reset) by peer|NCCL .*(?:remote process|abort)", re.IGNORECASE)


@contextmanager
def _loss_told() -> Iterator[None]:
    """Say in words that another process of this training has ended."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise SynthForgeError(
            "another process of this training has ended, or cannot be reached",
            hint="Its own last words say why. The same command goes on from the last checkpoint.",
        ) from error


class _Reporting:
    """`run`, in a process of its own, whose errors travel to the process that waits for it."""

    def __init__(self, run: Callable[[Fabric], Any], errors: Any) -> None:
        self.run, self.errors = run, errors

    def __call__(self, fabric: Fabric) -> Any:
        try:
            with _loss_told():
                return self.run(fabric)
        except SynthForgeError as error:
            self.errors.put(error)
            raise


def launch(fabric: Fabric, run: Callable[[Fabric], Any]) -> Any:
    """What `run(fabric)` returns in the first of the processes that the Fabric starts.

    A SynthForgeError of any of them is raised here as it was there; also one for a process that was killed.
    """
    method = getattr(fabric.strategy, "_start_method", "")
    if fabric.world_size == 1 or not method or fabric.strategy.launcher is None:
        with _loss_told():
            return fabric.launch(run)
    from torch.multiprocessing import ProcessExitedException

    errors = multiprocessing.get_context(method).SimpleQueue()
    with signals_noted(forward=True):
        try:
            return fabric.launch(_Reporting(run, errors))
        except ProcessExitedException as error:
            raise SynthForgeError(
                f"process {error.error_index} of the training was ended by {error.signal_name or error.exit_code}",
                hint="Out of memory, or killed. The same command goes on from the last checkpoint.",
            ) from error
        except Exception:
            if errors.empty():
                raise
            raise errors.get() from None
