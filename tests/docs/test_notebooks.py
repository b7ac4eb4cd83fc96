"""The notebooks run as a reader would run them, cell by cell, and are stored without outputs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: those that render faces
SLOW = {"make_data", "measure_with_probe"}


def cells(path: Path, kind: str) -> list[str]:
    """Sources of the cells of a kind."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in data["cells"] if cell["cell_type"] == kind]


def test_there_are_four() -> None:
    assert {path.stem for path in NOTEBOOKS} == SLOW | {"use_the_model", "own_generator"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs_and_in_the_navigation(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["nbformat"], data["nbformat_minor"]) == (4, 5)
    for cell in data["cells"]:
        assert cell["metadata"] == {}
        assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == ([], None)
    assert f"notebooks/{path.stem}.md" in (FOLDER.parents[1] / "mkdocs.yml").read_text(encoding="utf-8")
    assert cells(path, "markdown")[0].startswith("# ")


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in SLOW else []) for p in NOTEBOOKS],
)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    """In a process of its own. The value of a cell's last line, which Jupyter would show, is printed."""
    script = tmp_path / "cells.py"
    lines = []
    for source in cells(path, "code"):
        tree = ast.parse(source)
        last: Any = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.parse(f"print(repr({ast.unparse(last)}))").body[0]
        lines.append(ast.unparse(tree))
    script.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = {
        "make_data": "(4, (128, 128, 3), (68, 2))",
        "use_the_model": "(68, 2)",
        "measure_with_probe": "[",
        "own_generator": "'segmentation'",
    }
    assert shown[path.stem] in done.stdout
