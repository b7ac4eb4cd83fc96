"""The stand-in is a 300W tree that never passes for photographs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.benchmarks.w300 import W300, W300Config

from synthforge.core.errors import DataError, UserError
from synthforge.evaluation.files import write_pts
from synthforge.evaluation.standin import MARKER, read_stand_in
from synthforge.stages.standin import StandinConfig

COUNTS = {"afw": 3, "helen/trainset": 4, "helen/testset": 2, "lfpw/testset": 1, "ibug": 2}


def write(data: Iterable[Mapping[str, Any]], root: Path, counts: dict[str, int] = COUNTS) -> dict[str, int]:
    return W300(W300Config(root=str(root))).write_stand_in(data, counts)


def samples(count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        rng = np.random.default_rng(index)
        yield {
            "image": rng.integers(0, 256, (48, 48, 3), dtype=np.uint8),
            "landmarks2d": rng.uniform(4, 44, (68, 2)).astype(np.float32),
        }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert write(samples(20), tmp_path) == COUNTS
    bench = W300(W300Config(root=str(tmp_path)))
    assert "synthetic" in bench.stand_in
    assert len(bench.items("train")) + len(bench.items("val")) == 7
    given = list(samples(12))
    for item, expected in zip(bench.items("common"), given[7:], strict=False):
        sample = bench.load(item)
        np.testing.assert_array_equal(sample.image, expected["image"])
        np.testing.assert_allclose(sample.target, expected["landmarks2d"], atol=1e-5)


def test_too_few_samples_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 5 samples; 12 are needed"):
        write(samples(5), tmp_path)
    assert read_stand_in(tmp_path)  # half a stand-in is marked as well


def test_real_annotations_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    write_pts(tmp_path / "afw/1.pts", np.zeros((68, 2)))
    with pytest.raises(UserError, match="no stand-in"):
        write(samples(20), tmp_path)
    assert not (tmp_path / MARKER).exists()


def test_a_broken_marker_is_an_error(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    with pytest.raises(DataError, match="not a stand-in marker"):
        read_stand_in(tmp_path)


def test_wrong_points_are_refused(tmp_path: Path) -> None:
    wrong = [{"image": np.zeros((8, 8, 3), np.uint8), "landmarks2d": np.zeros((70, 2))}]
    with pytest.raises(UserError, match="68 points"):
        write(wrong, tmp_path, {"afw": 1})


@pytest.mark.parametrize("folder", ["../../x", "/tmp/x", "helen/../../x", "", ".", "a\\b"])
def test_faces_are_laid_out_inside_the_stand_in_only(folder: str) -> None:
    with pytest.raises(ValueError, match="is no folder inside the stand-in"):
        StandinConfig(counts={folder: 1})


def test_a_folder_that_300w_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder '\.\./\.\./x'"):
        write(samples(2), tmp_path / "in", {"../../x": 1})
    assert not list(tmp_path.iterdir())


def test_a_benchmark_without_a_stand_in_says_so(tmp_path: Path) -> None:
    from synthforge.core.plugins import load_plugins

    with pytest.raises(UserError, match="has no stand-in"):
        load_plugins().build("benchmark", {"name": "lapa", "root": str(tmp_path)}).write_stand_in([], {})
