"""What the readers of real datasets share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthforge.core.errors import DataError
from synthforge.core.files import files_in


def unknown_split(name: str, split: str, splits: Sequence[str]) -> DataError:
    """The error for a split a benchmark does not have."""
    return DataError(f"{name} has no split '{split}'", hint=f"Known: {', '.join(splits)}.")


def listed(name: str, folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """The files of a folder by stem, sorted; DataError when the folder is missing or holds none of these suffixes."""
    if not folder.is_dir():
        raise DataError(f"{name}: the folder {folder} is not there", hint="Point `root` at its official tree.")
    found = {path.stem: path for path in files_in(folder, suffixes)}
    if not found:
        raise DataError(f"{name}: the folder {folder} holds no {' or '.join(suffixes)} files")
    return found


def count_note(split: str, found: int, official: int) -> list[str]:
    """A note for reports when a copy of a split is not complete."""
    return [] if found == official else [f"{split} holds {found:,} of the official {official:,} faces"]
