"""LaPa-D: 8-bit relative depth, its lists and its polarity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthforge_plugins.benchmarks.lapa_d import LapaD, LapaDConfig

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.testing import check_benchmark


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "depth").mkdir()
    (tmp_path / "lapa/train/images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a_0", "b_0"):
        value = rng.integers(1, 256, (20, 24)).astype(np.uint8)
        value[:5] = 0
        Image.fromarray(value).save(tmp_path / f"depth/{name}.png")
        Image.fromarray(np.full((40, 48, 3), 9, np.uint8)).save(tmp_path / f"lapa/train/images/{name}.jpg")
    (tmp_path / "test_list.txt").write_text("b_0.png\na_0\n\n")
    return tmp_path


def bench(tree: Path, **options: str) -> LapaD:
    return LapaD(LapaDConfig(root=str(tree), lapa_root=str(tree / "lapa"), **options))


def test_depth_is_read_with_its_polarity(tree: Path) -> None:
    items = bench(tree).items("test")
    assert [item.key for item in items] == ["test/b_0", "test/a_0"]
    value = np.array(Image.open(tree / "depth/b_0.png")).astype(float)
    bright, dark = bench(tree).load(items[0]), bench(tree, near="dark").load(items[0])
    assert bright.mask is not None
    np.testing.assert_array_equal(bright.mask, value > 0)
    np.testing.assert_allclose(bright.target[5:], 1 + (255 - value[5:]) / 255, rtol=1e-6)
    np.testing.assert_allclose(dark.target[5:], 1 + value[5:] / 255, rtol=1e-6)
    assert bright.image.shape == (20, 24, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lists_may_begin_with_a_byte_order_mark_and_are_utf8(tree: Path, encoding: str) -> None:
    (tree / "test_list.txt").write_text("b_0.png\na_0\n", encoding=encoding)
    assert [item.key for item in bench(tree).items("test")] == ["test/b_0", "test/a_0"]
    (tree / "test_list.txt").write_bytes(b"b_0\xff.png\n")
    with pytest.raises(DataError, match=r"test_list\.txt is not a text file in UTF-8"):
        bench(tree).items("test")


def test_scores_are_free_of_scale_and_shift_but_not_of_sign(tree: Path) -> None:
    it = bench(tree)
    samples = [it.load(item) for item in it.items("test")]
    check_benchmark(it, "test")
    right = it.score((sample, 40 * sample.target + 3) for sample in samples)
    wrong = it.score((sample, -sample.target) for sample in samples)
    assert right.values["absrel"] == pytest.approx(0, abs=1e-5)
    assert right.values["delta@1.25"] == 100
    assert wrong.values["rmse"] > 0.2
    assert right.units["rmse"] == "of the depth range"


def test_what_is_wrong_is_named(tree: Path) -> None:
    with pytest.raises(DataError, match=r"val_list\.txt is not there"):
        bench(tree).items("val")
    with pytest.raises(DataError, match="is not in"):
        LapaD(LapaDConfig(root=str(tree))).items("test")
    (tree / "val_list.txt").write_text("c_0\n")
    with pytest.raises(DataError, match="names c_0, which has no depth map"):
        bench(tree).items("val")
    (tree / "val_list.txt").write_text("a_0\na_0.png\n")
    with pytest.raises(DataError, match="names a photograph twice"):
        bench(tree).items("val")
    item = bench(tree).items("test")[0]
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(item.annotation)
    with pytest.raises(DataError, match="no pixel with depth"):
        bench(tree).load(item)
    Image.fromarray(np.full((20, 24), 900, np.uint16)).save(item.annotation)
    with pytest.raises(DataError, match="no 8-bit depth map"):
        bench(tree).load(item)
    Image.fromarray(np.full((20, 40), 9, np.uint8)).save(item.annotation)
    with pytest.raises(DataError, match="its photograph 48 x 40"):
        bench(tree).load(item)
    with pytest.raises(ConfigError, match="near: 'left' is not one of bright, dark"):
        build_config(LapaDConfig, {"root": str(tree), "near": "left"})
