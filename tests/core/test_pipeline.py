"""Stages run once: fingerprints, resuming, reruns of what depends on a change and no more."""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.core.locks import locked
from synthforge.core.pipeline import StageContext, StageKind, load_pipeline, run_pipeline
from synthforge.core.provenance import PREVIOUS, STATE_FILE, digest, read_state


@dataclass
class MakeConfig:
    text: str = "x"
    loud: bool = field(default=False, metadata={"since": "0.2"})
    workers: int = field(default=1, metadata={"counts": False})


@dataclass
class JoinConfig:
    parts: list[str] = field(default_factory=list)
    glue: str = "-"
    fail: bool = False


def _make(context: StageContext, config: MakeConfig) -> None:
    (context.out / "text").write_text(config.text)


def _join(context: StageContext, config: JoinConfig) -> None:
    if config.fail:
        raise RuntimeError("on purpose")
    texts = [path.joinpath("text").read_text() for _, path in sorted(context.inputs.items())]
    (context.out / "text").write_text(config.glue.join(texts))


KINDS = {
    "make": StageKind("make", MakeConfig, _make),
    "join": StageKind("join", JoinConfig, _join, inputs=("parts",)),
}
TEXT = """
seed: 3
stages:
  a: {run: make, text: one}
  b: {run: make, text: two}
  c: {run: join, parts: [a, b]}
"""


def _run(tmp_path: Path, *overrides: str, text: str = TEXT, **options: bool) -> dict[str, str]:
    path = tmp_path / "p.yaml"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    pipeline = load_pipeline(path, KINDS, overrides=overrides)
    results = run_pipeline(pipeline, tmp_path / "out", say=lambda _: None, **options)
    return {r.name: r.status for r in results}


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    assert set(_run(tmp_path).values()) == {"done"}
    assert (tmp_path / "out/c/text").read_text() == "one-two"
    assert not list((tmp_path / "out").rglob(".lock"))
    assert set(_run(tmp_path).values()) == {"up to date"}


def test_a_changed_key_reruns_what_depends_on_it_and_no_more(tmp_path: Path) -> None:
    _run(tmp_path)
    assert _run(tmp_path, "stages.b.text=three") == {"a": "up to date", "b": "done", "c": "done"}
    assert (tmp_path / "out/c/text").read_text() == "one-three"
    assert _run(tmp_path, "stages.b.text=three", "stages.c.glue=+") == {
        "a": "up to date",
        "b": "up to date",
        "c": "done",
    }


def test_a_neutral_key_reruns_nothing(tmp_path: Path) -> None:
    _run(tmp_path)
    assert set(_run(tmp_path, "stages.a.workers=8").values()) == {"up to date"}


def test_the_old_result_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    _run(tmp_path)
    (tmp_path / "out/b/text").write_text("TWO")  # so that a result that comes back is told from one made again
    for text in ("three", "four"):
        _run(tmp_path, f"stages.b.text={text}")
    assert _aside(tmp_path, "b") == ["TWO", "three"]
    assert _run(tmp_path) == {"a": "up to date", "b": "up to date", "c": "up to date"}
    assert (tmp_path / "out/b/text").read_text() == "TWO"
    assert _aside(tmp_path, "b") == ["four", "three"]


def _aside(tmp_path: Path, name: str) -> list[str]:
    return sorted(path.read_text() for path in (tmp_path / "out" / PREVIOUS).glob(f"{name}.*/text"))


def test_results_of_earlier_releases_keep_fitting_and_come_back(tmp_path: Path) -> None:
    """They were set aside as `.previous/NAME`, and named keys that do not count (any more) in their facts."""
    _run(tmp_path)
    state = read_state(tmp_path / "out/a")
    assert state is not None
    state["facts"]["config"]["workers"] = 7
    old = {**state, "fingerprint": digest(state["facts"])}
    del old["outputs"], old["sha256"]
    (tmp_path / "out/a" / STATE_FILE).write_text(json.dumps(old))
    pipeline = "stages: {a: {run: make, text: one}}\nseed: 3"
    assert _run(tmp_path, text=pipeline) == {"a": "up to date"}
    (tmp_path / "out" / PREVIOUS).mkdir()
    (tmp_path / "out/a/text").write_text("ONE")
    (tmp_path / "out/a").rename(tmp_path / "out" / PREVIOUS / "a")
    assert _run(tmp_path, text=pipeline) == {"a": "up to date"}
    assert (tmp_path / "out/a/text").read_text() == "ONE"


def test_a_key_of_a_later_release_counts_only_away_from_its_default(tmp_path: Path) -> None:
    _run(tmp_path)
    state = read_state(tmp_path / "out/a")
    assert state is not None
    assert state["facts"]["config"] == {"text": "one"}
    assert _run(tmp_path, "stages.a.loud=true")["a"] == "done"


@pytest.mark.parametrize("change", ["missing", "cut", "flipped"])
def test_a_finished_result_is_believed_only_while_it_is_whole(tmp_path: Path, change: str) -> None:
    _run(tmp_path)
    path = tmp_path / "out/b/text"
    path.unlink() if change == "missing" else path.write_text({"cut": "t", "flipped": "twO"}[change])
    check = change == "flipped"  # the same size: only checksums tell
    if check:
        assert set(_run(tmp_path).values()) == {"up to date"}
    assert _run(tmp_path, dry=True, check=check) == {"a": "up to date", "b": "would run", "c": "up to date"}
    assert _run(tmp_path, check=check) == {"a": "up to date", "b": "done", "c": "up to date"}
    assert path.read_text() == "two"
    assert set(_run(tmp_path, check=True).values()) == {"up to date"}
    assert _aside(tmp_path, "b.damaged") == {"missing": [], "cut": ["t"], "flipped": ["twO"]}[change]


def test_a_damaged_result_of_another_configuration_is_set_aside_whole(tmp_path: Path) -> None:
    """Also where the stage could mend it: another configuration would overwrite what is left."""

    def make(context: StageContext, config: MakeConfig) -> None:
        for name in ("one", "two"):
            (context.out / name).write_text(config.text)

    kinds = {"make": StageKind("make", MakeConfig, make, mends=True)}
    for text in ("old", "new"):
        (tmp_path / "p.yaml").write_text(f"stages: {{a: {{run: make, text: {text}}}}}")
        run_pipeline(load_pipeline(tmp_path / "p.yaml", kinds), tmp_path / "out", say=lambda _: None)
        if text == "old":
            (tmp_path / "out/a/one").unlink()
    assert (tmp_path / "out/a/two").read_text() == "new"
    (aside,) = (tmp_path / "out" / PREVIOUS).glob("a.*")
    assert {path.name for path in aside.iterdir()} == {"two", STATE_FILE}
    assert (aside / "two").read_text() == "old"


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_that_is_deleted_under_a_stage_is_no_finished_result(tmp_path: Path, fails: bool) -> None:
    deleted = []

    def make(context: StageContext, config: MakeConfig) -> None:
        if not deleted:
            deleted.append(True)
            shutil.rmtree(context.out)
            context.out.mkdir()
            (context.out / "half").write_text("x")
            if fails:
                raise DataError("a file is missing")
        (context.out / "text").write_text(config.text)

    kinds = {"make": StageKind("make", MakeConfig, make)}
    (tmp_path / "p.yaml").write_text("stages: {a: {run: make}}")
    pipeline = load_pipeline(tmp_path / "p.yaml", kinds)
    with pytest.raises(DataError, match="a file is missing" if fails else r"out/a was deleted while the stage ran"):
        run_pipeline(pipeline, tmp_path / "out", say=lambda _: None)
    assert [each.status for each in run_pipeline(pipeline, tmp_path / "out", say=lambda _: None)] == ["done"]
    assert (tmp_path / "out/a/text").read_text() == "x"


def test_an_input_from_elsewhere_that_is_not_whole_is_named(tmp_path: Path) -> None:
    _run(tmp_path)
    (tmp_path / "out/a/text").unlink()
    text = f"stages: {{c: {{run: join, parts: [{tmp_path / 'out/a'}]}}}}"
    with pytest.raises(DataError, match="is incomplete: text missing"):
        _run(tmp_path, text=text)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert set(_run(tmp_path, dry=True).values()) == {"would run"}
    assert not (tmp_path / "out").exists()


class _Killed(BaseException):
    """Stands for SIGKILL: nothing of the process runs afterwards, its clean-up neither."""


@contextmanager
def _kill_at(number: int) -> Iterator[None]:
    """End this 'process' before its n-th system call that changes a name, and fail every later one."""
    left = [number]

    def deadly(function: Any, counts: Any = lambda *args: True) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if counts(*args):
                left[0] -= 1
                if left[0] < 0:
                    raise _Killed
            return function(*args, **options)

        return call

    def writes(path: Any, mode: str = "r", *rest: Any) -> bool:
        return not isinstance(path, int) and mode[0] != "r"

    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "remove"):
            patch.setattr(os, name, deadly(getattr(os, name)))
        for module in (builtins, io):
            patch.setattr(module, "open", deadly(open, writes))
        yield


def _everything(tmp_path: Path) -> list[str]:
    return sorted(path.read_text() for path in (tmp_path / "out").rglob("text"))


def test_after_a_kill_at_any_call_that_names_a_file_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First results, set aside, a third configuration, back to the first, a lost file: nothing of anyone is gone."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    (tmp_path / "p.yaml").write_text("seed: 3\nstages: {b: {run: make}}")
    texts = ["one", "two", "three"]
    read = {text: load_pipeline(tmp_path / "p.yaml", KINDS, overrides=[f"stages.b.text={text}"]) for text in texts}

    def run(text: str) -> None:
        run_pipeline(read[text], tmp_path / "out", say=lambda _: None)

    steps = ["one", "two", "three", "one", "lost"]
    known: set[str] = set()
    kills = 0
    for step in steps:
        name = "one" if step == "lost" else step
        if step == "lost":
            (tmp_path / "out/b/text").write_text("o")
            known = known - {"one"} | {"o"}
        for number in itertools.count():
            saved = tmp_path / "saved"
            shutil.rmtree(saved, ignore_errors=True)
            shutil.copytree(tmp_path / "out", saved) if (tmp_path / "out").exists() else None
            try:
                with _kill_at(number):
                    run(name)
            except _Killed:
                kills += 1
                assert known <= set(_everything(tmp_path)), (step, number)
                other = texts[number % 3]  # either the same command comes next, or another one
                for again in (name,) if number % 2 else (other, name):
                    run(again)
                    assert (tmp_path / "out/b/text").read_text() == again
                    assert known <= set(_everything(tmp_path)), (step, number, again)
                assert not list((tmp_path / "out").rglob("*.tmp"))
                shutil.rmtree(tmp_path / "out")
                shutil.copytree(saved, tmp_path / "out") if saved.exists() else None
            else:
                break
        assert (tmp_path / "out/b/text").read_text() == name
        known.add(name)
    assert kills > 40


def test_a_failed_stage_runs_again_and_earlier_ones_do_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        _run(tmp_path, "stages.c.fail=true")
    assert _run(tmp_path) == {"a": "up to date", "b": "up to date", "c": "done"}


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="was not made by a stage"):
        _run(tmp_path)
    assert (tmp_path / "out/a/thesis.txt").read_text() == "precious"


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    _run(tmp_path)
    (tmp_path / "out/a/.stage.json").write_text("{")
    with pytest.raises(DataError, match=r"\.stage\.json is not valid JSON"):
        _run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {}", "at least one stage"),
        ("stage: {a: {run: make}}", "'stages'"),
        ("stages: {a: {run: mke}}", "'make'"),
        ("stages: {a: {text: x}}", "the key 'run'"),
        ("stages: {a: {run: make, txt: x}}", "'text'"),
        ("stages: {c: {run: join, parts: [a]}, a: {run: make}}", "comes later"),
        ("stages: {abc: {run: make}, c: {run: join, parts: [abd]}}", "'abc'"),
        ("seed: -1\nstages: {a: {run: make}}", "seed"),
        ("plugins: [./none.py]\nstages: {a: {run: make}}", "none.py"),
        ("stages: {../a: {run: make}}", "becomes a folder"),
    ],
)
def test_mistakes_are_answered_with_file_and_path(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        _run(tmp_path, text=text)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_only_keeps_dependencies(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(TEXT)
    pipeline = load_pipeline(path, KINDS)
    assert [s.name for s in pipeline.only(["make"]).stages] == ["a", "b"]
    assert [s.name for s in pipeline.only(["join"]).stages] == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="no stage runs"):
        pipeline.only(["evaluate"])


def test_a_changed_user_plugin_reruns(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    source = """
        from dataclasses import dataclass
        from synthforge.core.hookspecs import hookimpl

        @dataclass
        class Config:
            pass

        @hookimpl
        def register_tasks(register):
            register("mine", Config, config=Config, summary="nothing")
    """
    plugin.write_text(textwrap.dedent(source))
    text = "plugins: [./mine.py]\n" + TEXT
    _run(tmp_path, text=text)
    assert set(_run(tmp_path, text=text).values()) == {"up to date"}
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    assert set(_run(tmp_path, text=text).values()) == {"done"}


def test_two_runs_in_one_folder_are_refused_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import test_pipeline as t
            from pathlib import Path
            from synthforge.core.pipeline import StageKind, load_pipeline, run_pipeline
            def slow(context, config):
                print("working", flush=True)
                time.sleep(60)
            kinds = dict(t.KINDS, join=StageKind("join", t.JoinConfig, slow, inputs=("parts",)))
            run_pipeline(load_pipeline(Path({str(tmp_path / "p.yaml")!r}), kinds), Path({str(tmp_path / "out")!r}))
            """
        )
    )
    (tmp_path / "p.yaml").write_text(TEXT)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("working"):
            break
    with pytest.raises(UserError, match=rf"is writing to .*out: process {process.pid} on .*, since 20\d\d-") as caught:
        _run(tmp_path)
    assert socket.gethostname() in str(caught.value)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert _run(tmp_path) == {"a": "up to date", "b": "up to date", "c": "done"}


def test_two_runs_side_by_side_do_not_refuse_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / "one"), locked(tmp_path / "two"):
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["one", "two"]
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), locked(tmp_path / "two"):
            pass
    assert list(tmp_path.rglob(".*")) == []


def test_a_lock_that_was_left_behind_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    content = {"host": socket.gethostname(), "process": ended.pid, "since": "2020-01-01 00:00:00+00:00"}
    (tmp_path / ".lock").write_text(json.dumps(content))
    with locked(tmp_path):
        pass

    def no_locks(*args: Any) -> None:  # as some network file systems answer
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for process, free in ((ended.pid, True), (os.getppid(), False)):
        (tmp_path / ".lock").write_text(json.dumps({**content, "process": process}))
        if free:
            with locked(tmp_path):
                pass
        else:
            with pytest.raises(UserError, match="since 2020-01-01"), locked(tmp_path):
                pass


def test_temporary_files_of_dead_processes_and_of_other_hosts_go(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    stale = [tmp_path / ".a.json.oldhost.17.0.tmp", tmp_path / "val/.b.oldhost.17.3.tmp"]
    for path in (*stale, tmp_path / ".notes.tmp"):
        path.write_text("x")
    with locked(tmp_path):
        assert [path.name for path in sorted(tmp_path.iterdir())] == [".lock", ".notes.tmp", "val"]
    assert not stale[1].exists()
