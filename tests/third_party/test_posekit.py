"""Tasks the engine has never heard of, from a dataset to a shipped model: head pose of a third party, and normals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthforge.core.plugins import Plugins
from synthforge.learning.augment import sampling_grid
from synthforge.learning.fields import Moved
from synthforge.prediction.network import Function
from synthforge.prediction.predictor import Predictor
from synthforge.testing import check_plugin

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PIPELINE = """
seed: 3
benchmarks:
  pose: {name: posed-faces, root: faces}
  flat: {name: posed-faces, root: faces, task: normals}
  made: {name: synthetic, task: normals}
defaults: {tune: &tune {run: finetune, epochs: 2, batch_size: 4, hardware: {workers: 0}}}
stages:
  dataset: {run: generate, generator: anny, annotators: [landmarks, normals, head-rotation], samples: 20,
            resolution: 64, shard_size: 20, workers: 1}
  model:
    run: train
    dataset: dataset
    tasks: [headpose, {name: normals, head: light, width: 0.25}]
    network: {backbone: residual, width: 0.125, channels: 8, input_size: 32}
    mirrored: [headpose, normals]
    batch_size: 8
    epochs: 2
    precision: 32-true
    hardware: {workers: 0}
  tuned: {<<: *tune, model: model, benchmark: "${benchmarks.pose}"}
  tuned_normals: {<<: *tune, model: tuned, benchmark: "${benchmarks.flat}"}
  own: {run: evaluate, model: model, benchmark: "${benchmarks.pose}", splits: [test], sheet: 2}
  scores: {run: evaluate, model: tuned_normals, benchmark: "${benchmarks.pose}", splits: [test]}
  flat_scores: {run: evaluate, model: tuned_normals, benchmark: "${benchmarks.flat}", splits: [test]}
  exact: {run: evaluate, model: model, benchmark: "${benchmarks.made}", benchmark_root: dataset, splits: [all]}
  report: {run: report, evaluations: [own, scores, flat_scores, exact]}
  shipped: {run: export, model: model, evaluations: [own, exact]}
"""

FACES = """
import sys
from pathlib import Path
import numpy as np
from synthforge.core.plugins import load_plugins
plugins = load_plugins()
anny = plugins.build("generator", "anny")
labels = [plugins.build("annotator", name) for name in ("landmarks", "normals", "head-rotation")]
for split, first in (("train", 100), ("val", 200), ("test", 300)):
    folder = Path(sys.argv[1]) / split
    folder.mkdir(parents=True)
    for r in anny.render([anny.sample(9, first + i) for i in range(6)], 64):
        known = {key: value for label in labels for key, value in label.annotate(r).items()}
        points = known["landmarks2d"]
        np.savez(folder / f"{r.scene.index}.npz", image=r.image, box=[*points.min(0), *points.max(0)],
                 headpose=np.array(known["head_rotation"]), normals=known["normals"])
"""


@pytest.fixture(scope="module")
def posekit() -> Plugins:
    """The package, imported from its folder."""
    sys.path.insert(0, str(HERE / "posekit"))
    loaded = Plugins(strict=True)
    loaded.add_file("posekit", base=HERE)
    return loaded


def test_it_keeps_the_contract(posekit: Plugins) -> None:
    check_plugin(posekit, "task", "headpose")


def test_a_rotation_turns_and_flips_with_the_picture(posekit: Plugins) -> None:
    """The nose and the left ear lie where they lie in the turned, or mirrored, picture."""
    import torch
    from posekit import turn

    task = posekit.build("task", "headpose")
    rotation = turn((0.2, 0.5, -0.3)) @ np.diag([1.0, -1.0, -1.0])
    given = torch.from_numpy(np.stack([rotation, rotation])).float()
    c, s = np.cos(0.4), np.sin(0.4)
    rolled = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).float()
    matrix = torch.stack([rolled, torch.diag(torch.tensor([-1.0, 1.0, 1.0]))])
    nothing = torch.zeros(2, 4, 4, dtype=torch.bool)
    moved = Moved(matrix, sampling_grid(matrix, 4), torch.tensor([False, True]), nothing)
    turned, flipped = task.target_plan(None, "").move(given, moved)["rotation"].numpy()
    assert np.allclose(turned, rolled.numpy() @ rotation, atol=1e-6)
    nose, left_ear, right_ear = np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])
    across = np.array([-1.0, 1.0, 1.0])
    assert np.allclose(flipped @ nose, across * (rotation @ nose), atol=1e-6)
    assert np.allclose(flipped @ left_ear, across * (rotation @ right_ear), atol=1e-6)
    assert np.linalg.det(flipped) == pytest.approx(1)
    assert np.allclose(task.flip({"rotation": given[:1]}, "")["rotation"][0], flipped, atol=1e-6)


def test_the_mean_with_the_mirrored_crop_is_a_rotation(posekit: Plugins) -> None:
    """Where a network answers differently for the mirrored crop, the mean of the numbers is none."""
    import torch
    from posekit import turn

    task = posekit.build("task", "headpose")
    answers = iter([turn((0.2, 0.9, -0.3)), turn((-0.4, 0.5, 0.6))])
    network = Function(lambda crops: {"rotation": torch.from_numpy(next(answers))[None].float()}, task, input_size=32)
    picture = np.zeros((40, 40, 3), np.uint8)
    found = Predictor(network, passes=1, flip=True)(picture, [(5, 5, 35, 35)])[0].values["headpose"]
    assert np.allclose(found @ found.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(found) == pytest.approx(1, abs=1e-5)


def _run(site: Path, *arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_both_tasks_go_through_every_stage(tmp_path: Path) -> None:
    shutil.copytree(HERE / "posekit" / "posekit", tmp_path / "site" / "posekit")
    info = tmp_path / "site" / "posekit-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: posekit\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[synthforge]\nposekit = posekit\n")
    site = tmp_path / "site"
    (tmp_path / "faces.py").write_text(FACES)
    _run(site, "faces.py", "faces", cwd=tmp_path)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    ran = json.loads(_run(site, "-m", "synthforge", "run", "p.yaml", "--out", "out", "--json", "-", cwd=tmp_path))
    assert {row["status"] for row in ran["stages"]} == {"done"}
    report = json.loads((tmp_path / "out/report/report.json").read_text())
    by_label = {row["label"]: row for row in report["evaluations"]}
    for label, task, metric in (
        *(("own", "headpose", "angle"), ("scores", "headpose", "angle")),
        *(("flat_scores", "normals", "error"), ("exact", "normals", "angle")),
    ):
        row = by_label[label]
        assert row["task"] == task
        assert 0 < row["values"][metric] < 180
    page = (tmp_path / "out/report/report.html").read_text()
    assert "Share of faces below an error (angle, degrees)" in page
    assert page.count("data:image/jpeg") > 20
    assert (tmp_path / "out/own/test/worst.jpg").stat().st_size > 1000
    card = (tmp_path / "out/shipped/README.md").read_text()
    assert "`headpose`: rotation of the head" in card
    assert "`normals`: unit surface normals" in card
    _predict(site, tmp_path)


def _predict(site: Path, folder: Path) -> None:
    """`predict` with the exported model, and another tool's files through `evaluate --predictions`."""
    files = sorted((folder / "faces/test").glob("*.npz"))
    with np.load(files[0]) as face:
        Image.fromarray(face["image"]).save(folder / "photo.png")
        box = ",".join(map(str, face["box"]))
    (folder / "boxes.csv").write_text(f"photo.png,{box}\n")
    _run(
        site,
        "-m",
        "synthforge",
        "predict",
        "out/shipped",
        "photo.png",
        "--boxes",
        "boxes.csv",
        "--out",
        "found",
        cwd=folder,
    )
    record: dict[str, Any] = json.loads((folder / "found/photo.json").read_text())
    (found,) = record["faces"]
    rotation = np.array(found["headpose"]["value"])
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=0.2)  # the mean with the mirrored crop's
    assert found["normals"]["array"] == "normals_0"
    left, top, right, bottom = found["region"]
    with np.load(folder / "found/photo.normals.npz") as arrays:
        assert arrays["normals_0"].shape == (bottom - top, right - left, 3)
        assert np.allclose(np.linalg.norm(arrays["normals_0"], axis=-1), 1, atol=1e-3)
    assert Image.open(folder / "found/photo.overlay.jpg").width > 600
    for path in files:
        (folder / "theirs" / "test").mkdir(parents=True, exist_ok=True)
        with np.load(path) as face:
            np.save(folder / "theirs/test" / f"{path.stem}.npy", face["headpose"])
    command = [
        "evaluate",
        "--predictions",
        "theirs",
        "--benchmark",
        "posed-faces",
        "--root",
        "faces",
        "--split",
        "test",
    ]
    told = json.loads(_run(site, "-m", "synthforge", *command, "--json", "-", cwd=folder))
    assert told["evaluations"][0]["values"]["angle"] == pytest.approx(0, abs=1e-4)
