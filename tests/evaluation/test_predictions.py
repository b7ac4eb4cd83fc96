"""Predictions of other tools: every format gives the same figures as the arrays it was written from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_trees import write_trees
from toy_benchmarks import TASKS, Toy

from synthforge.cli import main
from synthforge.core.errors import DataError, UserError
from synthforge.core.plugins import load_plugins
from synthforge.evaluation import predictions
from synthforge.evaluation.files import write_pts
from synthforge.evaluation.protocol import Evaluation, ScoringOptions


def evaluate_files(folder: Path, bench: Toy, **options: Any) -> Evaluation:
    asked = ScoringOptions(progress=False)
    return predictions.evaluate_files(folder, TASKS[bench.task], bench, "test", asked, **options)


def write_points(path: Path, points: np.ndarray, suffix: str, centre: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shifted = points + (centre - 0.5)
    if suffix == ".pts":
        write_pts(path.with_suffix(suffix), points)
    elif suffix == ".txt":
        path.with_suffix(suffix).write_text("\n".join(f"{x!r},{y!r}" for x, y in shifted.tolist()))
    elif suffix == ".json":
        path.with_suffix(suffix).write_text(json.dumps({"points": shifted.tolist()}))
    else:
        np.save(path.with_suffix(suffix), shifted)


@pytest.mark.parametrize("suffix", [".pts", ".txt", ".json", ".npy"])
@pytest.mark.parametrize("centre", [0.5, 0.0])
@pytest.mark.parametrize("flat", [False, True])
def test_points_in_every_format(tmp_path: Path, suffix: str, centre: float, flat: bool) -> None:
    bench = Toy("keypoints", 4)
    for item in bench.items("test"):
        points = bench.load(item).target + np.array([3.0, 4.0])
        points[45] += (100, 0)
        write_points(tmp_path / (item.key[5:] if flat else item.key), points, suffix, centre)
    evaluation = evaluate_files(tmp_path, bench, pixel_centre=centre)
    assert evaluation.scores.values["nme"] == pytest.approx(5.0, abs=1e-4)
    assert evaluation.protocol["source"] == f"files in {tmp_path.name}"
    assert len(evaluation.cases) == 3


def test_label_maps(tmp_path: Path) -> None:
    bench = Toy("segmentation", 3)
    for item in bench.items("test"):
        Image.fromarray(bench.load(item).target).save(_at(tmp_path, item.key, ".png"))
    assert evaluate_files(tmp_path, bench).scores.values["accuracy"] == 100
    Image.fromarray(np.full((150, 190), 11, np.uint8)).save(_at(tmp_path, "test/01", ".png"))
    with pytest.raises(DataError, match=r"01\.png holds the class id 11"):
        evaluate_files(tmp_path, bench)
    Image.fromarray(np.zeros((150, 190, 3), np.uint8)).save(_at(tmp_path, "test/01", ".png"))
    with pytest.raises(DataError, match="one 8-bit channel"):
        evaluate_files(tmp_path, bench)


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_depth(tmp_path: Path, suffix: str) -> None:
    bench = Toy("depth", 3)
    for item in bench.items("test"):
        depth = bench.load(item).target * 3000 + 500
        if suffix == ".npy":
            np.save(_at(tmp_path, item.key, suffix), depth)
        else:
            Image.fromarray(depth.astype(np.uint16)).save(_at(tmp_path, item.key, suffix))
    assert evaluate_files(tmp_path, bench).scores.values["absrel"] < 1e-3


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    bench = Toy("keypoints", 2)
    with pytest.raises(UserError, match="does not exist"):
        evaluate_files(tmp_path / "no", bench)
    with pytest.raises(DataError, match="no prediction for 'test/00'") as caught:
        evaluate_files(tmp_path, bench)
    assert ".pts, .txt, .json, .npy" in str(caught.value)
    np.save(_at(tmp_path, "test/00", ".npy"), np.zeros((67, 2)))
    with pytest.raises(DataError, match=r"00\.npy has the shape \(67, 2\)"):
        evaluate_files(tmp_path, bench)
    np.save(_at(tmp_path, "test/00", ".npy"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a NumPy array of numbers"):
        evaluate_files(tmp_path, bench)
    _at(tmp_path, "test/00", ".npy").unlink()
    for text in ('{"pts": []}', '[["1_0", 2]]', "[[null, 1]]", "[[1], 2]"):
        _at(tmp_path, "test/00", ".json").write_text(text)
        with pytest.raises(DataError, match="not a list of points"):
            evaluate_files(tmp_path, bench)


# benchmark -> a split, the suffixes it reads, and the figure that a perfect prediction has
REAL = {
    "300w": ("full", (".pts", ".txt", ".json", ".npy"), "nme", 0.0),
    "lapa": ("test", (".png",), "mean_f1/10", 100.0),
    "celebamask-hq": ("test", (".png",), "mean_f1/14", 100.0),
    "lapa-d": ("test", (".npy", ".png"), "absrel", 0.0),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_trees(tmp_path_factory.mktemp("trees"))


@pytest.mark.parametrize(("name", "suffix"), [(name, suffix) for name, row in REAL.items() for suffix in row[1]])
def test_the_command_scores_files_on_every_benchmark(
    name: str, suffix: str, trees: dict[str, Path], tmp_path: Path
) -> None:
    split, _, figure, perfect = REAL[name]
    bench = load_plugins().build("benchmark", {"name": name, "root": str(trees[name])})
    for item in bench.items(split):
        target = bench.load(item).target
        path = _at(tmp_path / "files", item.key, suffix)
        if bench.task == "keypoints":
            write_points(path.with_suffix(""), target, suffix, 0.5)
        elif suffix == ".npy":
            np.save(path, 7.0 * target)
        else:
            Image.fromarray((target * 10_000).astype(np.uint16) if bench.task == "depth" else target).save(path)
    command = ["evaluate", "--predictions", str(tmp_path / "files"), "--benchmark", name, "--root", str(trees[name])]
    done = CliRunner().invoke(main.cli, [*command, "--split", split, "--json", str(tmp_path / "scores.json")])
    assert done.exit_code == 0, done.output
    (row,) = json.loads((tmp_path / "scores.json").read_text())["evaluations"]
    assert row["values"][figure] == pytest.approx(perfect, abs=1e-3)
    assert row["count"] == len(bench.items(split)) > 0
    # One file less is an error that names the face, not a better score.
    path.unlink()
    done = CliRunner().invoke(main.cli, [*command, "--split", split])
    assert done.exit_code != 0
    assert item.key in str(done.exception)


def _at(directory: Path, key: str, suffix: str) -> Path:
    path = directory / f"{key}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
