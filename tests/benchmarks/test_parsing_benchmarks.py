"""LaPa and CelebAMask-HQ: layout, labels, sides, class sets, and errors that say where."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score
from synthforge_plugins.benchmarks import celebamask_hq, lapa
from synthforge_plugins.benchmarks.celebamask_hq import PAPER14, PARTS, CelebAMaskHQ, CelebAMaskHQConfig
from synthforge_plugins.benchmarks.lapa import Lapa, LapaConfig
from synthforge_plugins.schemas import CELEBAMASK19, LAPA11

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.testing import check_benchmark


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make_lapa(root: Path, names: tuple[str, ...] = ("1_0", "2_0")) -> Lapa:
    for number, name in enumerate(names):
        label = np.random.default_rng(number).integers(0, 11, (30, 40)).astype(np.uint8)
        save(root / f"test/images/{name}.jpg", np.full((30, 40, 3), 100, np.uint8))
        save(root / f"test/labels/{name}.png", label)
        points = "\n".join(f"{10 + i % 20} {5 + i % 7}" for i in range(106))
        (root / "test/landmarks").mkdir(parents=True, exist_ok=True)
        (root / f"test/landmarks/{name}.txt").write_text(f"106\n{points}\n")
    return Lapa(LapaConfig(root=str(root)))


def make_celeba(root: Path, parts: dict[str, np.ndarray], size: int = 64) -> CelebAMaskHQ:
    rows = [(0, 100), (1, 162_770), (2, 162_771), (3, 182_637), (2004, 182_638)]
    for index, _ in rows:
        save(root / f"CelebA-HQ-img/{index}.jpg", np.full((size, size, 3), index % 256, np.uint8))
        for name, mask in parts.items():
            mask_path = f"CelebAMask-HQ-mask-anno/{index // 2000}/{index:05d}_{name}.png"
            save(root / mask_path, (mask * 255).astype(np.uint8))
    lines = [f"{index}   {celeba}   {celeba + 1:06d}.jpg" for index, celeba in rows]
    (root / celebamask_hq.MAPPING).write_text("idx orig_idx orig_file\n" + "\n".join(lines) + "\n")
    return CelebAMaskHQ(CelebAMaskHQConfig(root=str(root)))


def test_lapa_reads_its_tree(tmp_path: Path) -> None:
    bench = make_lapa(tmp_path)
    items = bench.items("test")
    assert [item.key for item in items] == ["test/1_0", "test/2_0"]
    sample = bench.load(items[1])
    np.testing.assert_array_equal(sample.target, np.array(Image.open(tmp_path / "test/labels/2_0.png")))
    assert sample.box == (0, 0, 40, 30)
    boxed = Lapa(LapaConfig(root=str(tmp_path), box="landmarks"))
    assert boxed.load(items[0]).box == (10, 5, 29, 11)
    assert len(boxed.files(items[0])) == 3
    assert "test holds 2 of the official 2,000 faces" in bench.notes("test")
    check_benchmark(bench, "test")


def test_lapa_scores_against_scikit_learn(tmp_path: Path) -> None:
    bench = make_lapa(tmp_path)
    rng = np.random.default_rng(9)
    pairs = []
    for item in bench.items("test"):
        sample = bench.load(item)
        guess = rng.integers(0, 11, sample.target.shape)
        pairs.append((sample, np.where(rng.random(sample.target.shape) < 0.7, sample.target, guess).astype(np.uint8)))
    scores = bench.score(pairs)
    y = np.concatenate([sample.target.ravel() for sample, _ in pairs])
    x = np.concatenate([prediction.ravel() for _, prediction in pairs])
    expected = 100 * f1_score(y, x, average=None)
    for index, name in enumerate(LAPA11.classes):
        assert scores.values[f"f1/{name}"] == pytest.approx(expected[index])
    assert scores.values["mean_f1/10"] == pytest.approx(expected[1:].mean())
    assert scores.primary == "mean_f1/10"


def test_lapa_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test/images is not there"):
        Lapa(LapaConfig(root=str(tmp_path))).items("test")
    bench = make_lapa(tmp_path)
    with pytest.raises(DataError, match="no split 'tests'"):
        bench.items("tests")
    item = bench.items("test")[0]
    save(item.annotation, np.full((30, 40), 11, np.uint8))
    with pytest.raises(DataError, match=r"1_0\.png holds the class id 11"):
        bench.load(item)
    save(item.annotation, np.zeros((31, 40), np.uint8))
    with pytest.raises(DataError, match=r"1_0\.png is 40 x 31, its photograph 40 x 30"):
        bench.load(item)
    item.annotation.unlink()
    with pytest.raises(DataError, match=r"1_0\.jpg has no .*labels/1_0\.png"):
        bench.items("test")
    (tmp_path / "test/landmarks/2_0.txt").write_text("106\n1 2\n")
    with pytest.raises(DataError, match="promises 106 points and holds 1"):
        Lapa(LapaConfig(root=str(tmp_path), box="landmarks")).load(
            type(item)("test/2_0", tmp_path / "test/images/2_0.jpg", tmp_path / "test/labels/2_0.png")
        )
    for values in ({"box": "face"}, {"crop_scale": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(values))}: .* is "):
            build_config(LapaConfig, {"root": str(tmp_path), **values})


def test_celebamask_parts_are_the_schemas_classes() -> None:
    renamed = {"ear_r": "earring", "neck_l": "necklace"}
    assert tuple(renamed.get(name, name) for name in PARTS) == CELEBAMASK19.classes[1:]
    assert len(PAPER14) == 14 == len(set(PAPER14))


def test_celebamask_merges_later_parts_over_earlier_ones(tmp_path: Path) -> None:
    skin, nose, hair = (np.zeros((32, 32), bool) for _ in range(3))
    skin[:20], nose[10:25], hair[:, 16:] = True, True, True
    bench = make_celeba(tmp_path, {"hair": hair, "skin": skin, "nose": nose})
    sample = bench.load(bench.items("train")[0])
    expected = np.zeros((32, 32), np.uint8)
    expected[:20] = CELEBAMASK19.id("skin")
    expected[10:25] = CELEBAMASK19.id("nose")
    expected[:, 16:] = CELEBAMASK19.id("hair")
    np.testing.assert_array_equal(sample.target, expected)
    assert sample.image.shape == (32, 32, 3)  # brought to the masks' size
    assert len(bench.files(sample.item)) == 4
    check_benchmark(bench, "train")


def test_celebamask_splits_by_celeba_index(tmp_path: Path) -> None:
    bench = make_celeba(tmp_path, {"skin": np.ones((32, 32), bool)})
    keys = {split: [item.key for item in bench.items(split)] for split in bench.splits}
    assert keys == {"train": ["0", "1"], "val": ["2", "3"], "test": ["2004"]}
    assert bench.items("test")[0].annotation.name == "1"
    bench.load(bench.items("test")[0])


def test_celebamask_means_name_their_classes(tmp_path: Path) -> None:
    bench = make_celeba(tmp_path, {"skin": np.ones((32, 32), bool)})
    sample = bench.load(bench.items("test")[0])
    sample.target[:] = np.random.default_rng(0).integers(0, 19, (32, 32))
    prediction = sample.target.copy()
    prediction[sample.target == CELEBAMASK19.id("hat")] = 0
    scores = bench.score([(sample, prediction)])
    assert scores.values["mean_f1/14"] == pytest.approx(100)
    assert scores.values["mean_f1/18"] == pytest.approx(100 * 17 / 18)
    assert any("hat, earring, necklace, cloth" in note for note in bench.notes("test"))


def test_celebamask_names_what_is_wrong(tmp_path: Path) -> None:
    bench = make_celeba(tmp_path, {"skin": np.ones((32, 32), bool)})
    item = bench.items("train")[0]
    save(item.annotation / "00000_nose.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(DataError, match=r"00000_nose\.png is 16 x 16"):
        bench.load(item)
    for path in item.annotation.glob("00000_*"):
        path.unlink()
    with pytest.raises(DataError, match="no part mask of the photograph 0"):
        bench.load(item)
    (tmp_path / "CelebA-HQ-img/1.jpg").unlink()
    with pytest.raises(DataError, match="lists the photograph 1"):
        bench.items("train")
    (tmp_path / celebamask_hq.MAPPING).write_text("idx orig_idx orig_file\n0 zero 1.jpg\n")
    with pytest.raises(DataError, match=r"mapping\.txt, line 2"):
        bench.items("train")
    (tmp_path / celebamask_hq.MAPPING).unlink()
    with pytest.raises(DataError, match="mapping"):
        bench.items("train")


# Two rows of the paper's LaPa table do not add up to the mean printed beside them.
PRINTED_OTHERWISE = {"Liu et al.": 0.45, "Random sampling + LF": 0.11}


@pytest.mark.parametrize("row", [*lapa.PUBLISHED, *celebamask_hq.PUBLISHED], ids=lambda row: row.method)
def test_published_rows_add_up(row: lapa.PublishedRow) -> None:
    """A digit copied wrongly would show in the mean."""
    mean = next(value for name, value in row.values.items() if name.startswith("mean"))
    classes = [value for name, value in row.values.items() if name.startswith("f1/")]
    assert abs(np.mean(classes) - mean) < PRINTED_OTHERWISE.get(row.method, 0.065)
    assert row.split == "test"


@pytest.mark.real_data
def test_lapas_left_lies_at_image_left(data_dir: Path, tmp_path: Path) -> None:
    for kind, name in (("images", "image.jpg"), ("labels", "grayscale_mask.png")):
        (tmp_path / "test" / kind).mkdir(parents=True)
        shutil.copy(data_dir / "lapa_samples" / name, tmp_path / "test" / kind / f"a{Path(name).suffix}")
    bench = Lapa(LapaConfig(root=str(tmp_path)))
    label = bench.load(bench.items("test")[0]).target
    assert _centre(label, LAPA11.id("left_eye")) < _centre(label, LAPA11.id("nose"))
    assert _centre(label, LAPA11.id("nose")) < _centre(label, LAPA11.id("right_eye"))
    assert _centre(label, LAPA11.id("left_brow")) < _centre(label, LAPA11.id("right_brow"))


@pytest.mark.real_data
def test_celebamasks_left_is_the_subjects(data_dir: Path) -> None:
    bench = CelebAMaskHQ(CelebAMaskHQConfig(root=str(data_dir / "celebamask_hq")))
    assert [len(bench.items(split)) for split in bench.splits] == [550, 50, 100]
    sides = []
    for item in bench.items("val"):
        label = bench.load(item).target
        if (label == CELEBAMASK19.id("l_eye")).any() and (label == CELEBAMASK19.id("r_eye")).any():
            sides.append(_centre(label, CELEBAMASK19.id("l_eye")) > _centre(label, CELEBAMASK19.id("r_eye")))
    assert len(sides) > 30
    assert np.mean(sides) > 0.9  # the annotation itself has the sides the wrong way round on a few faces


def _centre(label: np.ndarray, index: int) -> float:
    return float(np.nonzero(label == index)[1].mean())
