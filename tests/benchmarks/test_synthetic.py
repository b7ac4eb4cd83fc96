"""A generated dataset as a benchmark: its truth, its pose and the parameters of its scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.benchmarks.synthetic import Synthetic, SyntheticConfig
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.camera import Camera
from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field, RealItem, RealSample
from synthforge.datasets.writer import finish, sample_key, write_shard
from synthforge.evaluation.analysis import Analysis
from synthforge.evaluation.protocol import ScoringOptions, assess
from synthforge.testing import check_benchmark

CAMERA = Camera(
    64,
    64,
    np.array([[200.0, 0, 32], [0, 200, 32], [0, 0, 1]]),
    np.diag([1.0, -1, -1, 1]) + np.outer([0, 0, 1, 0], [0, 0, 0, 1]),
)


FIELDS = (
    Field("landmarks2d", "points2d", "px", "image", "ibug68"),
    Field("landmarks3d", "points3d", "m", "world", "ibug68"),
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", "m", "camera"),
)


def sample(index: int) -> dict[str, Any]:
    """A head of random points that is turned by 10 degrees an index."""
    rng = np.random.default_rng(index)
    y = np.radians(10.0 * index - 20)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    points = rng.uniform(-0.08, 0.08, (68, 3))
    points[36], points[45] = (-0.045, 0.03, 0), (0.045, 0.03, 0)
    points[48], points[54] = (-0.02, -0.03, 0), (0.02, -0.03, 0)
    points = (points @ turn.T).astype(np.float32)
    depth = np.zeros((64, 64), np.float32)
    depth[10:50, 12:48] = rng.uniform(0.9, 1.1, (40, 36))
    return {
        "__key__": sample_key(index),
        "image": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "landmarks2d": CAMERA.project(points)[0].astype(np.float32),
        "landmarks3d": points,
        "segmentation": rng.integers(0, len(SYNTHFORGE), (64, 64), dtype=np.uint8),
        "depth": depth,
        "scene": {"seed": 3, "index": index, "parameters": {"skin": {"melanin": 0.1 * index}, "glasses": index > 2}},
        "camera": CAMERA.to_json(),
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for shard in range(2):
        write_shard(folder, shard, [sample(2 * shard + i) for i in range(2)], FIELDS, config_hash="abc")
    finish(folder, shards=2, config_hash="abc", config={}, licences={"made up": "CC0"})
    return folder


def benchmark(root: Path, **values: Any) -> Synthetic:
    return Synthetic(SyntheticConfig(root=str(root), **values))


@pytest.mark.parametrize("task", ["keypoints", "segmentation", "depth"])
def test_the_contract_holds_for_every_task(root: Path, task: str) -> None:
    bench = benchmark(root, task=task)
    check_benchmark(bench, "all")
    known = sample(1)
    loaded = bench.load(bench.items("all")[1])
    field = {"keypoints": "landmarks2d", "segmentation": "segmentation", "depth": "depth"}[task]
    np.testing.assert_allclose(loaded.target, known[field], atol=1e-4)
    low, high = known["landmarks2d"].min(axis=0), known["landmarks2d"].max(axis=0)
    assert loaded.box == pytest.approx((*low, *high))
    assert [item.image.name for item in bench.items("all")] == ["shard-00000.tar"] * 2 + ["shard-00001.tar"] * 2
    primary = bench.score([(loaded, loaded.target)]).primary
    assert primary == {"keypoints": "nme", "segmentation": "mean_f1/28", "depth": "absrel"}[task]


def test_figures_are_grouped_by_parameters_and_by_the_exact_pose(root: Path) -> None:
    def run(items: Sequence[RealItem]) -> Iterable[tuple[RealSample, np.ndarray, Any]]:
        for item in items:
            loaded = bench.load(item)
            yield loaded, loaded.target + (1.0 + int(item.key)), (0.0, 0.0, 64.0, 64.0)

    bench = benchmark(root)
    for index, item in enumerate(bench.items("all")):
        assert bench.attributes(bench.load(item))["yaw"] == pytest.approx(10.0 * index - 20, abs=1e-3)
    asked = {"yaw": [-15.0, 5.0], "skin.melanin": [0.15], "glasses": []}
    options = ScoringOptions(look=Analysis(groups=asked), cases=0, progress=False)
    found = assess(run, load_plugins().build("task", bench.task), bench, "all", {}, options)
    per_item = list(found.scores.per_item.values())
    assert per_item == sorted(per_item)  # the error grows with the index, so groups can be told apart
    rows = {
        name: [(row["group"], row["faces"], row["mean"]) for row in g] for name, g in found.details["groups"].items()
    }
    assert rows["yaw"] == [
        ("< -15", 1, pytest.approx(per_item[0])),
        ("-15 .. 5", 2, pytest.approx(np.mean(per_item[1:3]))),
        (">= 5", 1, pytest.approx(per_item[3])),
    ]
    assert [row[:2] for row in rows["skin.melanin"]] == [("< 0.15", 2), (">= 0.15", 2)]
    assert [row[:2] for row in rows["glasses"]] == [("False", 3), ("True", 1)]
    assert any("not photographs" in note for note in found.notes)
    unasked = assess(
        run, load_plugins().build("task", bench.task), bench, "all", {}, ScoringOptions(cases=0, progress=False)
    )
    faces = {name: sum(row["faces"] for row in rows) for name, rows in unasked.details["groups"].items()}
    assert faces == {"yaw": 4, "skin.melanin": 4}


def test_mistakes_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'pose' is not one of keypoints, segmentation, depth"):
        build_config(SyntheticConfig, {"root": str(root), "task": "pose"})
    with pytest.raises(DataError, match="has no flesh field") as caught:
        benchmark(root, field="flesh").items("all")
    assert "landmarks2d" in str(caught.value.hint)
    with pytest.raises(DataError, match="no split 'val'"):
        benchmark(root).items("val")
    for call in (benchmark(tmp_path).items, benchmark(tmp_path).fingerprint):
        with pytest.raises(DataError, match=r"manifest\.json"):
            call("all")
    assert benchmark(root).fingerprint("all") == benchmark(root, task="depth").fingerprint("all")
