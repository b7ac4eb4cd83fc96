"""A plugin package outside of the repository, really installed: contract suite, then a pipeline through every stage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PIPELINE = """
seed: 3
benchmark: {name: painted-balls, root: "???"}
stages:
  dataset: {run: generate, generator: {name: ball, radius: 0.12}, annotators: [segmentation, depth],
            samples: 48, resolution: 48, shard_size: 24}
  model:
    run: train
    dataset: dataset
    tasks: [{name: segmentation, head: light}]
    network: {backbone: residual, width: 0.125, channels: 8, input_size: 32}
    augmentation: none
    batch_size: 8
    epochs: 3
    ema: 0.0
    optimiser: {lr: 0.01, encoder_factor: 1.0, final_lr: 0.001}
    precision: 32-true
    hardware: {workers: 0}
  score: {run: evaluate, model: model, benchmark: "${benchmark}", splits: [test]}
  report: {run: report, evaluations: [score]}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed into it."""
    folder = tmp_path_factory.mktemp("third")
    shutil.copytree(HERE / "ballkit", folder / "ballkit")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([sys.executable, *command, folder / "site", folder / "ballkit"], check=True, cwd=folder)
    return folder / "site"


def _run(site: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def _painted(root: Path) -> None:
    code = """
import sys, numpy as np
from pathlib import Path
from synthforge.core.plugins import load_plugins
ball = load_plugins().build("generator", "ball")
for split, first in (("train", 500), ("val", 600), ("test", 700)):
    folder = Path(sys.argv[1]) / split
    folder.mkdir(parents=True)
    for r in ball.render([ball.sample(1, first + i) for i in range(6)], 64):
        np.savez(folder / f"{r.scene.index}.npz", image=r.image, label=r.labels["synthforge"])
"""
    (root.parent / "paint.py").write_text(code)


def test_it_is_listed_with_its_distribution(site: Path, tmp_path: Path) -> None:
    done = _run(site, "-m", "synthforge", "plugins", "--json", "-", cwd=tmp_path)
    listed = {(p["kind"], p["name"]): p["distribution"] for p in json.loads(done.stdout)["plugins"]}
    assert listed["generator", "ball"] == "ballkit 1.2"
    assert listed["benchmark", "painted-balls"] == "ballkit 1.2"


def test_a_package_that_raises_on_import_disturbs_nobody(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    (broken / "ballkit.py").write_text("raise RuntimeError('not today')\n")
    done = _run(broken, "-m", "synthforge", "plugins", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not today" in done.stdout
    assert "anny" in done.stdout
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("???", "."))
    asked = _run(broken, "-m", "synthforge", "run", "p.yaml", cwd=tmp_path)
    assert asked.returncode == 2
    assert "ballkit 1.2" in asked.stderr
    assert "not today" in asked.stderr


def test_it_passes_the_contract_suite_and_runs_through_a_pipeline(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "painted"
    _painted(root)
    done = _run(site, "paint.py", root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    contract = f"""
from synthforge.core.plugins import load_plugins
from synthforge.testing import check_plugin
plugins = load_plugins(strict=True)
check_plugin(plugins, "generator", "ball")
check_plugin(plugins, "benchmark", {{"name": "painted-balls", "root": {str(root)!r}}}, split="test")
print("kept")
"""
    (tmp_path / "contract.py").write_text(contract)
    checked = _run(site, "contract.py", cwd=tmp_path)
    assert "kept" in checked.stdout, checked.stderr
    (tmp_path / "p.yaml").write_text(PIPELINE)
    command = ["-m", "synthforge", "run", "p.yaml", "--set", f"benchmark.root={root}", "--out", "out", "--json", "-"]
    ran = _run(site, *command, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [row["status"] for row in json.loads(ran.stdout)["stages"]] == ["done"] * 4
    report = json.loads((tmp_path / "out/report/report.json").read_text())
    assert "accuracy" in json.dumps(report)
    again = _run(site, *command, cwd=tmp_path)
    assert [row["status"] for row in json.loads(again.stdout)["stages"]] == ["up to date"] * 4
