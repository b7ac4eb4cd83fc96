"""Pages of the manual, command after command as written; only the quickstart has a test of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from test_manual import DOCS, blocks, commands

import synthforge as sf


def run(commands: Iterable[list[str]], programs: list[str]) -> None:
    for command in [*(["-m", "synthforge", *words] for words in commands), *(["-c", code] for code in programs)]:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "files"), [("clips", ("clip.mp4", "flow.png")), ("crowds", ("crowds.png",))])
def test_pages_run_as_written(
    name: str, files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    page = DOCS / f"{name}.md"
    (pipeline,) = blocks(page, "yaml")
    Path(f"{name}.yaml").write_text(pipeline)
    run(commands(page), blocks(page, "python"))
    assert all(Path(file).is_file() for file in files)


@pytest.mark.slow
def test_it_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    page = DOCS / "tutorial.md"
    Image.fromarray(sf.sample("anny", seed=7, index=5, resolution=512).image).save("photo.jpg")
    (pipeline,) = blocks(page, "yaml")
    Path("mine.yaml").write_text(pipeline)
    ran = [words for words in commands(page) if words[:2] != ["run", "quickstart"]]
    assert [words[0] for words in ran[:8]] == [
        "demo",
        "generate",
        "show",
        "verify",
        "plugins",
        "check",
        "run",
        "predict",
    ]
    run(ran, blocks(page, "python"))
    assert Path("faces.png").is_file()
    assert Path("demo/page/overview.html").is_file()
    assert Path("seen.png").is_file()
