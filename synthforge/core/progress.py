"""Output for users: one console for all commands, and a progress bar for everything over two seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from . import events

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """A terminal that prints texts literally: brackets and colons of names and paths are not markup."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    made.on_broken_pipe = _reader_left  # type: ignore[method-assign]
    return made


def _reader_left() -> None:
    """Rich would end the process with code 1; the command line has its own way (`cli.main`)."""
    raise BrokenPipeError


def steady_streams() -> None:
    """Keep running whatever happens to the output streams: closed ones become null devices, and errors of stderr are
    dropped.

    Names that stdout cannot encode are written with escapes.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # else the next opened file would get its file descriptor
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as we do
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = cast("TextIO", _Steady(stderr))


class _Steady:
    """A text stream whose reader may close it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextmanager
def progress_bar(
    title: str, total: int | None, *, unit: str = "items", shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr, unless `shown` is False; yields `advance(count)`.

    The metrics file shows the same numbers.
    """
    if not shown:
        yield lambda count: None
        return
    with events.tracked(title, total, unit) as note, _bar(title, total, unit) as advance:

        def both(count: int = 1) -> None:
            advance(count)
            note(count)

        yield both


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    if events.log_json():
        yield lambda count: None
        return
    if not sys.stderr.isatty():
        yield _Log(title, total, unit)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    begin = time.monotonic()
    with Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console(stderr=True),
    ) as progress:
        task = progress.add_task(title, total=total, rate="")

        def advance(count: int = 1) -> None:
            progress.advance(task, count)
            done = progress.tasks[0].completed
            progress.update(task, rate=f"{done / max(time.monotonic() - begin, 1e-9):.1f} {unit}/s")

        yield advance


class _Log:
    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.begin = self.said = time.monotonic()
        self.done = 0

    def __call__(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        finished = count > 0 and self.done == self.total and now - self.begin > 2
        if finished or now - self.said > events.LOG_EVERY_SECONDS:  # without a terminal (a log file, CI)
            self.said = now
            of = f"/{self.total}" if self.total is not None else ""
            rate = self.done / (now - self.begin)
            print(f"  {self.title}: {self.done}{of} {self.unit}, {rate:.1f} {self.unit}/s", file=sys.stderr, flush=True)
