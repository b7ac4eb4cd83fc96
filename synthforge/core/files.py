"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import SynthForgeError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary file in the same folder, fsync, rename.

    Raises SynthForgeError when the disk is full or the folder cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SynthForgeError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="Free some space or choose another folder, and run again: it goes on where it stopped.",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, keys sorted, two spaces of indent."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, default=str) + "\n")
