"""A dataset made in parts, `--shards K/N`, and merged: the bytes of one run; what is missing is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from synthforge_plugins.executors import local

from synthforge.cli import merge as merge_command
from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.core.locks import locked, locked_shards
from synthforge.core.parts import Part
from synthforge.core.pipeline import StageResult, load_pipeline, run_pipeline
from synthforge.stages import KINDS
from synthforge.stages.merge import merge


@given(st.integers(1, 200), st.integers(0, 3000))
def test_parts_are_all_shards_each_once(parts: int, shards: int) -> None:
    ranges = [Part(number, parts).within(shards) for number in range(1, parts + 1)]
    assert [shard for each in ranges for shard in each] == list(range(shards))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
    for shard in range(shards):  # as the message of `merge` says
        assert shard in ranges[-(-(shard + 1) * parts // shards) - 1]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", "1.0/2"])
def test_what_is_no_part_is_answered(text: str) -> None:
    with pytest.raises(ConfigError, match="--shards"):
        Part.parse(text)
    assert Part.parse("3/16") == Part(3, 16)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process renders itself."""
    monkeypatch.setattr(local, "is_one_thread", lambda: True)


def _run(path: Path, out: Path, part: str = "", *more: str) -> StageResult:
    few = [f"stages.dataset.{each}" for each in ("samples=14", "shard_size=2", "resolution=32", "executor.few=99")]
    pipeline = load_pipeline(path, KINDS, overrides=["stages.dataset.executor.name=local", *few, *more])
    folders = {"dataset": out}
    taken = Part.parse(part) if part else None
    (result,) = run_pipeline(pipeline, out, folders=folders, say=lambda text: None, part=taken)
    return result


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def _filtered(path: Path) -> None:
    """The pipeline with a filter, whose rejections the manifest gathers."""
    plugin = path.parent / "odd.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom synthforge.core.hookspecs import hookimpl\n"
        "from synthforge.core.interfaces import Filter\nfrom synthforge.core.records import Verdict\n"
        "@dataclass\nclass C: pass\n"
        "class Odd(Filter):\n    def judge(self, rendering, annotations):\n"
        "        return Verdict(rendering.scene.index % 5 != 3, 'third', {'index': rendering.scene.index})\n"
        "@hookimpl\ndef register_filters(register):\n"
        "    register('odd', lambda config: Odd(), config=C, summary='x')\n"
    )
    text = path.read_text().replace("[./ballkit.py]", "[./ballkit.py, ./odd.py]")
    path.write_text(text.replace("samples: 40", "samples: 40\n    filters: [odd]"))


def test_parts_at_once_and_merged_are_one_run(pipeline_file: Path, tmp_path: Path) -> None:
    _filtered(pipeline_file)
    _run(pipeline_file, tmp_path / "one")
    out = tmp_path / "parts"
    with ThreadPoolExecutor(3) as pool:  # each holds locks of its own, as processes do
        results = list(pool.map(lambda part: _run(pipeline_file, out, part), ("1/3", "3/3", "2/3")))
    assert [result.status for result in results] == ["part done"] * 3
    assert not (out / "manifest.json").exists()
    done = CliRunner().invoke(merge_command.command, [str(out), "--check", "--json", "-"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["samples"] == 11
    assert _bytes(out) == _bytes(tmp_path / "one")
    assert "rejections.jsonl" in _bytes(out)
    left = {path.name for path in out.iterdir() if path.name.startswith(".")}
    assert left <= {".stage.json", ".lock"}
    assert _run(pipeline_file, out).status == "up to date"
    assert _run(pipeline_file, out, "2/3").status == "up to date"
    assert merge(out)["status"] == "up to date"


def test_a_merge_that_was_killed_at_its_last_step_is_finished_by_the_next(pipeline_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    for part in ("1/2", "2/2"):
        _run(pipeline_file, out, part)
    running = (out / ".stage.json").read_bytes()
    assert merge(out)["status"] == "done"
    (out / ".stage.json").write_bytes(running)  # all was written but this
    assert merge(out)["status"] == "done"
    assert _run(pipeline_file, out).status == "up to date"
    (out / ".stage.json").write_bytes(running)
    (out / "shard-00003.tar").unlink()
    with pytest.raises(DataError, match="missing or damaged: 3"):
        merge(out)


def test_merge_names_what_is_missing_or_damaged(pipeline_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    with pytest.raises(DataError, match="there is no folder"):
        merge(out)
    _run(pipeline_file, out, "1/3")
    with pytest.raises(DataError, match=r"5 of the 7 shards in .* are missing or damaged: 2-6"):
        merge(out)
    _run(pipeline_file, out, "3/3")
    _run(pipeline_file, out, "2/3")
    tar = out / "shard-00003.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:700] + bytes([whole[700] ^ 1]) + whole[701:])
    with pytest.raises(DataError, match=r"damaged: 3\n.*does not have the checksum of its marker"):
        merge(out, check=True)
    tar.write_bytes(whole[:-512])
    with pytest.raises(DataError, match=r"damaged: 3\n.*bytes instead of"):
        merge(out)
    _run(pipeline_file, out, "2/3")
    assert merge(out, check=True)["samples"] == 14
    assert tar.read_bytes() == whole


def test_a_run_without_parts_finishes_what_parts_began(pipeline_file: Path, tmp_path: Path) -> None:
    _run(pipeline_file, tmp_path / "one")
    _run(pipeline_file, tmp_path / "parts", "2/2")
    assert _run(pipeline_file, tmp_path / "parts").status == "done"
    assert _bytes(tmp_path / "parts") == _bytes(tmp_path / "one")
    assert not (tmp_path / "parts/.unmerged.json").exists()


def test_more_parts_than_shards_leave_some_idle(pipeline_file: Path, tmp_path: Path) -> None:
    for number in range(1, 10):
        _run(pipeline_file, tmp_path / "parts", f"{number}/9")
    assert merge(tmp_path / "parts")["shards"] == 7


def test_another_configuration_is_refused(pipeline_file: Path, tmp_path: Path) -> None:
    _run(pipeline_file, tmp_path / "parts", "1/2")
    with pytest.raises(DataError, match=r"was made differently \(seed changed\)"):
        _run(pipeline_file, tmp_path / "parts", "2/2", "seed=12")
    (tmp_path / "parts/.unmerged.json").write_text('{"shards": 7}')
    with pytest.raises(DataError, match="another part was made with other config"):
        _run(pipeline_file, tmp_path / "parts", "2/2")


@contextmanager
def _shards(folder: Path, shards: range) -> Iterator[None]:
    with locked(folder, shared=True), locked_shards(folder, shards):
        yield


def test_locks_of_shards(tmp_path: Path) -> None:
    with _shards(tmp_path, range(0, 4)):
        with _shards(tmp_path, range(4, 8)):
            pass
        with pytest.raises(UserError, match=r"another run is writing to .*process \d+ on"), locked(tmp_path):
            pass
        with pytest.raises(UserError, match=r"is writing to .*process \d+ on"), _shards(tmp_path, range(0, 4)):
            pass
        with (
            pytest.raises(UserError, match=r"another run is making some .*process \d+ on"),
            _shards(tmp_path, range(3, 5)),
        ):
            pass
    with locked(tmp_path), pytest.raises(UserError, match="another run is writing to"), locked(tmp_path, shared=True):
        pass
    (tmp_path / ".lock.3-5").write_text('{"process": 1}')  # what a killed process left blocks nobody
    with _shards(tmp_path, range(0, 8)):
        pass
