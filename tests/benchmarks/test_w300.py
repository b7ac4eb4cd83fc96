"""300W: both dialects, the 1-based pixel, the official tree, and errors that say where."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthforge_plugins.benchmarks.w300 import GROUPS, TRAIN, W300, W300Config

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.evaluation.files import read_pts, write_pts
from synthforge.testing import check_benchmark

POINTS = np.random.default_rng(0).uniform(4, 60, (68, 2))


def face(root: Path, name: str, points: np.ndarray = POINTS, suffix: str = ".png") -> Path:
    path = root / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)
    write_pts(root / f"{name}.pts", points)
    return path


def benchmark(root: Path) -> W300:
    return W300(W300Config(root=str(root)))


def test_the_first_pixel_is_one_in_the_file_and_one_half_here(tmp_path: Path) -> None:
    path = tmp_path / "a.pts"
    path.write_text("version: 1\nn_points: 2\n{\n1 1\n3.25 2\n}\n")
    np.testing.assert_array_equal(read_pts(path, 2), [[0.5, 0.5], [2.75, 1.5]])


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nn_points:  68\n{\n%s\n}\n",
        "version: 1\r\nn_points: 68\r\n{\r\n%s\r\n}",
        "%s",
        "\n%s\n\n",
        "version:1\nn_points:68\n{\n%s\n}",
    ],
)
def test_both_dialects(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.pts"
    path.write_text(text % "\n".join(f"{x + 0.5!r} {y + 0.5!r}" for x, y in POINTS.tolist()))
    np.testing.assert_allclose(read_pts(path), POINTS, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nn_points: 68\n{\n1 2\n}\n", "holds 1 points instead of 68"),
        ("version: 1\nn_points: 67\n{\n1 2\n}\n", "line 2: n_points is '67'"),
        ("version: 1\nn_points: 68\n{\n1 2\n3 four\n}\n", "line 5: '3 four' is not a pair"),
        ("1 2\n1 2 3\n", "line 2: '1 2 3' is not a pair"),
        ("nan 2\n", "line 1: 'nan 2' is not a pair of finite"),
        ("1_0 2\n", "line 1: '1_0 2' is not a pair of finite"),
        ("\u0661 2\n", "is not a pair of finite"),
        ("", "holds 0 points"),
    ],
)
def test_a_wrong_pts_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.pts"
    path.write_text(text)
    with pytest.raises(DataError, match=r"broken\.pts") as caught:
        read_pts(path)
    assert message in str(caught.value)


def test_a_binary_pts_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_bytes(b"\xff\xfe\x00\x81" * 9)
    with pytest.raises(DataError, match="not a text file"):
        read_pts(tmp_path / "a.pts")


def test_test_splits_follow_the_official_tree(tmp_path: Path) -> None:
    for name in ("helen/testset/1_1", "helen/testset/2_1", "lfpw/testset/image_0001", "ibug/image_092 _01"):
        face(tmp_path, name)
    face(tmp_path, "300W/01_Indoor/indoor_001", suffix=".jpg")
    face(tmp_path, "Outdoor/outdoor_001")
    bench = benchmark(tmp_path)
    keys = {split: [item.key for item in bench.items(split)] for split in GROUPS}
    assert keys["common"] == ["helen/testset/1_1", "helen/testset/2_1", "lfpw/testset/image_0001"]
    assert keys["challenge"] == ["ibug/image_092 _01"]
    assert keys["full"] == keys["common"] + keys["challenge"]
    assert keys["test_private"] == ["indoor/indoor_001", "outdoor/outdoor_001"]
    assert any("2 of the official 330" in note for note in bench.notes("common"))


def test_train_and_val_share_nothing_and_no_photograph(tmp_path: Path) -> None:
    for photo in range(15):
        for number in range(1, 3):
            face(tmp_path, f"afw/{photo}_{number}")
    for number in range(20):
        face(tmp_path, f"lfpw/trainset/image_{number:04d}")
    bench = benchmark(tmp_path)
    train, val = bench.items("train"), bench.items("val")
    assert len(train) + len(val) == 50
    assert {item.subset for item in val} == {"afw", "lfpw/trainset"} == {item.subset for item in train}
    photos = [{item.key.rsplit("_", 1)[0] for item in part if item.subset == "afw"} for part in (train, val)]
    assert not photos[0] & photos[1]
    assert sum(item.subset == "lfpw/trainset" for item in val) == 2
    assert [item.key for item in benchmark(tmp_path).items("val")] == [item.key for item in val]
    assert "the folder helen/trainset is not there" in bench.notes("train")


@pytest.mark.parametrize(("split", "folder"), [("train", "afw"), ("common", "helen/testset"), ("challenge", "ibug")])
def test_an_absent_folder_is_named(tmp_path: Path, split: str, folder: str) -> None:
    with pytest.raises(DataError, match=f"{folder} is not there"):
        benchmark(tmp_path).items(split)


def test_broken_trees_are_named(tmp_path: Path) -> None:
    face(tmp_path, "ibug/a").unlink()
    with pytest.raises(DataError, match=r"a\.pts has no image"):
        benchmark(tmp_path).items("challenge")
    (tmp_path / "ibug/a.pts").unlink()
    with pytest.raises(DataError, match=r"holds no \.pts"):
        benchmark(tmp_path).items("challenge")
    with pytest.raises(DataError, match="no split 'tset'"):
        benchmark(tmp_path).items("tset")
    with pytest.raises(ConfigError, match="val_share"):
        build_config(W300Config, {"root": str(tmp_path), "val_share": 1.5})


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_photograph_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ibug/a{suffix}"
    face(tmp_path, "ibug/a", suffix=suffix)
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    bench = benchmark(tmp_path)
    with pytest.raises(DataError, match=r"ibug/a\.(jpg|png) is not a whole"):
        bench.load(bench.items("challenge")[0])


def test_load_and_score(tmp_path: Path) -> None:
    for name in ("helen/testset/1_1", "lfpw/testset/image_0001", "ibug/image_003_1"):
        face(tmp_path, name)
    bench = benchmark(tmp_path)
    samples = [bench.load(item) for item in bench.items("full")]
    check_benchmark(bench, "full")
    np.testing.assert_allclose(samples[0].target, POINTS, atol=1e-6)
    assert samples[0].box == pytest.approx((*POINTS.min(0), *POINTS.max(0)))
    eyes = np.linalg.norm(POINTS[36] - POINTS[45])
    off = {"helen/testset": 0.0, "lfpw/testset": 0.02, "ibug": 0.09}
    scores = bench.score((s, s.target + np.array([off[s.item.subset] * eyes, 0.0])) for s in samples)
    values = scores.values
    assert values["common/nme"] == pytest.approx(1.0)
    assert values["challenge/nme"] == pytest.approx(9.0)
    assert values["full/nme"] == values["nme"] == pytest.approx(11 / 3)
    assert values["fr@8"] == pytest.approx(100 / 3)
    assert values["fr@10"] == 0
    assert values["challenge/auc@10"] == pytest.approx(10.0)
    assert {f"nme/{region}" for region in ("jaw", "brows", "nose", "eyes", "mouth")} <= values.keys()
    assert "test_private/nme" not in values
    assert "full/nme" not in bench.score((s, s.target) for s in samples[:2]).values


def test_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    face(tmp_path, "ibug/a")
    before = benchmark(tmp_path).fingerprint("challenge")
    assert before == benchmark(tmp_path).fingerprint("challenge")
    face(tmp_path, "ibug/b")
    after = benchmark(tmp_path).fingerprint("challenge")
    write_pts(tmp_path / "ibug/b.pts", POINTS[:67])
    changed = benchmark(tmp_path).fingerprint("challenge")
    assert len({before, after, changed}) == 3
    path = tmp_path / "ibug/b.pts"
    stat = path.stat()
    os.utime(path, (0, 0))
    assert benchmark(tmp_path).fingerprint("challenge") == changed, "touched, and the same"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))  # as long, and made to look as old
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert benchmark(tmp_path).fingerprint("challenge") != changed


def test_published_rows() -> None:
    rows = {row.method: row.values for row in W300.published}
    assert len(rows) == 11
    assert rows["SB + LF w/ features"] == {"common/nme": 2.90, "challenge/nme": 4.74}


@pytest.mark.real_data
def test_real_faces(data_dir: Path) -> None:
    bench = benchmark(data_dir / "300w")
    train, val = bench.items("train"), bench.items("val")
    assert len(train) + len(val) == 2014
    assert {item.subset for item in val} == set(TRAIN)
    for item in val[::20]:
        sample = bench.load(item)
        height, width = sample.image.shape[:2]
        inside = ((sample.target > 0) & (sample.target < (width, height))).all(axis=1)
        assert inside.mean() > 0.9
        # The subject's right eye (36..41) lies at image left.
        assert sample.target[36:42, 0].mean() < sample.target[42:48, 0].mean()
