"""Checksums of big files, remembered: a file is read again only when its size or one of its times has changed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from synthforge.core.errors import AssetError, DataError
from synthforge.core.files import sha256_of, write_json


def checksum(path: Path) -> str:
    """SHA-256 of a file, from the cache where size, modification and change time are those of last time.

    The change time cannot be set by hand, so a file put in place of another is noticed even when it brings along the
    size and the modification time of the old one. A cache that cannot be read or written costs time and nothing else.
    Raises: AssetError when the file cannot be read.
    """
    path = path.absolute()
    try:
        stat = path.stat()
        marks = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = _read().get(str(path))
        if isinstance(known, list) and len(known) == 4 and known[:3] == marks:
            return str(known[3])
        digest = sha256_of(path)
    except OSError as error:
        raise AssetError(f"{path} cannot be read: {error.strerror}") from error
    with suppress(OSError, DataError):
        write_json(cache_file(), {**_read(), str(path): [*marks, digest]})
    return digest


def cache_file() -> Path:
    """Where checksums are remembered: below `$SYNTHFORGE_CACHE`, else below `~/.cache/synthforge`."""
    return Path(os.environ.get("SYNTHFORGE_CACHE") or Path.home() / ".cache" / "synthforge") / "checksums.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
