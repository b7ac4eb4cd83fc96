"""LaPa's 106 landmarks: the tree, and the shipped model of 68 points, translated, on rendered faces in that layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthforge_plugins.benchmarks.lapa import LapaLandmarks, LapaLandmarksConfig

import synthforge as sf
from synthforge.core.errors import DataError
from synthforge.testing import check_benchmark

FACES = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lapa")
    for kind in ("images", "landmarks"):
        (root / "test" / kind).mkdir(parents=True)
    for index in range(FACES):
        made = sf.sample(
            {"name": "anny", "preset": "frontal"},
            annotators=[{"name": "landmarks", "schema": "lapa106"}],
            seed=4,
            index=index,
            resolution=160,
        )
        Image.fromarray(made.image).save(root / f"test/images/{index}.jpg", quality=95)
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in made.annotations["landmarks2d"])
        (root / f"test/landmarks/{index}.txt").write_text(f"106\n{lines}\n")
    return root


def test_it_reads_its_tree(tree: Path) -> None:
    bench = LapaLandmarks(LapaLandmarksConfig(str(tree)))
    items = bench.items("test")
    sample = bench.load(items[0])
    assert len(items) == FACES
    assert sample.target.shape == (106, 2)
    low, high = sample.target.min(0), sample.target.max(0)
    assert np.allclose(sample.box, [*low, *high])
    assert bench.notes("test") == ["test holds 3 of the official 2,000 faces"]
    assert bench.score([(sample, sample.target)]).values["nme"] == 0
    check_benchmark(bench, "test")


def test_wrong_landmarks_are_named(tree: Path, tmp_path: Path) -> None:
    for kind in ("images", "landmarks"):
        (tmp_path / "test" / kind).mkdir(parents=True)
    bench = LapaLandmarks(LapaLandmarksConfig(str(tmp_path)))
    (tmp_path / "test/images/0.jpg").write_bytes((tree / "test/images/0.jpg").read_bytes())
    (tmp_path / "test/landmarks/1.txt").write_text("106\n")
    with pytest.raises(DataError, match=r"images/0\.jpg has no .*landmarks/0\.txt"):
        bench.items("test")
    (tmp_path / "test/landmarks/0.txt").write_text("2\n1 2\n3 4\n")
    with pytest.raises(DataError, match="holds 2 points instead of 106"):
        bench.load(bench.items("test")[0])


def test_a_model_of_68_points_answers_translated(tree: Path) -> None:
    values = sf.evaluate("face", "lapa-landmarks", "test", root=tree).scores.values
    assert 0.5 < values["nme"] < 4
    assert values["nme/eyes"] < 3
