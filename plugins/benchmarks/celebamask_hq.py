"""CelebAMask-HQ: face parsing in 19 classes (Lee et al., 2020), read from the official layout.

    CelebA-HQ-img/N.jpg  CelebAMask-HQ-mask-anno/K/NNNNN_PART.png  CelebA-HQ-to-CelebA-mapping.txt

Each part is a mask of its own; they are merged in the official order, later parts over earlier ones. The photographs
(1024 pixels) are reduced to the masks' size (512), at which everything is scored. Splits follow the CelebA index of
the mapping file. `l_` is the subject's left. Crop protocol: the whole photograph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import MISSING

from synthforge.core.config import key
from synthforge.core.errors import DataError
from synthforge.core.foreign import read_text
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark
from synthforge.core.records import PublishedRow, RealItem, RealSample, Scores
from synthforge.evaluation.files import IMAGE_SUFFIXES, fit_image, read_grey, read_image
from synthforge.evaluation.scoring import score_labels
from synthforge.evaluation.standin import read_stand_in

from ..schemas import CELEBAMASK19
from .common import count_note, listed, unknown_split

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

IMAGES, MASKS, MAPPING = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebA-HQ-to-CelebA-mapping.txt"
PER_FOLDER = 2000

# In the order they are painted; the id of a part's class is its place + 1.
PARTS = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip"),
    *("hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
# split -> (CelebA indices from, to, faces in the official release)
SPLITS = {"train": (0, 162_771, 24_183), "val": (162_771, 182_638, 2_993), "test": (182_638, 10**9, 2_824)}

# The classes of the paper's Table 3, in its order, and all of them: a mean always says which it runs over.
PAPER14 = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "neck"),
)
MEANS = {"mean_f1/14": PAPER14, "mean_f1/18": CELEBAMASK19.classes[1:]}

_TABLE = "SynthForge paper, Table 3"
_COLUMNS = (*(f"f1/{name}" for name in PAPER14), "mean_f1/14")
_ROWS: dict[str, tuple[float, ...]] = {
    "Wei et al.": (96.4, 91.9, 89.5, 87.1, 85, 80.8, 82.5, 84.1, 83.3, 90.6, 87.9, 91.0, 91.1, 88.1, 87.80),
    "EAGR": (96.2, 94.0, 92.3, 88.6, 88.7, 85.7, 85.2, 88, 85.7, 95.0, 88.9, 91.2, 94.9, 89.4, 90.27),
    "AGRNet": (96.5, 93.9, 91.8, 88.7, 89.1, 85.5, 85.6, 88.1, 88.7, 92, 89.1, 91.1, 95.2, 89.9, 90.37),
    "DML-CSR": (95.7, 93.9, 92.6, 89.4, 89.6, 85.5, 85.7, 88.3, 88.2, 91.8, 87.4, 91.0, 94.5, 89.6, 90.23),
    "FaRL-B": (
        *(96.29, 93.72, 93.91, 88.75, 88.64, 85.24, 85.46, 87.06, 87.36, 90.96, 87.53, 89.81, 95.6, 91.54),
        90.13,
    ),
    "SB + LF w/ features": (
        *(95.6, 93.0, 89.13, 86.61, 86.32, 83.75, 83.61, 84.88, 84.57, 89.04, 85.85, 88.34, 94.03, 89.36),
        88.15,
    ),
}
PUBLISHED = tuple(
    PublishedRow(method, _TABLE, dict(zip(_COLUMNS, row, strict=True)), split="test") for method, row in _ROWS.items()
)


@dataclass
class CelebAMaskHQConfig:
    """CelebAMask-HQ."""

    root: str = key(MISSING, "The folder `CelebAMask-HQ`.")
    crop_scale: float = key(1.0, "Side of the crop over the photograph's side.", above=0, high=10)


class CelebAMaskHQ(Benchmark):
    """Face parsing on CelebAMask-HQ, scored by F1 per class, its mean over the paper's 14 classes and over all 18."""

    task = "segmentation"
    schema = CELEBAMASK19.name
    splits = tuple(SPLITS)
    published = PUBLISHED

    def __init__(self, config: CelebAMaskHQConfig) -> None:
        self.root = Path(config.root).expanduser()
        self.crop_scale = config.crop_scale
        self.stand_in = read_stand_in(self.root)

    def items(self, split: str) -> list[RealItem]:
        """The photographs of a split by index; DataError for a missing folder, mapping or photograph."""
        if split not in SPLITS:
            raise unknown_split("celebamask-hq", split, self.splits)
        first, last, _ = SPLITS[split]
        images = listed("celebamask-hq", self.root / IMAGES, IMAGE_SUFFIXES)
        if not (self.root / MASKS).is_dir():
            raise DataError(f"celebamask-hq: the folder {self.root / MASKS} is not there")
        items = []
        for index, celeba in sorted(self._mapping()):
            if not first <= celeba < last:
                continue
            if str(index) not in images:
                raise DataError(f"{self.root / MAPPING} lists the photograph {index}, which {IMAGES} does not hold")
            folder = self.root / MASKS / str(index // PER_FOLDER)
            items.append(RealItem(str(index), images[str(index)], folder, split))
        return items

    def files(self, item: RealItem) -> Sequence[Path]:
        """The photograph and whichever part masks it has."""
        return [item.image, *self._parts(item).values()]

    def load(self, item: RealItem) -> RealSample:
        """One photograph, reduced to the masks' size, with its merged label map."""
        parts = self._parts(item)
        label: np.ndarray | None = None
        for name, path in parts.items():
            mask = read_grey(path) != 0
            if label is None:
                label = np.zeros(mask.shape, np.uint8)
            if mask.shape != label.shape:
                raise DataError(f"{path} is {mask.shape[1]} x {mask.shape[0]}, unlike the other parts of this face")
            label[mask] = PARTS.index(name) + 1
        if label is None:
            raise DataError(f"{item.annotation} holds no part mask of the photograph {item.key}")
        height, width = label.shape
        image = fit_image(read_image(item.image), (height, width), item.annotation)
        return RealSample(item, image, (0.0, 0.0, float(width), float(height)), label)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """F1 per class from the confusion matrix summed over the split, `mean_f1/14` and `mean_f1/18`."""
        return score_labels(results, self.schema, MEANS, primary="mean_f1/14")

    def notes(self, split: str) -> Sequence[str]:
        """Which classes the means run over, and incomplete copies."""
        rest = [name for name in MEANS["mean_f1/18"] if name not in PAPER14]
        means = [
            f"mean F1 over 14 classes, as the paper's table: {', '.join(PAPER14)}",
            f"mean F1 over 18 classes, all but the background: those and {', '.join(rest)}",
        ]
        return [*means, *count_note(split, len(self.items(split)), SPLITS[split][2])]

    def _parts(self, item: RealItem) -> dict[str, Path]:
        stem = item.annotation / f"{int(item.key):05d}"
        paths = {name: stem.with_name(f"{stem.name}_{name}.png") for name in PARTS}
        return {name: path for name, path in paths.items() if path.is_file()}

    def _mapping(self) -> list[tuple[int, int]]:
        """(index, CelebA index) of every photograph."""
        path = self.root / MAPPING
        if not path.is_file():
            raise DataError(f"{path} is not there", hint="It comes with CelebAMask-HQ and makes its splits.")
        pairs = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            words = line.split()
            if not words or words[0] == "idx":
                continue
            try:
                pairs.append((int(words[0]), int(words[1])))
            except (ValueError, IndexError):
                raise DataError(f"{path}, line {number}: '{line[:40]}' is not `index celeba_index file`") from None
        return pairs


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Offer `celebamask-hq`."""
    register(
        "celebamask-hq",
        CelebAMaskHQ,
        config=CelebAMaskHQConfig,
        summary="face parsing in 19 classes on CelebAMask-HQ",
        licence="photographs: research only, not included",
    )
