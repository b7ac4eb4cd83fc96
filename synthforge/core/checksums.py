"""A cache of file checksums: a file is read again only when its size or one of its times has changed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .environment import hidden
from .errors import AssetError, DataError
from .files import cache_dir, sha256_of, write_json
from .foreign import read_json
from .storage import is_remote


def checksum(path: Path) -> str:
    """SHA-256 of a file; see `checksums`."""
    return checksums([path])[0]


def checksums(paths: Iterable[Path]) -> list[str]:
    """SHA-256 of files, from the cache if size, modification time and change time are unchanged.

    Users cannot set the change time. So a replaced file is noticed even if it has the size and the modification
    time of the old one. A cache that cannot be read or written only costs time.
    Raises: AssetError when a file cannot be read.
    """
    known, new, found = _read(), {}, []
    for path in paths:
        if is_remote(path):  # what lies in a store has no change time
            found.append(sha256_of(path))
            continue
        path = path.absolute()
        try:
            stat = path.stat()
            name = hidden(str(path))  # as it is written
            row = known.get(name)
            marks = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            if not (isinstance(row, list) and len(row) == 4 and row[:3] == marks):
                row = new[name] = [*marks, sha256_of(path)]
        except OSError as error:
            raise AssetError(f"{path} cannot be read: {error.strerror}") from error
        found.append(str(row[3]))
    if new:
        with suppress(OSError, DataError):
            write_json(cache_file(), {**_read(), **new})
    return found


def cache_file() -> Path:
    """The file of cached checksums: below `$SYNTHFORGE_CACHE`, else below `~/.cache/synthforge`."""
    return cache_dir() / "checksums.json"


def _read() -> dict[str, Any]:
    try:
        found = read_json(cache_file())
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}
