"""`generate`: the same bytes for any number of workers, and after being killed anywhere."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthforge.core.errors import UserError
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.stages import KINDS


def _command(pipeline: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "synthforge", "generate", str(pipeline), "--out", str(out), *more]


def _generate(pipeline: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(pipeline, out, *more), capture_output=True, text=True, check=False)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


@pytest.fixture
def undisturbed(pipeline_file: Path, tmp_path: Path) -> dict[str, str]:
    done = _generate(pipeline_file, tmp_path / "undisturbed", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return _digests(tmp_path / "undisturbed")


def test_workers_and_kills_change_no_byte(pipeline_file: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    out = tmp_path / "killed"
    kills = 0
    for shards_then in (1, 3):
        process = subprocess.Popen(
            _command(pipeline_file, out, "--workers", "2"), stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while len(list(out.glob("shard-*.json"))) < shards_then and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)  # the parent alone: its workers must notice
            kills += 1
        process.wait()
        time.sleep(1.0)
    assert kills >= 1
    done = _generate(pipeline_file, out, "--workers", "3")
    assert done.returncode == 0, done.stderr
    assert _digests(out) == undisturbed
    assert not list(out.glob("*.tmp")), "a temporary file was left behind"


def test_orphaned_workers_end(pipeline_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "orphans"
    process = subprocess.Popen(
        _command(pipeline_file, out, "--workers", "2", "--samples", "4000"),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("shard-*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while _alive_in_session(process.pid):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)


def _alive_in_session(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_interrupting_says_how_to_go_on(pipeline_file: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    out = tmp_path / "interrupted"
    process = subprocess.Popen(
        _command(pipeline_file, out, "--workers", "2"), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("shard-*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    if process.returncode != 0:  # it may just have finished
        assert process.returncode == 130
        assert "resumes" in stderr
        assert "Traceback" not in stderr
    assert _generate(pipeline_file, out).returncode == 0
    assert _digests(out) == undisturbed


def test_a_second_run_does_nothing(pipeline_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    assert _generate(pipeline_file, out).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    done = _generate(pipeline_file, out)
    assert "up to date" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_other_options_set_the_old_dataset_aside(pipeline_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    assert _generate(pipeline_file, out, "--samples", "8").returncode == 0
    old = _digests(out)
    done = _generate(pipeline_file, out, "--samples", "8", "--seed", "12")
    assert done.returncode == 0, done.stderr
    assert "seed changed" in done.stderr
    assert _digests(out) != old
    (aside,) = (out / ".previous").iterdir()
    assert _digests(aside) == old
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: ball", "name: bal"), "Did you mean 'ball'?"),
        (("name: ball", "name: ball, radios: 1"), "Did you mean 'radius'?"),
        (("samples: 40", "samples: 0"), "samples: 0 is out of range"),
        (("samples: 40", "samples: many"), "samples"),
        (("[segmentation, depth]", "[segmentation, segmentation]"), "writes the field 'segmentation'"),
        (("./ballkit.py", "./balkit.py"), "balkit.py"),
    ],
)
def test_mistakes_are_one_message_before_anything_starts(
    pipeline_file: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    pipeline_file.write_text(pipeline_file.read_text().replace(*change))
    with pytest.raises(UserError) as caught:
        run_pipeline(load_pipeline(pipeline_file, KINDS), tmp_path / "out")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list((tmp_path / "out").glob("dataset*"))


def test_an_annotator_that_cannot_read_this_geometry_says_so(pipeline_file: Path, tmp_path: Path) -> None:
    text = pipeline_file.read_text().replace("[segmentation, depth]", "[landmarks]")
    pipeline_file.write_text(text)
    done = _generate(pipeline_file, tmp_path / "out", "--workers", "1")
    assert done.returncode == 2, done.stderr
    assert " ".join(done.stderr.split()).count("the annotator 'landmarks' at seed 11, index 0: ") == 1
    assert "Traceback" not in done.stderr


def test_a_broken_generator_keeps_its_traceback_and_its_finished_shards(pipeline_file: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "ballkit.py"
    source = plugin.read_text()
    plugin.write_text(source.replace("p = scene.parameters", "p = scene.parameters\n        assert scene.index < 20"))
    done = _generate(pipeline_file, tmp_path / "out", "--workers", "1")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert len(list((tmp_path / "out").glob("shard-*.json"))) == 2
