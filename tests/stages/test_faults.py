"""Commands broken on purpose: a small sample of `studies/reliability.py`, and the faults that it cannot draw."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from by_path import load
from click.testing import CliRunner
from synthforge_plugins.executors.local import LocalConfig, LocalExecutor

from synthforge.cli import verify
from synthforge.core.errors import SynthForgeError
from synthforge.core.interfaces import Work
from synthforge.core.provenance import outputs, write_state

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies/reliability.py"


def _study(out: Path, *more: str) -> list[dict[str, Any]]:
    found = out / "trials.jsonl"
    command = [sys.executable, str(STUDY), "--folder", str(out), "--json", str(found), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in found.read_text().splitlines()]


def test_a_sample_of_faults(tmp_path: Path) -> None:
    """Quick commands alone; the study breaks all of them."""
    rows = _study(tmp_path, "--trials", "10", "--seed", "5", "--commands", "generate,merge,standin")
    assert len(rows) == 10
    assert not [row for row in rows if row["problem"]]
    assert sum(row["broke"] for row in rows if row["fault"] == "kill") >= 4


@pytest.mark.slow
def test_workers_that_are_killed_and_a_store_that_is(tmp_path: Path) -> None:
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    kinds = ["--commands", "generate by 2 workers,generate to S3"]
    rows = _study(tmp_path, "--trials", "4", "--seed", "1", "--faults", "kill,down", *kinds)
    assert not [row for row in rows if row["problem"]]
    assert [row["broke"] for row in rows if row["fault"] == "kill"]


@pytest.mark.slow
def test_a_larger_sample_of_faults_and_flips(tmp_path: Path) -> None:
    rows = _study(tmp_path, "--trials", "64", "--flips", "22", "--seed", "6")
    assert not [row for row in rows if row["problem"]]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load(STUDY)


def test_trials_are_added_to_a_page(study: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs/reliability.md").read_text())

    def trials() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = study.told(page.read_text().partition(study.BEGIN)[2].partition(study.END)[0])
        return found

    def merged(problem: str) -> int:
        return sum(row.get("command") == "merge" and row["problem"] == problem for row in trials())

    trial = {"seed": 99, "command": "merge", "fault": "kill", "problem": "lost"}
    before, held = trials(), merged("")
    study.write_page(page, [trial, {**trial, "problem": ""}], add=True)
    assert (len(trials()), merged(""), merged("?")) == (len(before) + 2, held + 1, 1)
    with pytest.raises(SystemExit, match=r"tells of the seeds \[1\] already"):
        study.write_page(page, [{**trial, "seed": 1}], add=True)
    study.write_page(page, before)
    assert trials() == before


def test_the_study_notices_what_is_lost(study: ModuleType) -> None:
    sound = {"out/data/a": "1", "out/.previous/data.1/b": "2", "mine": "3"}
    assert study.wrong(sound, sound, lost=False) == ""
    moved = {"out/data/a": "1", "out/.previous/data.1.2/b": "2", "mine": "3"}
    assert study.wrong(moved, sound, lost=False) == ""
    assert study.wrong({**sound, "mine": "4"}, sound, lost=False) == "mine differs"
    assert study.wrong({"out/data/a": "1", "mine": "3"}, sound, lost=False) == "1 files of older results are gone"
    assert study.wrong({**sound, "out/x.tmp": "4"}, sound, lost=False) == "out/x.tmp is too many"


def test_verify_names_what_is_damaged_in_any_stage(tmp_path: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_text("sound")
    write_state(tmp_path, {"fingerprint": "", "state": "running"})
    unfinished = CliRunner().invoke(verify.command, [str(tmp_path)])
    assert unfinished.exit_code == 1
    assert "is not finished" in unfinished.output
    write_state(tmp_path, {"fingerprint": "", "state": "done", "outputs": outputs(tmp_path)})
    assert "2 files, all intact" in CliRunner().invoke(verify.command, [str(tmp_path)]).output
    (tmp_path / "model.json").write_text("soumd")
    found = CliRunner().invoke(verify.command, [str(tmp_path), "--json", "-"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["problems"] == [f"{tmp_path / 'model.json'} is missing or damaged"]
    state = tmp_path / ".stage.json"
    state.write_text(state.read_text().replace('"done"', '"dome"'))
    found = CliRunner().invoke(verify.command, [str(tmp_path)])
    assert found.exit_code == 1
    assert ".stage.json" in found.output


class Hanging(Work):
    """Unit 1 never ends."""

    def size(self, unit: int) -> int:
        return 20

    def open(self, first: bool) -> Any:
        return "opened"

    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        time.sleep(1000 if unit == 1 else 0)


def test_a_worker_that_hangs_is_named() -> None:
    executor = LocalExecutor(LocalConfig(few=0, hung=4.0))
    with pytest.raises(SynthForgeError, match=r"worker process \d+ hangs: nothing from it for 4 s, "):
        executor.run(Hanging(), [0, 1], workers=2, advance=lambda count: None, say=print)


class Locking(Work):
    """Makes a semaphore, as libraries do at import."""

    def size(self, unit: int) -> int:
        return 1

    def open(self, first: bool) -> Any:
        self.lock = multiprocessing.Lock()
        return ["opened", self.lock._semlock.name]  # type: ignore[attr-defined]

    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        advance(1)


def test_semaphores_of_libraries_have_no_name_in_a_worker() -> None:
    executor = LocalExecutor(LocalConfig(few=0))
    assert executor.run(Locking(), [0, 1], workers=2, advance=lambda count: None, say=print) == ["opened", None]


def test_ctrl_c_while_a_worker_starts_is_the_commands_alone(pipeline_file: Path, tmp_path: Path) -> None:
    """A worker that imports has not come to its own code yet, which leaves Ctrl-C to its parent."""
    slow, begun = tmp_path / "slow", tmp_path / "begun"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import pathlib, sys, time\n"
        "if any('spawn_main' in each for each in sys.orig_argv):\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        "    time.sleep(1)\n"
    )
    command = [sys.executable, "-m", "synthforge", "generate", str(pipeline_file), "--out", str(tmp_path / "faces")]
    command += ["--samples", "100000"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(slow)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    end = time.monotonic() + 120
    while not begun.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "resumes" in said
