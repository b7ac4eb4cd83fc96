"""Locks of output folders: one process at a time, and a message that names the holder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import DataError, UserError
from .files import clean_stale
from .foreign import parse_json
from .holders import described, me, now, runs
from .leases import holders, leased
from .storage import RemotePath

LOCK_FILE = ".lock"
# Errors of `flock` on file systems without locks; there the process named in the file decides.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def check_writable(folder: Path) -> None:
    """Raise DataError when a folder cannot be created or written to; nothing is written."""
    if isinstance(folder, RemotePath):
        folder.exists()  # raises when the store, the bucket or the credentials are missing
        return
    try:
        place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    except (OSError, ValueError) as error:  # a name that no file may have
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot write in {folder}: {reason}", hint="Choose another --out.") from error
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"cannot write in {folder}: {place} cannot be written", hint="Choose another --out.")


def is_lock(name: str) -> bool:
    """Whether a file's name is that of a lock."""
    return name == LOCK_FILE or name.startswith(f"{LOCK_FILE}.")


@contextmanager
def locked_shards(folder: Path, shards: range) -> Iterator[None]:
    """Hold the lock of a range of shards, inside `locked(folder, shared=True)`.

    Raises UserError, naming the holder, when another process holds a range that overlaps it.
    """
    own = f"{LOCK_FILE}.{shards.start}-{shards.stop}"
    with locked(folder, name=own):
        for path in folder.glob(f"{LOCK_FILE}.*-*"):
            ends = path.name.removeprefix(f"{LOCK_FILE}.").split("-")
            if path.name == own or not all(each.isdecimal() for each in ends) or len(ends) != 2:
                continue
            overlap = max(int(ends[0]), shards.start) < min(int(ends[1]), shards.stop)
            if overlap and (words := _held(path)):
                raise UserError(
                    f"another run is making some of these shards in {folder}: {words}",
                    hint="Divide the shards in the same way everywhere: --shards K/N with one N.",
                )
        yield


def _held(path: Path) -> str:
    """A description of who holds a lock; empty if it is free."""
    if isinstance(path, RemotePath):
        return "".join(holders([path]))
    with suppress(FileNotFoundError), open(path, "r+", encoding="utf-8", opener=_no_link) as file:
        return "" if _acquire(file) else described(_read(file))
    return ""


@contextmanager
def locked(folder: Path, *, deep: bool = True, shared: bool = False, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold the lock of an output folder, which is created if needed; temporary files of dead processes are removed.

    deep: also remove temporary files in subfolders, which must all be this program's. shared: other processes may hold
    it shared as well; then only temporary files of this host's dead processes are removed. name: of the lock's file;
    for names other than the default, temporary files are not touched. The kernel releases the lock when the process
    ends, so a remaining lock file blocks no one. In an object store, `core.leases` recognises a stale lock. Raises
    UserError, naming host, process and time, when another process holds it; DataError when nothing can be written
    there.
    """
    path = folder / name
    if isinstance(path, RemotePath):
        with leased(path, shared=shared):
            yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8", opener=_no_link)  # noqa: SIM115
    except OSError as error:
        raise DataError(f"cannot write in {folder}: {error.strerror}", hint="Choose another --out.") from error
    with file, _here_alone(file):
        if not (_acquire(file, shared) or any(_acquire(file, shared) for _ in _pauses())):
            raise UserError(
                f"another run is writing to {folder}: {described(_read(file))}",
                hint="Wait for it, or choose another --out.",
            )
        if _removed(path, file):  # the last holder ended between our two calls
            with locked(folder, deep=deep, shared=shared, name=name):
                yield
            return
        file.truncate(0)
        record = {**me(), "since": now().isoformat(" ", "seconds")}
        json.dump({**record, "shared": True} if shared else record, file)
        file.flush()
        if name == LOCK_FILE:
            clean_stale(folder, owned=deep and not shared)
        try:
            yield
        finally:
            if not shared or _acquire(file):  # the last of those that share it
                path.unlink(missing_ok=True)


@contextmanager
def _here_alone(file: IO[str]) -> Iterator[None]:
    """Forked processes let go of the file, or one that outlives this process would hold the lock for it."""
    _held_here.add(file.fileno())
    try:
        yield
    finally:
        _held_here.discard(file.fileno())


def _let_go() -> None:
    for number in _held_here:
        with suppress(OSError):
            os.close(number)
    _held_here.clear()


_held_here: set[int] = set()
os.register_at_fork(after_in_child=_let_go)


def _pauses() -> Iterator[None]:
    """Pauses between tries: a holder that is ending keeps the file for an instant, while other parts are starting."""
    for _ in range(4):
        time.sleep(0.05)
        yield


def _removed(path: Path, file: IO[str]) -> bool:
    """Whether the open file is no longer the one at `path`."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return True


def _acquire(file: IO[str], shared: bool = False) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        found = _read(file)
        if shared and found.get("shared"):
            return True
        ours = all(found.get(name) == value for name, value in me().items())
        return not found or ours or runs(found) is False
    return True


def _read(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        found = parse_json(file.read(4096).encode(), LOCK_FILE)
    except (DataError, ValueError):  # ValueError: bytes that are not UTF-8
        return {}
    process = found.get("process") if isinstance(found, dict) else None
    return found if isinstance(process, int) and 0 < process < 2**31 else {}


def _no_link(name: str, flags: int) -> int:
    """Open a lock file; refuses a link, since writing through it would empty another file of the user."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DataError(f"{name} is a link; a lock must be a regular file", hint="Delete it.") from error
