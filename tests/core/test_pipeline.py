"""Stages run once: fingerprints, resuming, reruns of what depends on a change and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.core.pipeline import PREVIOUS, StageContext, StageKind, load_pipeline, run_pipeline


@dataclass
class MakeConfig:
    text: str = "x"
    workers: int = 1


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
    "make": StageKind("make", MakeConfig, _make, neutral=("workers",)),
    "join": StageKind("join", JoinConfig, _join, inputs=("parts",)),
}
TEXT = """
seed: 3
stages:
  a: {run: make, text: one}
  b: {run: make, text: two}
  c: {run: join, parts: [a, b]}
"""


def _run(tmp_path: Path, *overrides: str, text: str = TEXT) -> dict[str, str]:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    pipeline = load_pipeline(path, KINDS, overrides=overrides)
    return {r.name: r.status for r in run_pipeline(pipeline, tmp_path / "out", say=lambda _: None)}


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    assert set(_run(tmp_path).values()) == {"done"}
    assert (tmp_path / "out/c/text").read_text() == "one-two"
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
    (tmp_path / "out/b/text").write_text("made by hand")
    _run(tmp_path, "stages.b.text=three")
    assert (tmp_path / "out" / PREVIOUS / "b/text").read_text() == "made by hand"
    _run(tmp_path)
    assert (tmp_path / "out" / PREVIOUS / "b/text").read_text() == "three"


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
    with pytest.raises(DataError, match=r"\.stage\.json is damaged"):
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
    with pytest.raises(UserError, match="another run is at work"):
        _run(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert _run(tmp_path) == {"a": "up to date", "b": "up to date", "c": "done"}
