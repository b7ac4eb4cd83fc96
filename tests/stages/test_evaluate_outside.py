"""What an evaluation read: photographs by content, and results of earlier releases keep fitting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from synthforge.core.pipeline import StageContext
from synthforge.core.plugins import load_plugins
from synthforge.core.provenance import write_state
from synthforge.stages import benchmarks


@dataclass
class _Built:
    root: Path
    splits: tuple[str, ...] = ("val",)
    broken: bool = False

    def fingerprint(self, split: str) -> str:
        return f"content of {split}"

    def times(self, split: str) -> str:
        if self.broken:
            raise FileNotFoundError("it has no files")
        return f"times of {split}"


class _Bound:
    def __init__(self, built: _Built) -> None:
        self.built = built


@pytest.mark.parametrize(
    ("recorded", "broken", "expected"),
    [
        (None, False, "content of val"),
        ({"val": "content of val"}, False, "content of val"),
        ({"val": "times of val"}, False, "times of val"),
        ({"val": "other times"}, False, "content of val"),
        ({"val": "times of val"}, True, "content of val"),
    ],
)
def test_outside(tmp_path: Path, recorded: Any, broken: bool, expected: str) -> None:
    out = tmp_path / "out"
    context = StageContext("a", out, out, {}, load_plugins(), (), tmp_path, 0, "here", print)
    if recorded:
        write_state(out, {"fingerprint": "x", "state": "done", "facts": {"outside": recorded}})
    bound: Any = _Bound(replace(_Built(tmp_path), broken=broken))
    assert benchmarks.outside(context, bound, ["val"]) == {"val": expected}
