"""What a scheduler reads: JSON lines on stderr, a metrics file, exit codes as they are documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from synthforge.cli.main import EPILOG
from synthforge.core import events
from synthforge.core.errors import ConfigWarning
from synthforge.core.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"time", "level", "stage", "event"}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A metrics file that is written at once."""
    monkeypatch.setattr(events, "_figures", {name: {} for name in events.FIGURES})
    monkeypatch.setattr(events, "_stage", "")
    monkeypatch.setattr(events, "WRITE_EVERY_SECONDS", -1.0)
    monkeypatch.setenv(events.METRICS, str(tmp_path / "run.prom"))
    return tmp_path / "run.prom"


def read(path: Path) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_figures_follow_the_work(figures: Path) -> None:
    events.enter('a"b')
    with progress_bar("generate", 10, unit="images") as advance:
        for count in (3, 4):
            advance(count)
        events.figure("queue", 2)
        found = read(figures)
        labels = r'{stage="a\"b",unit="images",what="generate"}'
        assert found[f"synthforge_done{labels}"] == 7
        assert found[f"synthforge_total{labels}"] == 10
        assert found[f"synthforge_rate{labels}"] > 0
        assert found[r'synthforge_queue{stage="a\"b"}'] == 2
        assert "synthforge_exit_code" not in found
    events.ended(1)
    assert read(figures)["synthforge_exit_code"] == 1
    assert [path.name for path in figures.parent.iterdir()] == ["run.prom"]


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize("name", ["file/run.prom", "folder", "s3://bucket/run.prom"])
def test_a_metrics_file_that_cannot_be_written_is_said_before_any_work(tmp_path: Path, how: str, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    option = ["--metrics", name] if how == "option" else []
    variable = {} if option else {events.METRICS: name}
    command = [sys.executable, "-m", "synthforge", "merge", "nowhere", *option]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | variable, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: "), done.stderr
    assert "cannot write" in done.stderr or "not a URL" in done.stderr
    assert "nowhere" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_metrics_file_that_is_lost_is_told_once_and_the_work_goes_on(figures: Path) -> None:
    events.open_metrics()
    figures.unlink()
    figures.mkdir()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with progress_bar("generate", 4, unit="images") as advance:
            for _ in range(4):
                advance(1)
        events.ended(0)
    assert [each.category for each in told] == [ConfigWarning]
    assert re.match(r"--metrics: cannot write .*; the run continues without it", str(told[0].message))


RETRYING = """
import subprocess, sys
from synthforge.cli import main, merge
from synthforge.core import patience

def lost(**options):
    raise ConnectionResetError("lost")

def merged(**options):
    subprocess.run([sys.executable, __file__], check=True)  # a worker: it inherits what the command has set
    patience.steadily("somewhere", lost)

patience.PATIENCE = patience.Patience(tries=3, first=0.0, most=0.0)
if len(sys.argv) > 1:
    merge.command.callback = merged
    main.main()
try:
    patience.steadily("somewhere", lost)
except Exception as error:
    assert "no valid answer" in str(error)
"""


def test_requests_made_again_are_counted_over_all_processes(tmp_path: Path) -> None:
    (tmp_path / "retrying.py").write_text(RETRYING)
    command = [sys.executable, "retrying.py", "merge", "nowhere", "--metrics", "m.prom"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert read(tmp_path / "m.prom")["synthforge_store_retries"] == 4


def test_progress_as_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(events.LOG_JSON, "1")
    monkeypatch.setattr(events, "LOG_EVERY_SECONDS", -1.0)
    with progress_bar("verify", 2, unit="samples") as advance:
        advance(2)
    rows = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(row["event"], row["done"], row["total"]) for row in rows] == [
        ("begin", 0, 2),
        ("progress", 2, 2),
        ("end", 2, 2),
    ]
    assert all(row.keys() >= KEYS and row["unit"] == "samples" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["verify", "nowhere"], 2, "nowhere"),
        (["verify"], 2, "Missing argument"),
        (["generate", "quickstart", "--set", "seed=x", "--out", "run"], 2, "seed"),
        (["check", "quickstart", "--out", "run"], 0, ""),
    ],
)
def test_stderr_is_one_object_a_line(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    command = [sys.executable, "-m", "synthforge", *arguments, "--log-json", "--metrics", "m.prom"]
    if told.startswith("Missing"):  # the arguments of a command are read before its options are there
        command = [sys.executable, "-m", "synthforge", "--log-json", "--metrics", "m.prom", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ))
    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == code
    assert all(row.keys() >= KEYS for row in rows)
    assert (rows[-1]["event"], rows[-1]["exit_code"]) == ("exit", code)
    if told:
        (error,) = (row for row in rows if row["event"] == "error")
        assert told in error["message"]
    assert read(tmp_path / "m.prom")["synthforge_exit_code"] == code


def test_exit_codes_stand_in_the_manual_as_in_the_help() -> None:
    helped = re.findall(r"^  (\d+)  ", EPILOG, flags=re.M)
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, flags=re.M) == helped == ["0", "1", "2", "130", "143"]
    for name in events.FIGURES:
        assert f"`synthforge_{name}`" in page
