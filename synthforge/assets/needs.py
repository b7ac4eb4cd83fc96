"""The files that plugins say they read: which are missing, what is in them, and how a manifest names them.

Plugins declare them when they register (`core.catalogue.FileNeed`), so that all this is known before any is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthforge.core.catalogue import FileNeed
from synthforge.core.checksums import checksum

from .registry import find_asset, get_asset, missing, present


@dataclass(frozen=True)
class Use:
    """A file and who reads it: `generator next3d`."""

    user: str
    need: FileNeed

    @property
    def path(self) -> Path | None:
        """Where the file lies, or None where it is missing."""
        if not self.need.path:
            return present(self.need.asset)
        path = Path(self.need.path)
        return path if path.is_file() else None


def lacking(uses: Iterable[Use], kinds: Iterable[str] = ()) -> list[str]:
    """What to say of every file that is needed and not there, each once.

    kinds: of the annotations that are asked for (`core.records.Field.kind`), which some files are needed for. Raises
    AssetError for a file that has changed since it was added.
    """
    wanted = set(kinds)
    found: dict[str, list[str]] = {}
    for use in uses:
        need = use.need
        if use.path is not None and not need.path:
            find_asset(need.asset)  # raises for one that has changed since it was added
        if use.path is None and not (need.optional or (need.fields and wanted.isdisjoint(need.fields))):
            found.setdefault(_say(need), []).append(use.user)
    return [f"{text} (for {', '.join(dict.fromkeys(users))})" for text, users in found.items()]


def _say(need: FileNeed) -> str:
    if need.path:
        return f"there is no file {need.path}"
    return " ".join(part.rstrip(".") + "." for part in missing(need.asset))


def contents(uses: Iterable[Use]) -> dict[str, str | None]:
    """Checksums by asset name (or path), None where an optional file is not there: what a fingerprint covers."""
    return {use.need.path or use.need.asset: checksum(path) if (path := use.path) is not None else None for use in uses}


def licensed_files(uses: Sequence[Use]) -> list[dict[str, Any]]:
    """What a manifest says of every file that was there to be read, each once, sorted by name.

    For a file that the user named by its path the licence is not known; it stands in for a file of the table, whose
    licence is given as the published one's.
    """
    rows: dict[str, dict[str, Any]] = {}
    for use in uses:
        path = use.path
        if path is not None:
            row = rows.setdefault(use.need.path or use.need.asset, {**_row(use.need, path), "used_by": []})
            row["used_by"] = sorted({*row["used_by"], use.user})
    return [rows[key] for key in sorted(rows)]


def _row(need: FileNeed, path: Path) -> Mapping[str, Any]:
    asset = get_asset(need.asset) if need.asset else None
    own = bool(need.path)
    return {
        "name": asset.name if asset else path.name,
        "file": path.name,
        "sha256": checksum(path),
        "edition": asset.edition if asset and not own else "",
        "licence": asset.licence if asset and not own else _unknown(asset.licence if asset else ""),
        "commercial_use": asset.commercial if asset and not own else None,
    }


def _unknown(published: str) -> str:
    known = f"; that of the published file: {published}" if published else ""
    return f"not known: the file was named by its path{known}"
