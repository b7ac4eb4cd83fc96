"""Every path that the page for contributors names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_paths_exist() -> None:
    page = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:synthforge|plugins|tests|perf|studies|configs)/[\w/.]+)", page)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
