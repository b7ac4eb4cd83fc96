"""What became of the photographs of one call; nothing here loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import DataError
from .photographs import Photograph, decode, read_bytes, shown

# A file that large is taken for a photograph until it is its turn: one that claims more than it holds is small.
_LARGE = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What became of one photograph: `done`, `kept` from an earlier call, or `failed` with the reason."""

    file: Path
    status: Literal["done", "kept", "failed"]
    faces: int = 0
    record: Path | None = None
    error: str = ""


def unreadable(photographs: Sequence[Photograph]) -> list[Outcome]:
    """The outcomes where none of the photographs can be read, found before anything large is loaded; else nothing."""
    failed = []
    for photograph in photographs:
        try:
            data = read_bytes(photograph.path)
            if len(data) < _LARGE:
                decode(data, photograph.path)
            return []
        except DataError as error:
            failed.append(Outcome(photograph.path, "failed", error=f"{error.message} {error.hint or ''}".rstrip()))
    return failed


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The outcomes as plain data, for JSON."""
    return {
        "images": [
            {
                "file": shown(o.file),
                "status": o.status,
                "faces": o.faces,
                "record": str(o.record) if o.record is not None else None,
                "error": o.error or None,
            }
            for o in outcomes
        ]
    }


def check(outcomes: Sequence[Outcome]) -> None:
    """Raise DataError naming every photograph that failed; nothing when none did."""
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        details = "\n  ".join(o.error for o in failed[:20]) + ("\n  ..." if len(failed) > 20 else "")
        hint = "The others are done." if len(failed) < len(outcomes) else None
        raise DataError(f"{len(failed)} of {len(outcomes)} photographs failed:\n  {details}", hint=hint)
