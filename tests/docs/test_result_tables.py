"""Tables of the documentation that come from files are those of the files."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["results.md", "scale.md"])
def test_tables_are_those_of_the_figures(name: str) -> None:
    """`python docs/tables.py` would change nothing."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS / "tables.py"))["written"](page) == page


def test_another_figure_changes_the_table(tmp_path: Path) -> None:
    """A page whose table is stale is noticed."""
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    stale = page.replace("| afw | 337 |", "| afw | 338 |", 1)
    assert stale != page
    assert runpy.run_path(str(DOCS / "tables.py"))["written"](stale) == page
