"""Third-party schemas, mapping, benchmark, asset, policy, backbone and detector, through a pipeline and the commands.

No line of the engine knows them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

PIPELINE = """
seed: 3
stages:
  dataset: {run: generate, generator: discs, samples: 32, resolution: 48, shard_size: 16,
            annotators: [{name: landmarks, schema: rings98}, {name: segmentation, schema: parts8}]}
  faces: {run: standin, dataset: dataset, format: rings}
  model:
    run: train
    dataset: dataset
    tasks:
      - {name: keypoints, schema: rings98, head: light, width: 16}
      - {name: segmentation, schema: parts8, head: light}
    network: {backbone: tiny, channels: 8, input_size: 32, options: {hidden: 6}}
    augmentation: mild
    batch_size: 8
    epochs: 2
    ema: 0.0
    optimiser: {lr: 0.01, encoder_factor: 1.0, final_lr: 0.001}
    precision: 32-true
    hardware: {workers: 0}
  adapted: {run: finetune, model: model, benchmark: rings, benchmark_root: faces, train_split: learn,
            val_split: check, epochs: 1, batch_size: 4, precision: 32-true, hardware: {workers: 0}}
  score: {run: evaluate, model: adapted, benchmark: rings, benchmark_root: faces, splits: [final], box: detector,
          detector: brightest}
  report: {run: report, evaluations: [score]}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed into it."""
    folder = tmp_path_factory.mktemp("third")
    shutil.copytree(HERE / "facekit", folder / "facekit")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([sys.executable, *command, folder / "site", folder / "facekit"], check=True, cwd=folder)
    return folder / "site"


def _run(site: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site), "SYNTHFORGE_ASSETS": str(cwd / "assets")},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dataset_of_98_points_and_eight_classes_goes_through_every_stage(site: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    ran = _run(site, "-m", "synthforge", "run", "p.yaml", "--out", "out", "--json", "-", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {row["status"] for row in json.loads(ran.stdout)["stages"]} == {"done"}
    description = json.loads((tmp_path / "out/model/model.json").read_text())
    assert description["network"]["backbone"] == "tiny"
    (row,) = json.loads((tmp_path / "out/report/report.json").read_text())["evaluations"]
    assert np.isfinite(row["values"]["nme"])
    assert row["stand_in"]
    checked = _run(site, "-m", "synthforge", "verify", "out/dataset", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    _predict(site, tmp_path)
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("train_split: learn", "train_split: final"))
    refused = _run(site, "-m", "synthforge", "run", "p.yaml", "--out", "out", cwd=tmp_path)
    assert refused.returncode == 2
    assert "does not touch the test split 'final'" in refused.stderr


def _predict(site: Path, folder: Path) -> None:
    from PIL import Image

    image = np.full((64, 64, 3), 20, np.uint8)
    image[16:48, 16:48] = 220
    Image.fromarray(image).save(folder / "photo.png")
    command = ["predict", "out/adapted", "photo.png", "--detector", "brightest", "--out", "seen", "--overlay", "none"]
    done = _run(site, "-m", "synthforge", *command, cwd=folder)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads((folder / "seen/photo.json").read_text())["faces"]
    assert (face["box"], face["score"]) == ([16, 16, 48, 48], 0.75)


def test_its_data_is_listed_with_its_distribution(site: Path, tmp_path: Path) -> None:
    done = _run(site, "-m", "synthforge", "plugins", "--json", "-", cwd=tmp_path)
    listed = {(p["kind"], p["name"]): p["distribution"] for p in json.loads(done.stdout)["plugins"]}
    for kind, name in (
        *(("schemas", "rings98"), ("schemas", "parts8"), ("mappings", "synthforge -> parts8")),
        *(("assets", "facekit-key"), ("policies", "mild"), ("backbones", "tiny"), ("detectors", "brightest")),
    ):
        assert listed[kind, name] == "facekit 0.3"


def test_its_plugins_keep_the_contract_without_being_told_how(site: Path, tmp_path: Path) -> None:
    code = """
from synthforge.core.plugins import load_plugins
from synthforge.testing import check_plugin
plugins = load_plugins(strict=True)
for kind, name in (("generator", "discs"), ("benchmark", "rings")):
    check_plugin(plugins, kind, name)
print("kept")
"""
    (tmp_path / "contract.py").write_text(code)
    checked = _run(site, "contract.py", cwd=tmp_path)
    assert "kept" in checked.stdout, checked.stderr


def test_its_licensed_file_is_asked_for_checked_and_found(site: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "seed: 1\nstages:\n"
        "  d: {run: generate, generator: keyed-discs, annotators: [depth], samples: 2, resolution: 32}\n"
    )
    run = ["-m", "synthforge", "run", "p.yaml", "--out", "out"]
    assert "facekit-key is missing" in _run(site, *run, cwd=tmp_path).stderr
    (tmp_path / "key").write_bytes(b"no key")
    add = ["-m", "synthforge", "assets", "add", "facekit-key", "key"]
    assert "is no key of facekit" in _run(site, *add, cwd=tmp_path).stderr
    (tmp_path / "key").write_bytes(b"KEY1")
    assert _run(site, *add, cwd=tmp_path).returncode == 0
    done = _run(site, *run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out/d/manifest.json").read_text())
    assert "facekit-key" in json.dumps(manifest)
