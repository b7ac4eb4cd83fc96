"""Exports as the command writes them, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthforge.core.pipeline import make_pipeline, run_pipeline
from synthforge.stages import KINDS


def export(root: Path, to: str, out: Path, *, plugins: tuple[str, ...] = (), base: Path = Path(), **keys: Any) -> Path:
    """A dataset in a format, in the folder `out`, which is returned; keys: of the stage `convert`."""
    stage = {"run": "convert", "dataset": str(root), "to": to, "workers": 1, **keys}
    pipeline = make_pipeline({"plugins": [*plugins], "stages": {"export": stage}}, KINDS, source="export", base=base)
    run_pipeline(pipeline, out, say=lambda text: None, folders={"export": out})
    return out
