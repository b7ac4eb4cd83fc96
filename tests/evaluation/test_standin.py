"""The stand-in is a 300W tree that never passes for photographs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.benchmarks.w300 import W300, W300Config

from synthforge.core.errors import DataError, UserError
from synthforge.evaluation.files import write_pts
from synthforge.evaluation.standin import MARKER, read_stand_in, write_300w_standin
from synthforge.stages.standin import StandinConfig

COUNTS = {"afw": 3, "helen/trainset": 4, "helen/testset": 2, "lfpw/testset": 1, "ibug": 2}


def samples(count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        rng = np.random.default_rng(index)
        yield {
            "image": rng.integers(0, 256, (48, 48, 3), dtype=np.uint8),
            "landmarks2d": rng.uniform(4, 44, (68, 2)).astype(np.float32),
        }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert write_300w_standin(samples(20), tmp_path, COUNTS) == COUNTS
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
        write_300w_standin(samples(5), tmp_path, COUNTS)
    assert read_stand_in(tmp_path)  # half a stand-in is marked as well


def test_real_annotations_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "afw").mkdir()
    write_pts(tmp_path / "afw/1.pts", np.zeros((68, 2)))
    with pytest.raises(UserError, match="no stand-in"):
        write_300w_standin(samples(20), tmp_path, COUNTS)
    assert not (tmp_path / MARKER).exists()


def test_a_broken_marker_is_an_error(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    with pytest.raises(DataError, match="not a stand-in marker"):
        read_stand_in(tmp_path)


def test_wrong_points_are_refused(tmp_path: Path) -> None:
    wrong = [{"image": np.zeros((8, 8, 3), np.uint8), "landmarks2d": np.zeros((70, 2))}]
    with pytest.raises(UserError, match="68 points"):
        write_300w_standin(wrong, tmp_path, {"afw": 1})


@pytest.mark.parametrize("folder", ["../../x", "/tmp/x", "helen/../../x", "", ".", "a\\b"])
def test_faces_are_laid_out_inside_the_stand_in_only(folder: str) -> None:
    with pytest.raises(ValueError, match="is no folder inside the stand-in"):
        StandinConfig(counts={folder: 1})
