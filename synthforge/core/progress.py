"""One progress bar for everything over two seconds: what, how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Without a terminal (a log file, CI) a line now and then says the same.
LOG_EVERY_SECONDS = 15.0


@contextmanager
def progress_bar(
    title: str, total: int | None, *, unit: str = "items", shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr, unless `shown` is False; yields `advance(count)`."""
    if not shown:
        yield lambda count: None
        return
    if not sys.stderr.isatty():
        yield _Log(title, total, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    begin = time.monotonic()
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
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
        if finished or now - self.said > LOG_EVERY_SECONDS:
            self.said = now
            of = f"/{self.total}" if self.total is not None else ""
            rate = self.done / (now - self.begin)
            print(f"  {self.title}: {self.done}{of} {self.unit}, {rate:.1f} {self.unit}/s", file=sys.stderr, flush=True)
