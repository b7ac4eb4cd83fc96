"""Atomic writing of files: temporary file in the same folder, fsync, atomic rename."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .environment import hidden
from .errors import DataError
from .holders import alive, host_name
from .storage import RemotePath

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HOST = host_name()
# .NAME.HOST.PROCESS.COUNTER.tmp, as `replacing` calls them
_TEMPORARY = re.compile(r"\..+\.([A-Za-z0-9-]+)\.(\d+)\.\d+\.tmp")
# Bytes of a name that file systems allow, less the longest host, process and counter.
_LONGEST_NAME = 255 - 100
_STREAMS = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}
_SYNCS_ALL = hasattr(os, "sync")  # not on Windows
_counter = itertools.count()
_open: set[Path] = set()


def cache_dir() -> Path:
    """The folder of caches: `$SYNTHFORGE_CACHE`, else `~/.cache/synthforge`."""
    return Path(os.environ.get("SYNTHFORGE_CACHE") or Path.home() / ".cache" / "synthforge")


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block ends without an exception, and is deleted otherwise.

    sync: wait until the file is on the disk, which takes some milliseconds; otherwise call `sync_all` later.
    Raises DataError when the file cannot be written or the disk is full; `path` is then unchanged.
    """
    if isinstance(path, RemotePath):
        with _uploading(path) as file:
            yield file
        return
    if _is_special(path):
        with _named(path), open(path, "wb") as file:
            yield file
        return
    temporary = free_name(path)
    _open.add(temporary)
    try:
        with _named(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                if sync or not _SYNCS_ALL:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if sync or not _SYNCS_ALL:
                _sync_folder(path.parent)
    except BaseException:
        _remove(temporary)
        raise
    finally:
        _open.discard(temporary)


def _is_special(path: Path) -> bool:
    """Whether a path is that of a device or a pipe (`/dev/null`, `/dev/stdout`), which no file may replace."""
    if path.parent in _STREAMS:
        return True
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


@contextmanager
def _named(path: Path, *others: Path) -> Iterator[None]:
    """Turn an OSError about the file `path` into DataError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(
                f"no space left while writing {path} ({error.strerror})",
                hint="Everything finished before is intact. Free some space, then run the same command again.",
            ) from error
        if error.filename in map(str, (*others, path, *path.parents)):
            raise DataError(f"cannot write {path}: {error.strerror}") from error
        raise


@contextmanager
def _uploading(path: RemotePath) -> Iterator[IO[bytes]]:
    """A file on this machine that is uploaded when the block ends without an exception."""
    try:
        with tempfile.NamedTemporaryFile(prefix="synthforge-", suffix=".part") as file:
            yield file
            file.flush()
            path.put(Path(file.name))
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(
                f"no space left in {tempfile.gettempdir()} while writing {path} ({error.strerror})",
                hint="Everything finished before is intact. Free some space, or set TMPDIR to another folder.",
            ) from error
        raise


def write_once(path: Path, data: bytes) -> None:
    """Write a file whose content is the same from every writer: in a store, only if it does not exist.

    Raises DataError when another run wrote something else there in the meantime.
    """
    if not isinstance(path, RemotePath):
        write_bytes(path, data)
    elif not path.create(data):
        raise DataError(
            f"{path} was written by another run in the meantime, with other content",
            hint="Use one output folder per configuration.",
        )


def free_name(path: Path) -> Path:
    """A temporary name beside a file that no other process and no other call has."""
    name = cut_name(path.name, _LONGEST_NAME)
    return path.with_name(f".{name}.{_HOST}.{os.getpid()}.{next(_counter)}.tmp")


def cut_name(name: str, most: int) -> str:
    """A file's name cut to `most` bytes, between two characters."""
    return os.fsencode(name)[:most].decode("utf-8", "ignore") if len(os.fsencode(name)) > most else name


def is_companion(name: str) -> bool:
    """Whether a file's name is one that macOS gives to a file of attributes beside another (AppleDouble)."""
    return name.startswith("._")


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder with one of these suffixes in lower case, sorted; macOS's AppleDouble files are skipped."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_companion(entry.name) and entry.is_file()]
    return [folder / name for name in sorted(names) if Path(name).suffix.lower() in suffixes]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file by `replacing`."""
    with replacing(path, sync=sync) as file:
        file.write(data)


def sync_all() -> None:
    """Wait until everything that was written with `sync=False` is on the disk."""
    if _SYNCS_ALL:
        os.sync()


def write_text(path: Path, text: str) -> None:
    """Write a text file by `replacing`, as UTF-8, values of environment variables `hidden`."""
    write_bytes(path, hidden(text).encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write JSON by `replacing`, keys sorted, two spaces of indent."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, default=str) + "\n")


def clean_stale(root: Path, *, owned: bool = False) -> list[Path]:
    """Remove temporary files that killed runs left in `root`; returns what was removed.

    Only names that `replacing` gives, and only when the process that made them is gone. Files of other machines
    (a folder on a network) stay: their processes cannot be seen from here. owned: the caller holds the lock of `root`
    (`core.locks`), so that files of other hosts and those in folders below are stale, too.
    """
    removed: list[Path] = []
    if isinstance(root, RemotePath):  # unfinished uploads are invisible
        return removed
    for path in sorted(root.glob("**/.*.tmp" if owned else ".*.tmp")) if root.is_dir() else []:
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or path in _open or (match[1] != _HOST and not owned):
            continue
        if match[1] != _HOST or int(match[2]) == os.getpid() or not alive(int(match[2])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a temporary file of `replacing`."""
    return _TEMPORARY.fullmatch(name) is not None


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
