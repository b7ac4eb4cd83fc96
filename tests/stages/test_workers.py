"""Where samples are rendered: in this process or in several, with the same bytes, and nothing is left of either."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthforge_plugins.executors import local

from synthforge.core.errors import PluginError
from synthforge.core.pipeline import Pipeline, load_pipeline, run_pipeline
from synthforge.core.versions import versions
from synthforge.datasets.layout import read_json
from synthforge.stages import KINDS
from synthforge.stages.job import ShardJob
from synthforge.stages.recipe import Recipe

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OTHERS = "stages.dataset.executor={name: local, few: 0}"


def _pipeline(path: Path, *overrides: str) -> Pipeline:
    given = ["stages.dataset.samples=6", "stages.dataset.shard_size=4", *overrides]
    return load_pipeline(path, KINDS, overrides=given)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may render itself, as the command line does."""
    for name in THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(local, "is_one_thread", lambda: True)


@pytest.mark.usefixtures("here")
def test_this_process_and_two_others_write_the_same_bytes(
    pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a process was started for six samples")

    with monkeypatch.context() as patch:
        patch.setattr(local, "_Pool", refuse)
        run_pipeline(_pipeline(pipeline_file), tmp_path / "here")
    run_pipeline(_pipeline(pipeline_file, OTHERS), tmp_path / "there")
    assert _bytes(tmp_path / "here/dataset") == _bytes(tmp_path / "there/dataset")


@pytest.mark.usefixtures("here")
def test_the_bytes_do_not_depend_on_the_folder_of_a_plugin_file(pipeline_file: Path, tmp_path: Path) -> None:
    run_pipeline(_pipeline(pipeline_file), tmp_path / "one")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("balls.yaml", "ballkit.py"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    run_pipeline(_pipeline(moved / "balls.yaml"), tmp_path / "two")
    assert _bytes(tmp_path / "one/dataset") == _bytes(tmp_path / "two/dataset")
    assert str(tmp_path) not in (tmp_path / "one/dataset/manifest.json").read_text()
    assert read_json(tmp_path / "one/dataset/manifest.json")["plugins"]["generator ball"].startswith("./ballkit.py sha")


def test_a_recipe_travels_to_another_process(pipeline_file: Path) -> None:
    pipeline = _pipeline(pipeline_file)
    config = pipeline.stages[0].config
    recipe = Recipe(config.generator, tuple(config.annotators), (), pipeline.plugin_files, pipeline.base)
    copy = pickle.loads(pickle.dumps(recipe))
    assert [(item.kind, item.name, item.config) for item in copy.all] == [
        (item.kind, item.name, item.config) for item in recipe.all
    ]
    assert copy.fields == recipe.fields


def test_a_plugin_file_travels_with_the_recipe(
    pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path / "cache"))
    pipeline = _pipeline(pipeline_file)
    config = pipeline.stages[0].config
    recipe = Recipe(config.generator, tuple(config.annotators), (), pipeline.plugin_files, pipeline.base)
    parcel = pickle.dumps(recipe)
    (tmp_path / "ballkit.py").unlink()  # as on another machine
    copy = pickle.loads(parcel)
    assert "cache" in copy.generator.entry.distribution
    scenes = [each.generator.built.sample(11, 3) for each in (recipe, copy)]
    assert str(scenes[0].parameters) == str(scenes[1].parameters)


def test_a_worker_of_other_versions_is_refused(pipeline_file: Path) -> None:
    pipeline = _pipeline(pipeline_file)
    config = pipeline.stages[0].config
    recipe = Recipe(config.generator, (), (), pipeline.plugin_files, pipeline.base)
    job = ShardJob(Path(), recipe, config.encoding(), "", 0, 0, 1, 48, 1, stack={**versions(), "numpy": "0.9"})
    with pytest.raises(PluginError, match=r"a worker has numpy [\d.]+, where the run needs numpy 0\.9"):
        job.open(False)


@pytest.mark.parametrize("given", [[OTHERS], []], ids=["in other processes", "in this process"])
@pytest.mark.usefixtures("here")
def test_a_rendering_too_few_is_no_dataset(pipeline_file: Path, tmp_path: Path, given: list[str]) -> None:
    plugin = tmp_path / "ballkit.py"
    less = "\n_all = Ball.render\nBall.render = lambda self, scenes, resolution: _all(self, scenes, resolution)[:-1]\n"
    plugin.write_text(plugin.read_text() + less)
    with pytest.raises(PluginError, match=r"seed 11, index [04]: `render` returned [13] renderings for [24]"):
        run_pipeline(_pipeline(pipeline_file, *given), tmp_path / "out")
    assert not (tmp_path / "out/dataset/manifest.json").exists()


def test_killing_all_leaves_no_semaphore(pipeline_file: Path, tmp_path: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "synthforge", "generate", str(pipeline_file), "--out", str(out), "--workers", "2"]
    process = subprocess.Popen([*command, "--samples", "4000"], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("shard-*.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = {name for name in os.listdir("/dev/shm") if name.startswith("sem.")} - before
    assert not left


@pytest.mark.usefixtures("here")
def test_lost_and_damaged_shards_are_made_again_alone(pipeline_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out/dataset"
    run_pipeline(_pipeline(pipeline_file), tmp_path / "out")
    whole = _bytes(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in whole}
    tar, marker = folder / "shard-00001.tar", folder / "shard-00001.json"
    for damage in ("lost", "cut", "flipped", "marker lost", "manifest lost"):
        data = bytearray(whole[tar.name])
        data[600] ^= 1
        if damage == "flipped":
            tar.write_bytes(data)
        elif damage == "cut":
            tar.write_bytes(data[:1000])
        else:
            {"lost": tar, "marker lost": marker, "manifest lost": folder / "manifest.json"}[damage].unlink()
        (result,) = run_pipeline(_pipeline(pipeline_file), tmp_path / "out", check=damage == "flipped")
        assert (result.status, damage) == ("done", damage)
        assert _bytes(folder) == whole
        assert (folder / "shard-00000.tar").stat().st_mtime_ns == times["shard-00000.tar"], damage
    (result,) = run_pipeline(_pipeline(pipeline_file), tmp_path / "out", check=True)
    assert result.status == "up to date"
