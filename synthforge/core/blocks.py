"""Ranges of remote objects through a bounded cache on disk, for reading by index.

What is cached is addressed by the SHA-256 that the object has by its dataset's or model's own records. So the cache
never returns another object's bytes for the same URL. `$SYNTHFORGE_CACHE_GB` bounds it (10 by default); the least
recently used blocks are deleted first.
"""

from __future__ import annotations

import functools
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from .errors import DataError, UserError
from .files import cache_dir, free_name
from .storage import RemotePath

BLOCK = 1 << 20  # bytes of a block
_OFTEN = 64  # blocks fetched between two looks at the size of the cache
_KEPT = 0.9  # of the allowed size, after some was deleted
_fetched = 0


def limit() -> int:
    """Bytes that the cache may take. Raises UserError for a setting that is no number."""
    text = os.environ.get("SYNTHFORGE_CACHE_GB", "10")
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError):
        raise UserError(f"SYNTHFORGE_CACHE_GB: a number of gigabytes, got '{text}'") from None


def folder() -> Path:
    """Where blocks lie."""
    return cache_dir() / "blocks"


class Descriptor:
    """An open file that is closed when no thread holds a reference to it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer at the end."""
        return os.pread(self.number, length, offset)


class Blocks:
    """An object of known SHA-256 and size, read by ranges; to be used from any number of threads and processes."""

    def __init__(self, path: RemotePath, sha256: str, size: int) -> None:
        self.path, self.sha256, self.size = path, sha256, size
        self._open = functools.lru_cache(64)(self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer at the end. Raises DataError and SynthForgeError."""
        parts = []
        end = min(offset + length, self.size)
        while offset < end:
            number, start = divmod(offset, BLOCK)
            count = min(end - offset, BLOCK - start)
            parts.append(self._open(number).read(start, count))
            offset += count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def forget(self, offset: int, length: int) -> None:
        """Drop what is cached of a range, so that the next read fetches it again."""
        self._open.cache_clear()
        for number in range(offset // BLOCK, (offset + length - 1) // BLOCK + 1):
            self._file(number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return folder() / self.sha256[:2] / f"{self.sha256}-{number}"

    def _descriptor(self, number: int) -> Descriptor:
        file = self._file(number)
        size = min(BLOCK, self.size - number * BLOCK)
        with suppress(FileNotFoundError):
            found = Descriptor(file)
            if os.fstat(found.number).st_size == size:
                with suppress(OSError):
                    os.utime(file)  # used now
                return found
        data = self.path.read(number * BLOCK, size)
        if len(data) != size:
            raise DataError(f"{self.path} ends before {self.size:,} bytes", hint="Restore it from a copy.")
        return _keep(file, data)


def whole(path: RemotePath, sha256: str) -> bytes:
    """A remote object of this SHA-256, read through the cache; a local file or an object without one, unchanged."""
    file = folder() / sha256[:2] / sha256
    with suppress(OSError):
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            with suppress(OSError):
                os.utime(file)
            return data
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() == sha256:
        _keep(file, data)
    return data


def _keep(file: Path, data: bytes) -> Descriptor:
    """Put bytes into the cache; not synced, since readers compare them with a checksum."""
    global _fetched
    temporary = free_name(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        found = Descriptor(temporary)
        os.replace(temporary, file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise DataError(
            f"cannot write the cache {file.parent}: {error.strerror}",
            hint="Free some space, or set SYNTHFORGE_CACHE to another folder and SYNTHFORGE_CACHE_GB to less.",
        ) from error
    if _fetched % _OFTEN == 0:
        trim()
    _fetched += 1
    return found


def trim() -> None:
    """Delete the blocks used longest ago until the cache is within its limit."""
    rows, most = [], limit()
    for path in folder().glob("*/*"):
        with suppress(OSError):
            info = path.stat()
            rows.append((info.st_mtime_ns, info.st_size, path))
    total = sum(size for _, size, _ in rows)
    if total <= most:
        return
    for _, size, path in sorted(rows):
        if total <= most * _KEPT:
            return
        with suppress(OSError):  # another process was faster
            path.unlink()
        total -= size
