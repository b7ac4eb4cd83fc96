"""The lock of an output folder in an object store, where no kernel frees what a dead process held.

The lock is an object that is made only where there is none. Its holder writes it anew every `BEAT` seconds. It counts
as left behind when its process is gone from this machine. One of another machine does when it has not changed for
`STALE` seconds, and does not while it is watched for another `BEAT`. So a clock that is wrong can delay a run, but
never lets two of them in.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from .errors import DataError, SynthForgeError, UserError
from .files import alive
from .foreign import parse_json
from .storage import RemotePath

log = logging.getLogger(__name__)

BEAT = 15.0  # seconds between two signs of life
STALE = 120.0  # seconds without one after which a lock is taken for left behind
_SHARED = ".shared."  # between a lock's name and what is each shared holder's own


@contextmanager
def leased(path: RemotePath, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock object `path` while the block runs.

    shared: with others that hold it shared, each by an object of its own. Raises UserError, naming host, process and
    time, when another process holds it; SynthForgeError at the end of the block when another process took it for left
    behind and has it now (this one had been stopped for long).
    """
    others = path.parent.glob(f"{path.name}{_SHARED}*")
    if shared:
        path, others = path.with_name(f"{path.name}{_SHARED}{uuid.uuid4().hex}"), iter((path,))
    lease = _Lease(path)
    lease.acquire()
    # Looked at after the own lock is there: of two at once, both may be refused, never both let in.
    for other in others:
        if told := holder(other):
            path.unlink(missing_ok=True)
            raise _refused(path, told)
    beats = threading.Thread(target=lease.beat, name="lease", daemon=True)
    beats.start()
    try:
        yield
    finally:
        lease.ended.set()
        beats.join(BEAT)
        mine = lease.holds()
        if mine:
            path.unlink(missing_ok=True)
    if not mine:
        raise SynthForgeError(
            f"another run has taken the lock {path}: {_told(_read(path))}",
            hint="This process was out of reach for too long. Run the same command again; what is finished is kept.",
        )


def holder(path: RemotePath) -> str:
    """Who holds a lock, in words; empty for nobody."""
    found = _read(path)
    return "" if _left_behind(path, found) else _told(found)


def _refused(path: RemotePath, told: str) -> UserError:
    return UserError(
        f"another run is at work in {path.parent}: {told}",
        hint="Wait for it, or choose another --out. A lock without signs of life is freed after "
        f"{STALE / 60:.0f} minutes.",
    )


def _left_behind(path: RemotePath, found: dict[str, Any]) -> bool:
    """Whether nobody holds a lock of which this was read."""
    if not found:  # it went away in between
        return True
    if found.get("host") == socket.gethostname() and isinstance(found.get("process"), int):
        return not alive(found["process"])
    with suppress(ValueError, TypeError):
        if (now() - datetime.fromisoformat(str(found.get("alive")))).total_seconds() < STALE:
            return False
    time.sleep(BEAT + 2)
    return _read(path) == found


class _Lease:
    def __init__(self, path: RemotePath) -> None:
        self.path, self.id, self.ended = path, uuid.uuid4().hex, threading.Event()
        self.since = now().isoformat(" ", "seconds")

    def record(self) -> bytes:
        me = {"host": socket.gethostname(), "process": os.getpid(), "since": self.since}
        return json.dumps({**me, "id": self.id, "alive": now().isoformat(" ", "seconds"), "every": BEAT}).encode()

    def acquire(self) -> None:
        if self.path.create(self.record()):
            return
        found = _read(self.path)
        if not _left_behind(self.path, found):
            raise _refused(self.path, _told(found))
        log.warning("%s: the lock of %s was left behind; going on", self.path, _told(found))
        self.path.unlink(missing_ok=True)
        if not self.path.create(self.record()) and not self.holds():
            raise _refused(self.path, _told(_read(self.path)))

    def holds(self) -> bool:
        """Whether the lock is this one's."""
        return bool(_read(self.path).get("id") == self.id)

    def beat(self) -> None:
        while not self.ended.wait(BEAT):
            try:
                if not self.holds():
                    return
                self.path.overwrite(self.record())
            except SynthForgeError as error:  # said again at the end; the next beat may succeed
                log.warning("%s: no sign of life could be written: %s", self.path, error.message)


def _read(path: RemotePath) -> dict[str, Any]:
    try:
        found = parse_json(path.read(0, 4096), path)
    except (FileNotFoundError, DataError):
        return {}
    return found if isinstance(found, dict) else {}


def _told(found: dict[str, Any]) -> str:
    if not found:
        return "a process that is just starting"
    return f"process {found.get('process')} on {found.get('host')}, since {found.get('since')}"


def now() -> datetime:
    """The time of this machine, with its zone."""
    return datetime.now(timezone.utc).astimezone()
