"""An executor of the user's own, in a file that the pipeline names: found, checked, and the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthforge.core.errors import ConfigError
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.core.plugins import load_plugins
from synthforge.stages import KINDS
from synthforge.testing import check_plugin

BACKWARDS = '''
"""Runs units in this process, the last one first, and lets the first process say what it is."""
from dataclasses import dataclass
from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Executor

@dataclass
class BackwardsConfig:
    skip: int = key(0, "How many units are left out.", low=0)

class Backwards(Executor):
    def __init__(self, config):
        self.config = config

    def run(self, work, units, *, workers, advance, say):
        made = work.open(True)
        say(f"  {len(units)} units, the last one first")
        for unit in list(reversed(units))[self.config.skip:]:
            work.run(unit, advance)
        return made

@hookimpl
def register_executors(register):
    register("backwards", Backwards, config=BackwardsConfig, summary="one by one, the last unit first")
'''


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("synthforge.testing.executors.is_one_thread", lambda: True)


@pytest.mark.usefixtures("one_thread")
def test_the_contract_holds_and_finds_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "backwards.py").write_text(BACKWARDS)
    plugins = load_plugins(["./backwards.py"], base=tmp_path)
    check_plugin(plugins, "executor", "backwards")
    with pytest.raises(AssertionError, match=r"executor 'backwards'.*asked for the units \[0, 2, 3, 7\], made were"):
        check_plugin(plugins, "executor", {"name": "backwards", "skip": 1})


def test_a_pipeline_uses_it_to_the_same_bytes(pipeline_file: Path, tmp_path: Path) -> None:
    (tmp_path / "backwards.py").write_text(BACKWARDS)
    few = ["stages.dataset.samples=20", "stages.dataset.resolution=32"]
    run_pipeline(load_pipeline(pipeline_file, KINDS, overrides=few), tmp_path / "local")
    text = pipeline_file.read_text().replace("[./ballkit.py]", "[./ballkit.py, ./backwards.py]")
    pipeline_file.write_text(text.replace("workers: 2", "executor: backwards"))
    said: list[str] = []
    run_pipeline(load_pipeline(pipeline_file, KINDS, overrides=few), tmp_path / "own", say=said.append)
    assert "  3 units, the last one first" in said
    shards = [path.name for path in sorted((tmp_path / "own/dataset").glob("shard-*"))]
    assert len(shards) == 6
    for name in shards:
        whole = (tmp_path / "local/dataset" / name).read_bytes()
        if name.endswith(".tar"):
            assert (tmp_path / "own/dataset" / name).read_bytes() == whole


def test_a_wrong_key_is_answered_with_its_path(pipeline_file: Path) -> None:
    text = pipeline_file.read_text().replace("workers: 2", "executor: {name: local, fewer: 3}")
    pipeline_file.write_text(text)
    with pytest.raises(ConfigError, match=r"stages\.dataset\.executor\.fewer: there is no key 'fewer' here"):
        load_pipeline(pipeline_file, KINDS)
