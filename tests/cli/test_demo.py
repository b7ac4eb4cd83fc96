"""`synthforge demo` and the stage behind it: a page that needs no other file and claims no more than was measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthforge.cli.common import find_config
from synthforge.cli.main import cli
from synthforge.core.config import read_yaml
from synthforge.core.errors import ConfigError
from synthforge.core.pipeline import StageResult, make_pipeline, run_pipeline
from synthforge.stages import KINDS

CONFIG = find_config("demo")
SMALL = {"samples": 2, "resolution": 64}


def test_it_says_something_before_the_libraries_load(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom synthforge.cli import demo\n"
        "def first(text): sys.exit('torch' in sys.modules or 'nothing heavy before: ' + text)\n"
        f"demo.say = first\ndemo.command(['--out', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "nothing heavy before: demo: six faces" in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo as a user runs it, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = CliRunner().invoke(cli, ["demo", "--out", str(out), "--json", str(out.parent / "done.json")])
    assert done.exit_code == 0, done.output
    return out, done.output


def test_the_page_needs_no_other_file(made: tuple[Path, str]) -> None:
    out, told = made
    assert "demo: six faces" in told.splitlines()[0]
    assert str(out / "page/overview.html") in told.splitlines()[-1]
    page = (out / "page/overview.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', page)) == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "What was measured" not in page  # nothing was
    assert (out / "page/faces.png").stat().st_size > 100_000
    stages = json.loads((out.parent / "done.json").read_text())["stages"]
    assert [(stage["stage"], stage["status"]) for stage in stages] == [("faces", "done"), ("page", "done")]


def test_what_it_recommends_exists() -> None:
    """Each command under `next`, here and in the quickstart."""
    for name in ("demo", "quickstart"):
        for command in read_yaml(find_config(name))["stages"]["page"]["next"]:
            words = command.split()
            assert words[0] == "synthforge"
            found = CliRunner().invoke(cli, [words[1], "--help"])
            assert found.exit_code == 0, command
            assert all(word in found.output for word in words if word.startswith("--")), command


def run(base: Path, out: Path, **page: object) -> list[StageResult]:
    """The demo's stages with other keys of the page; photographs are looked for in `base`."""
    stages = read_yaml(CONFIG)["stages"]
    data = {"seed": 7, "stages": {"faces": {**stages["faces"], **SMALL}, "page": {**stages["page"], **page}}}
    return run_pipeline(make_pipeline(data, KINDS, source="mine.yaml", base=base), out, say=lambda _: None)


def test_a_missing_photograph_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stages\.page\.photographs\.me\.jpg: there is no file .*me\.jpg"):
        run(tmp_path, tmp_path / "out", photographs={"me.jpg": "me"})
    with pytest.raises(ConfigError, match=r"stages\.page\.model: this key must be given"):
        run(CONFIG.parent, tmp_path / "out", model="")
    assert not (tmp_path / "out").exists()


def test_another_photograph_makes_another_page(made: tuple[Path, str], tmp_path: Path) -> None:
    photograph = tmp_path / "me.jpg"
    photograph.write_bytes((CONFIG.parent / "photographs/astronaut.jpg").read_bytes())
    (tmp_path / "boxes.csv").write_text("me.jpg,175,83,266,174\n")
    keys = {"photographs": {"me.jpg": "<me>"}, "boxes": "boxes.csv", "samples": 1}
    assert [each.status for each in run(tmp_path, tmp_path / "out", **keys)] == ["done", "done"]
    assert "&lt;me&gt;" in (tmp_path / "out/page/overview.html").read_text(encoding="utf-8")
    assert [each.status for each in run(tmp_path, tmp_path / "out", **keys)] == ["up to date", "up to date"]
    photograph.write_bytes(photograph.read_bytes() + b"\0")
    assert [each.status for each in run(tmp_path, tmp_path / "out", **keys)] == ["up to date", "done"]
