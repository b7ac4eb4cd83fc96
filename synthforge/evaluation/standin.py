"""Synthetic faces laid out as a real dataset: a marker, so that every report says that they are no photographs.

The layout itself is the benchmark's own (`core.interfaces.Benchmark.write_stand_in`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.errors import UserError
from ..core.files import write_json
from ..core.foreign import boundary, read_json

MARKER = "STAND_IN.json"


def read_stand_in(root: Path) -> str:
    """What stands in for real photographs under `root`, or an empty string; DataError for an unreadable marker."""
    marker = root / MARKER
    if not marker.is_file():
        return ""
    with boundary(marker, "a stand-in marker", hint="Write the stand-in again."):
        return str(read_json(marker)["what"])


def mark_stand_in(
    root: Path, name: str, counts: Mapping[str, int], what: str = "synthetic faces rendered by SynthForge"
) -> None:
    """Mark the folder `root`, before the first face is written: half a stand-in must not pass for photographs either.

    name: of the benchmark; counts: faces by folder. Raises UserError for a folder that holds files and no marker.
    """
    if (
        not (root / MARKER).is_file()
        and root.is_dir()
        and any(not path.name.startswith(".") for path in root.iterdir())
    ):
        raise UserError(f"{root} holds files that are no stand-in", hint="Write the stand-in into a folder of its own.")
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / MARKER, {"stand_in_for": name, "what": what, "counts": dict(counts)})
