"""What a scheduler or an on-call engineer reads about a run: events as JSON lines, and figures as a Prometheus text
file.

Both are off unless `--log-json` or `--metrics FILE` is given, or the corresponding variable is set, which child
processes inherit. Times are UTC.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .environment import hidden
from .errors import ConfigWarning, DataError, UserError
from .files import write_text
from .patience import RETRIED
from .ranks import launched
from .storage import is_url

LOG_JSON, METRICS = "SYNTHFORGE_LOG_JSON", "SYNTHFORGE_METRICS"
LOG_EVERY_SECONDS = 15.0
WRITE_EVERY_SECONDS = 2.0
#: the figures of the metrics file with their help texts
FIGURES = {
    "done": "Units of the stage's work that are done.",
    "total": "Units of the stage's work in all, if known.",
    "rate": "Units done per second since the work began.",
    "queue": "Units of work that wait for a worker.",
    "retries": "Units of work that were retried on another worker.",
    "store_retries": "Requests to object stores that were retried.",
    "exit_code": "Exit code of the command; absent while it runs.",
    "updated_seconds": "When this file was written, in seconds since 1970.",
}

_stage = ""
_figures: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: {} for name in FIGURES}
_written = 0.0


def log_json() -> bool:
    """Whether stderr is JSON lines only."""
    return bool(os.environ.get(LOG_JSON))


def event(name: str, *, level: str = "info", **facts: Any) -> None:
    """Write an event, if events are on: time, level, stage, event, and facts of the event."""
    if log_json():
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        details = {key: hidden(value) if isinstance(value, str) else value for key, value in facts.items()}
        record = {"time": now, "level": level, "stage": _stage, "event": name, **details}
        if (started := launched()) and started.world > 1:
            record["rank"] = started.rank
        print(json.dumps(record, default=str), file=sys.stderr, flush=True)


def enter(stage: str) -> None:
    """Set the stage that later events and figures belong to; empty for none."""
    global _stage
    _stage = stage


def figure(name: str, value: float, **labels: str) -> None:
    """Set a figure of `FIGURES` for the metrics file, which is rewritten every two seconds."""
    if not os.environ.get(METRICS):
        return
    _figures[name][tuple(sorted({"stage": _stage, **labels}.items()))] = value
    if time.monotonic() - _written > WRITE_EVERY_SECONDS:
        write_metrics()


def open_metrics() -> None:
    """Write the metrics file for the first time. Raises UserError where that is not possible."""
    path = os.environ.pop(METRICS, "")  # until the file is known to be writable
    if is_url(path):
        raise UserError(f"--metrics {path}: a file of this machine is wanted, not a URL")
    if path:
        _write(Path(path))
        os.environ[METRICS] = path
        handle, os.environ[RETRIED] = tempfile.mkstemp(prefix="synthforge-retries-")
        os.close(handle)
        atexit.register(Path(os.environ[RETRIED]).unlink, missing_ok=True)


def write_metrics() -> None:
    """Write the metrics file now, if there is one; a reader never sees a partial file.

    If writing fails, one warning is given and the run continues without it.
    """
    if not (path := os.environ.get(METRICS)):
        return
    try:
        _write(Path(path))
    except (DataError, OSError) as error:
        os.environ.pop(METRICS, None)
        warnings.warn(f"--metrics: {error}; the run continues without it", ConfigWarning, stacklevel=2)


def _write(path: Path) -> None:
    global _written
    with suppress(KeyError, OSError):
        _figures["store_retries"] = {(): os.stat(os.environ[RETRIED]).st_size}
    _figures["updated_seconds"] = {(): time.time()}
    lines = []
    for name, values in _figures.items():
        if values:
            lines += [f"# HELP synthforge_{name} {FIGURES[name]}", f"# TYPE synthforge_{name} gauge"]
        for labels, value in values.items():
            text = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels)
            lines.append(f"synthforge_{name}{{{text}}} {value:.17g}" if text else f"synthforge_{name} {value:.17g}")
    write_text(path, "\n".join(lines) + "\n")
    _written = time.monotonic()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def ended(code: int) -> None:
    """Write the event that the command ends with this exit code."""
    enter("")
    event("exit", level="info" if code == 0 else "error", exit_code=code)
    if os.environ.get(METRICS):
        _figures["exit_code"] = {(): code}
        write_metrics()


@contextmanager
def tracked(what: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Events and figures of a piece of work; yields `advance(count)`."""
    begin = said = time.monotonic()
    done = 0

    def tell(name: str) -> None:
        rate = round(done / max(time.monotonic() - begin, 1e-9), 3)
        event(name, what=what, done=done, total=total, unit=unit, rate=rate)

    def advance(count: int = 1) -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        labels = {"what": what, "unit": unit}
        figure("done", done, **labels)
        figure("rate", done / max(now - begin, 1e-9), **labels)
        if now - said > LOG_EVERY_SECONDS:
            said = now
            tell("progress")

    if total is not None:
        figure("total", total, what=what, unit=unit)
    tell("begin")
    yield advance
    tell("end")
    write_metrics()


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event("message", level=record.levelname.lower(), message=record.getMessage(), logger=record.name)


def take_logging() -> None:
    """Write log messages of libraries as events too, if events are on; call it again after importing one."""
    if not log_json():
        return
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers = [each for each in logger.handlers if not isinstance(each, logging.StreamHandler)]
    logging.basicConfig(handlers=[_Lines()], level=logging.INFO, force=True)
