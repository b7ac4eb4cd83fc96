"""Runs whose output is a URL: resumable on another machine, to the bytes of a local run, whatever fails on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from stores import KEY, SECRET, TESTS, Faulty, contents

from synthforge.core import scratch
from synthforge.core.errors import SynthForgeError, UserError
from synthforge.core.keys import key
from synthforge.core.parts import Part
from synthforge.core.pipeline import load_pipeline, make_pipeline, run_pipeline
from synthforge.core.provenance import read_state
from synthforge.core.stage import StageContext, StageKind
from synthforge.core.storage import RemotePath, place
from synthforge.stages import KINDS
from synthforge.stages.merge import merge
from synthforge.stages.repair import repair

PIPELINE = """
seed: 11
plugins: [./ballkit.py]
stages:
  dataset:
    run: generate
    generator: {name: ball}
    annotators: [segmentation, depth]
    samples: 24
    resolution: 32
    shard_size: 4
    workers: 1
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("synthforge_plugins.executors.local.is_one_thread", lambda: True)
    shutil.copy(TESTS / "third_party/ballkit/ballkit.py", tmp_path / "ballkit.py")
    path = tmp_path / "balls.yaml"
    path.write_text(PIPELINE)
    return path


def generate(pipeline: Path, out: str, *overrides: str) -> list[str]:
    """The statuses of the stages."""
    read = load_pipeline(pipeline, KINDS, overrides=overrides)
    return [result.status for result in run_pipeline(read, place(out), say=lambda text: None)]


def test_a_killed_run_goes_on_elsewhere_to_the_same_bytes(
    pipeline: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(pipeline, str(tmp_path / "here"))
    out = f"{bucket}/run"
    log = tmp_path / "log.txt"
    command = [sys.executable, "-m", "synthforge", "run", str(pipeline), "--out", out]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 120
        while not place(f"{out}/dataset/shard-00001.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_state(place(f"{out}/dataset"))["state"] == "running", log.read_text()  # type: ignore[index]
    before = {path.name: path.stat().st_mtime_ns for path in place(f"{out}/dataset").glob("shard-*.json")}
    assert 2 <= len(before) < 6
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path / "another machine"))
    assert generate(pipeline, out) == ["done"]
    assert contents(out) == contents(tmp_path / "here")
    assert generate(pipeline, out) == ["up to date"]
    for path in place(f"{out}/dataset").glob("shard-*.json"):
        assert before.get(path.name) in (None, path.stat().st_mtime_ns), "a finished shard was made again"
    everything = b"".join(path.read_bytes() for path in place(out).rglob("*")) + log.read_bytes()
    assert SECRET.encode() not in everything
    assert KEY.encode() not in everything


@pytest.mark.parametrize("every", [2, 3, 5, 7])
def test_faults_of_the_store_change_no_byte(pipeline: Path, faulty: type[Faulty], every: int, tmp_path: Path) -> None:
    generate(pipeline, str(tmp_path / "here"))
    faulty.every = every
    assert generate(pipeline, "faulty://box/run") == ["done"]
    assert generate(pipeline, "faulty://box/run", "stages.dataset.samples=8") == ["done"]
    assert generate(pipeline, "faulty://box/run") == ["up to date"]  # the old result is back
    place("faulty://box/run/dataset/shard-00003.tar").unlink(missing_ok=True)
    assert generate(pipeline, "faulty://box/run") == ["done"]
    assert contents("faulty://box/run") == contents(tmp_path / "here")
    assert faulty.failed > 20


def test_a_store_that_stays_away_ends_the_run_which_then_goes_on(
    pipeline: Path, faulty: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Faulty.put_file

    def away(self: Faulty, local: str, remote: str, **options: Any) -> Any:
        if "shard-00003" in remote:
            raise ConnectionRefusedError("nobody there")
        return put(self, local, remote, **options)

    with monkeypatch.context() as broken:
        broken.setattr(Faulty, "put_file", away)
        with pytest.raises(SynthForgeError, match=r"shard-00003.*no valid answer from the store"):
            generate(pipeline, "faulty://box/run")
    assert generate(pipeline, "faulty://box/run") == ["done"]
    generate(pipeline, str(tmp_path / "here"))
    assert contents("faulty://box/run") == contents(tmp_path / "here")


def test_a_store_of_one_process_is_not_given_to_others(pipeline: Path, memory: str) -> None:
    with pytest.raises(UserError, match="other processes cannot see this store"):
        generate(pipeline, memory, "stages.dataset.workers=2", "stages.dataset.executor={name: local, few: 0}")


@dataclass
class Toy:
    """A stage that writes as any library may."""

    steps: int = key(3, "How many files.")
    source: str = key("", "Another stage.")


def toy(work: Callable[[StageContext, Toy], None]) -> dict[str, StageKind]:
    return {"toy": StageKind("toy", Toy, work, inputs=("source",), local=("source",), loose=("logs/*",))}


def run_toy(out: str, kinds: dict[str, StageKind]) -> list[str]:
    stages = {"first": {"run": "toy"}, "second": {"run": "toy", "source": "first"}}
    pipeline = make_pipeline({"stages": stages}, kinds, source="test", base=Path())
    return [result.status for result in run_pipeline(pipeline, place(out), say=lambda text: None)]


def test_other_stages_work_here_and_publish(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    fail = True

    def work(context: StageContext, config: Toy) -> None:
        seen.append(sorted(contents(context.out)))
        for number in range(config.steps):
            if "source" in context.inputs:
                assert (Path(os.fspath(context.inputs["source"])) / "sub/0.txt").read_text() == "first 0"
            (context.out / "sub").mkdir(exist_ok=True)
            (context.out / f"sub/{number}.txt").write_text(f"{context.name} {number}")
            if fail and number == 1:
                raise SynthForgeError("stopped")
        (context.out / "sub/1.txt").unlink()
        (context.out / "logs").mkdir()
        (context.out / "logs/log").write_text("x")
        (context.out / "model.json").write_text("{}")

    kinds = toy(work)
    with pytest.raises(SynthForgeError, match="stopped"):
        run_toy(memory, kinds)
    assert contents(f"{memory}/first") == {"sub/0.txt": b"first 0", "sub/1.txt": b"first 1"}
    fail = False
    assert run_toy(memory, kinds) == ["done", "done"]
    assert seen[1] == ["sub/0.txt", "sub/1.txt"], "what was published is there to go on with"
    names = ("logs/log", "model.json", "sub/0.txt", "sub/2.txt")
    assert sorted(contents(memory)) == [f"{stage}/{name}" for stage in ("first", "second") for name in names]
    assert run_toy(memory, kinds) == ["up to date", "up to date"]
    fsspec.filesystem("memory").rm(f"{memory}/first/sub/2.txt")
    assert run_toy(memory, kinds) == ["done", "up to date"]
    assert not any((Path(os.environ["SYNTHFORGE_CACHE"]) / "scratch").iterdir())


def test_records_are_published_after_what_they_speak_of(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    put = scratch.RemotePath.put
    monkeypatch.setattr(scratch.RemotePath, "put", lambda self, file: (order.append(self.name), put(self, file)))

    def work(context: StageContext, config: Toy) -> None:
        for name in ("manifest.json", "a.json", "z.tar", "model.safetensors", "model.json"):
            (context.out / name).write_text(name)

    run_toy(memory, toy(work))
    first = [name for name in order if not name.startswith(".")][:5]
    assert first == ["model.safetensors", "z.tar", "a.json", "manifest.json", "model.json"]


def test_what_is_finished_is_published_while_a_stage_runs(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "EVERY", 0.01)

    def work(context: StageContext, config: Toy) -> None:
        (context.out / "last.ckpt").write_text(context.name)
        deadline = time.monotonic() + 20
        while not place(f"{memory}/{context.name}/last.ckpt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    assert run_toy(memory, toy(work)) == ["done", "done"]


def test_parts_in_a_store_are_merged_to_the_bytes_of_one_run(
    pipeline: Path, faulty: type[Faulty], tmp_path: Path
) -> None:
    generate(pipeline, str(tmp_path / "here"))
    faulty.every, out, read = 4, place("faulty://box/parts"), load_pipeline(pipeline, KINDS)
    for number in (2, 1):
        run_pipeline(read, out, say=lambda text: None, folders={"dataset": out}, part=Part(number, 2))
    assert merge(out, say=lambda text: None)["shards"] == 6
    assert contents(out) == contents(tmp_path / "here/dataset")
    assert merge(out, say=lambda text: None)["status"] == "up to date"


def test_a_damaged_shard_in_a_store_is_made_again(pipeline: Path, memory: str, tmp_path: Path) -> None:
    generate(pipeline, memory)
    there = place(f"{memory}/dataset/shard-00001.tar")
    assert isinstance(there, RemotePath)
    sound = there.read_bytes()
    there.overwrite(sound[:600] + b"x" + sound[601:])
    files = [str(tmp_path / "ballkit.py")]
    done = repair(place(f"{memory}/dataset"), plugin_files=files, workers=1, say=lambda text: None)
    assert (done["shards"], done["damage"][0]["key"]) == ([1], "000000004")
    assert there.read_bytes() == sound
