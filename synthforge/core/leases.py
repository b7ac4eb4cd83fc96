"""The lock of an output folder in an object store, where no kernel releases the locks of dead processes.

The lock is an object that is created only if it does not exist. Its holder rewrites it every `BEAT` seconds (a
heartbeat). It is stale when its process on this machine has ended. A lock of another machine is stale when its
heartbeat is older than `STALE` seconds and does not change during another `BEAT`. So a wrong clock can delay a run, but
never admits two. Of several processes that find a stale lock, one takes it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from .errors import DataError, SynthForgeError, UserError
from .foreign import parse_json
from .holders import described, me, now, runs
from .storage import RemotePath

log = logging.getLogger(__name__)

BEAT = 15.0  # seconds between two heartbeats
STALE = 120.0  # seconds without a heartbeat after which a lock is stale
_SHARED = ".shared."  # between a lock's name and the identifier of a shared holder
_FREED = ".freed."  # between a lock's name and the stale lock that one process takes over


@contextmanager
def leased(path: RemotePath, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock object `path` while the block runs.

    shared: together with other shared holders, each with its own object. Raises UserError, naming host, process and
    time, when another process holds it; SynthForgeError at the end of the block when another process took it over as
    stale (this process was suspended for long).
    """
    others = path.parent.glob(f"{path.name}{_SHARED}*")
    if shared:
        path, others = path.with_name(f"{path.name}{_SHARED}{uuid.uuid4().hex}"), iter((path,))
    lease = _Lease(path)
    lease.acquire()
    try:
        # Checked after writing our own lock: of two processes at once, both may be refused, but never both admitted.
        if words := holders(list(others)):
            raise _refused(path, words[0])
    except BaseException:
        path.unlink(missing_ok=True)
        raise
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
            f"another run has taken the lock {path}: {described(_read(path))}",
            hint="Its heartbeat was missing for too long. Run the same command again; finished results are kept.",
        )


def holders(paths: Sequence[RemotePath]) -> list[str]:
    """Descriptions of who holds these locks; stale ones are removed where each holder has its own."""
    found = {path: _read(path) for path in paths}
    left = _left_behind(found)
    for path in left:
        if _SHARED in path.name:
            path.unlink(missing_ok=True)
    return [described(record) for path, record in found.items() if path not in left]


def _refused(path: RemotePath, words: str) -> UserError:
    return UserError(
        f"another run is writing to {path.parent}: {words}",
        hint="Wait for it, or choose another --out. A lock without a heartbeat is released after "
        f"{STALE / 60:.0f} minutes.",
    )


def _left_behind(found: dict[RemotePath, dict[str, Any]]) -> set[RemotePath]:
    """The stale ones among these locks; those that must be watched are watched at the same time."""
    left, watched = set(), []
    for path, record in found.items():
        living = runs(record)
        if not record or living is False:  # not record: the lock was removed in between
            left.add(path)
        elif not _beats(record):
            watched.append(path)
    if watched:
        time.sleep(BEAT + 2)
    return left | {path for path in watched if _read(path) == found[path]}


def _beats(record: dict[str, Any]) -> bool:
    """Whether the last heartbeat is recent; one in the future comes from a wrong clock."""
    with suppress(ValueError, TypeError):
        return abs((now() - datetime.fromisoformat(str(record.get("alive")))).total_seconds()) < STALE
    return False


class _Lease:
    def __init__(self, path: RemotePath) -> None:
        self.path, self.id, self.ended = path, uuid.uuid4().hex, threading.Event()
        self.since = now().isoformat(" ", "seconds")

    def record(self) -> bytes:
        about = {**me(), "since": self.since, "id": self.id}
        return json.dumps({**about, "alive": now().isoformat(" ", "seconds"), "every": BEAT}).encode()

    def acquire(self) -> None:
        if self.path.create(self.record()):
            return
        found = _read(self.path)
        if not _left_behind({self.path: found}):
            raise _refused(self.path, described(found))
        log.warning("%s: taking over the stale lock of %s", self.path, described(found))
        # To take it over, a process first creates an object named after it. So a lock just taken over is not taken
        # again.
        name = "".join(filter(str.isalnum, str(found.get("id"))))[:64]
        taking = self.path.with_name(f"{self.path.name}{_FREED}{name}")
        if not taking.create(self.record()):
            if _left_behind({taking: _read(taking)}):
                taking.unlink(missing_ok=True)
            raise _refused(self.path, "a process that is just starting")
        try:
            again = _read(self.path)
            if again != found and not (not again and self.path.create(self.record())):
                raise _refused(self.path, described(again))
            self.path.overwrite(self.record())
        finally:
            taking.unlink(missing_ok=True)

    def holds(self) -> bool:
        """Whether this process holds the lock."""
        return bool(_read(self.path).get("id") == self.id)

    def beat(self) -> None:
        while not self.ended.wait(BEAT):
            try:
                if not self.holds():
                    return
                self.path.overwrite(self.record())
            except SynthForgeError as error:  # reported at the end; the next heartbeat may succeed
                log.warning("%s: the heartbeat could not be written: %s", self.path, error.message)


def _read(path: RemotePath) -> dict[str, Any]:
    try:
        found = parse_json(path.read(0, 4096), path)
    except (FileNotFoundError, DataError):
        return {}
    return found if isinstance(found, dict) else {}
