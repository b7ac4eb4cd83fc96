"""The four benchmarks' official trees with a few made-up faces each: what a pipeline needs to run, not to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 72
W300 = {"afw": 5, "helen/trainset": 5, "lfpw/trainset": 5, "helen/testset": 2, "lfpw/testset": 2, "ibug": 2}
LAPA = {"train": 4, "val": 2, "test": 2}
# index -> CelebA index, which makes the split: train, val, test
CELEBA = {0: 100, 1: 101, 2: 102, 3: 103, 4: 162_800, 5: 162_801, 6: 182_700, 7: 182_701}


def write_trees(root: Path) -> dict[str, Path]:
    """Write `300w`, `lapa`, `celebamask-hq` and `lapa-d` under `root`; their folders by the benchmark's name."""
    folders = {name: root / name for name in ("300w", "lapa", "celebamask-hq", "lapa-d")}
    _w300(folders["300w"])
    _lapa(folders["lapa"])
    _lapa(folders["lapa-d"])
    _celeba(folders["celebamask-hq"])
    _depth(folders["lapa-d"])
    return folders


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _face(number: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A picture (S,S,3) of an ellipse and where the ellipse is (S,S) bool."""
    rng = np.random.default_rng(number)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside = ((x - 0.5) / rng.uniform(0.25, 0.35)) ** 2 + ((y - 0.5) / rng.uniform(0.3, 0.4)) ** 2 < 1
    image = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
    image[inside] = rng.integers(150, 230, 3)
    return image, inside


def _w300(root: Path) -> None:
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = SIZE / 2 + SIZE * 0.3 * np.column_stack([np.cos(angles), np.sin(angles)])
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    for folder, count in W300.items():
        for number in range(count):
            _save(root / folder / f"face{number}.png", _face(number)[0])
            (root / folder / f"face{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")


def _label(inside: np.ndarray, classes: int) -> np.ndarray:
    """Bands of classes 1, 2 ... inside, background outside."""
    bands = 1 + np.arange(len(inside)) * (classes - 1) // len(inside)
    return np.where(inside, bands[:, None], 0).astype(np.uint8)


def _lapa(root: Path) -> None:
    for split, count in LAPA.items():
        for number in range(count):
            image, inside = _face(number)
            _save(root / split / "images" / f"{split}_{number}.jpg", image)
            _save(root / split / "labels" / f"{split}_{number}.png", _label(inside, 11))


def _depth(root: Path) -> None:
    for split, count in LAPA.items():
        names = [f"{split}_{number}" for number in range(count)]
        for number, name in enumerate(names):
            inside = _face(number)[1]
            slope = np.linspace(60, 250, SIZE).astype(np.uint8)
            _save(root / "depth" / f"{name}.png", np.where(inside, slope, 0).astype(np.uint8))
        (root / f"{split}_list.txt").write_text("\n".join(f"{name}.png" for name in names))


def _celeba(root: Path) -> None:
    parts = {1: "skin", 2: "nose", 3: "hair", 4: "neck"}
    for index in CELEBA:
        image, inside = _face(index)
        _save(root / "CelebA-HQ-img" / f"{index}.jpg", image)
        label = _label(inside, 5)
        for value, part in parts.items():
            mask = np.where(label == value, 255, 0).astype(np.uint8)
            _save(root / "CelebAMask-HQ-mask-anno/0" / f"{index:05d}_{part}.png", mask)
    rows = [f"{index} {celeba} {celeba:06d}.jpg" for index, celeba in CELEBA.items()]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx orig_idx orig_file", *rows]))
