"""The page on exports, command after command and snippet after snippet as written."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from synthforge_plugins.formats import register_formats
from test_manual import DOCS, blocks, commands

import synthforge as sf
from synthforge.core.pipeline import make_pipeline
from synthforge.datasets.formats import FORMATS, Format
from synthforge.stages import KINDS

PAGE = DOCS / "exports.md"


def test_every_format_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    ours: list[Format] = []
    register_formats(ours.append)
    assert not [each.name for each in ours if f"| `{each.name}` |" not in text]


def test_the_pipeline_is_one() -> None:
    (text,) = blocks(PAGE, "yaml")
    pipeline = make_pipeline(yaml.safe_load(text), KINDS, source="page", base=Path())
    assert [stage.kind.name for stage in pipeline.stages] == ["generate", "convert"]


@pytest.mark.slow
def test_it_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sf.generate("faces", "anny", samples=4, resolution=64, shard_size=2, workers=1)
    codes = blocks(PAGE, "python")
    Path("centres.py").write_text(next(code for code in codes if "register_formats" in code))
    installed = [name for name in ("huggingface", "litdata") if find_spec(FORMATS[name].modules[0])]
    for name in installed:
        _run("-m", "synthforge", "export", "faces", "--to", name, "--out", f"faces-{name}")
    ran = [words for words in commands(PAGE) if words[0] in ("export", "make") and "--out" in words]
    assert len(ran) == 4
    for words in ran:
        _run("-m", "synthforge", *words)
    for code in codes:
        if all(name in installed for name in ("huggingface", "litdata") if f"faces-{name}" in code):
            _run("-c", code)
    assert len(yaml.safe_load(Path("faces-centres/centres.json").read_text())) == 4


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
