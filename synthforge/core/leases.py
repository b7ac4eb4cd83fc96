"""The lock of an output folder in an object store, where no kernel frees what a dead process held.

The lock is an object that is made only where there is none. Its holder writes it anew every `BEAT` seconds. It counts
as left behind when its process is gone from this machine. Any other does when its sign of life is not of the last
`STALE` seconds, and it does not change while it is watched for another `BEAT`. So a clock that is wrong can delay a
run, but never lets two of them in. Of several processes that find it left behind, one takes it.
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

BEAT = 15.0  # seconds between two signs of life
STALE = 120.0  # seconds without one after which a lock is taken for left behind
_SHARED = ".shared."  # between a lock's name and what is each shared holder's own
_FREED = ".freed."  # between a lock's name and which lock was left behind, while one process takes it


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
    try:
        # Looked at after the own lock is there: of two at once, both may be refused, never both let in.
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
            hint="This process was out of reach for too long. Run the same command again; what is finished is kept.",
        )


def holders(paths: Sequence[RemotePath]) -> list[str]:
    """Who holds these locks, in words; those that were left behind are removed where each holder has its own."""
    found = {path: _read(path) for path in paths}
    left = _left_behind(found)
    for path in left:
        if _SHARED in path.name:
            path.unlink(missing_ok=True)
    return [described(record) for path, record in found.items() if path not in left]


def _refused(path: RemotePath, words: str) -> UserError:
    return UserError(
        f"another run is at work in {path.parent}: {words}",
        hint="Wait for it, or choose another --out. A lock without signs of life is freed after "
        f"{STALE / 60:.0f} minutes.",
    )


def _left_behind(found: dict[RemotePath, dict[str, Any]]) -> set[RemotePath]:
    """Locks that nobody holds, of those of which this was read; all that need it are watched at the same time."""
    left, watched = set(), []
    for path, record in found.items():
        living = runs(record)
        if not record or living is False:  # not record: it went away in between
            left.add(path)
        elif not _beats(record):
            watched.append(path)
    if watched:
        time.sleep(BEAT + 2)
    return left | {path for path in watched if _read(path) == found[path]}


def _beats(record: dict[str, Any]) -> bool:
    """Whether the last sign of life is of these minutes; one of the future is that of a clock that is wrong."""
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
        log.warning("%s: the lock of %s was left behind; going on", self.path, described(found))
        # Who takes it makes an object of its name first. So nobody takes the lock of one that has just taken it.
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
