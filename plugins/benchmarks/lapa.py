"""LaPa: face parsing in 11 classes and 106 landmarks (Liu et al., 2020), read from the official tree.

    {train,val,test}/images/NAME.jpg  {train,val,test}/labels/NAME.png  {train,val,test}/landmarks/NAME.txt

The sides of its class names are the image's: `left_eye` lies at image left and is the subject's right eye. Class
names here are the dataset's own; mappings from the subject's sides cross them (`core.schemas`). Crop protocol: the
whole photograph, made square with black; with `box: landmarks`, the tight box of the 106 points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import MISSING

from synthforge.core.config import key
from synthforge.core.errors import DataError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark
from synthforge.core.records import PublishedRow, RealItem, RealSample, Scores
from synthforge.datasets.crops import tight_box
from synthforge.evaluation.files import IMAGE_SUFFIXES, read_image, read_label, read_pairs
from synthforge.evaluation.scoring import score_labels, score_points
from synthforge.evaluation.standin import read_stand_in

from ..schemas import LAPA11, LAPA106
from .common import count_note, listed, unknown_split

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

COUNTS = {"train": 18_176, "val": 2_000, "test": 2_000}
MEANS = {"mean_f1/10": LAPA11.classes[1:]}

_TABLE = "SynthForge paper, Table 2"
_COLUMNS = (
    *("f1/skin", "f1/hair", "f1/left_eye", "f1/right_eye", "f1/upper_lip", "f1/inner_mouth", "f1/lower_lip"),
    *("f1/nose", "f1/left_brow", "f1/right_brow", "mean_f1/10"),
)
_ROWS: dict[str, tuple[float, ...]] = {
    "Liu et al.": (92.7, 96.3, 88.1, 88.0, 84.4, 87.6, 85.7, 95.5, 87.7, 87.6, 89.8),
    "Te et al.": (97.3, 96.2, 89.5, 90.0, 88.1, 90.0, 89.0, 97.1, 86.5, 87.0, 91.1),
    "Wood et al.": (97.1, 85.7, 90.6, 90.1, 85.9, 88.8, 88.4, 96.7, 88.6, 88.5, 90.1),
    "FaRL-B": (98.00, 96.52, 93.97, 93.91, 90.15, 91.74, 91.21, 97.92, 92.70, 92.65, 93.88),
    "Random sampling + LF": (96.53, 94.26, 86.12, 85.58, 81.36, 85.48, 85.74, 95.68, 85.54, 84.48, 87.98),
    "DECA + LF": (96.36, 93.69, 86.20, 86.05, 81.89, 84.64, 82.74, 95.50, 86.61, 85.74, 87.94),
    "SB + LF": (96.80, 94.30, 88.60, 88.60, 84.43, 87.97, 87.13, 96.16, 87.64, 88.62, 90.03),
}
PUBLISHED = tuple(
    PublishedRow(method, _TABLE, dict(zip(_COLUMNS, row, strict=True)), split="test") for method, row in _ROWS.items()
)


@dataclass
class LapaConfig:
    """LaPa."""

    root: str = key(MISSING, "Folder of train/, val/ and test/.")
    box: str = key(
        "image", "Face box: the whole image, or the box of the 106 landmarks.", choices=("image", "landmarks")
    )
    crop_scale: float = key(1.0, "Side of the crop over the larger side of the face box.", above=0, high=10)


class Lapa(Benchmark):
    """Face parsing on LaPa, scored by F1 per class and its mean over the 10 foreground classes."""

    task = "segmentation"
    schema = LAPA11.name
    splits = tuple(COUNTS)
    published = PUBLISHED
    annotations = "labels", ".png"

    def __init__(self, config: LapaConfig) -> None:
        self.root = Path(config.root).expanduser()
        self.crop_scale, self.box = config.crop_scale, config.box
        self.stand_in = read_stand_in(self.root)

    def items(self, split: str) -> list[RealItem]:
        """The photographs of a split by name; DataError for a missing folder or a photograph without annotation."""
        if split not in COUNTS:
            raise unknown_split("lapa", split, self.splits)
        kind, suffix = self.annotations
        images = listed("lapa", self.root / split / "images", IMAGE_SUFFIXES)
        found = listed("lapa", self.root / split / kind, (suffix,))
        missing = next((name for name in images if name not in found), None)
        if missing is not None:
            raise DataError(f"{images[missing]} has no {self.root / split / kind / missing}{suffix}")
        return [RealItem(f"{split}/{name}", image, found[name], split) for name, image in images.items()]

    def files(self, item: RealItem) -> Sequence[Path]:
        """Photograph and label map, and the landmarks where they give the box."""
        return [item.image, item.annotation, *([_landmarks(item)] if self.box == "landmarks" else [])]

    def load(self, item: RealItem) -> RealSample:
        """One photograph with its label map, which must be of its size."""
        image, label = read_image(item.image), read_label(item.annotation, len(LAPA11))
        height, width = label.shape
        if image.shape[:2] != label.shape:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise DataError(f"{item.annotation} is {width} x {height}, its photograph {size}")
        box = (0.0, 0.0, float(width), float(height))
        if self.box == "landmarks":
            box = tight_box(_read(_landmarks(item)))
        return RealSample(item, image, box, label)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """F1 per class from the confusion matrix summed over the split, and `mean_f1/10`."""
        return score_labels(results, self.schema, MEANS, primary="mean_f1/10")

    def notes(self, split: str) -> Sequence[str]:
        """Incomplete copies, and whose left the class names mean."""
        notes = [
            f"mean F1 over 10 classes, all but the background: {', '.join(MEANS['mean_f1/10'])}",
            "LaPa's left and right are the image's, not the subject's",
        ]
        return [*notes, *count_note(split, len(self.items(split)), COUNTS[split])]


def _landmarks(item: RealItem) -> Path:
    return item.annotation.parent.parent / "landmarks" / f"{item.annotation.stem}.txt"


def _read(path: Path) -> np.ndarray:
    points = read_pairs(path, header=True)
    if len(points) != len(LAPA106):
        raise DataError(f"{path} holds {len(points)} points instead of {len(LAPA106)}")
    return points


@dataclass
class LapaLandmarksConfig:
    """LaPa's landmarks."""

    root: str = key(MISSING, "Folder of train/, val/ and test/.")
    crop_scale: float = key(1.3, "Side of the crop over the larger side of the face box.", above=0, high=10)


class LapaLandmarks(Lapa):
    """106 landmarks on LaPa, scored by NME over the outer eye corners. A model of 68 points answers translated."""

    task = "keypoints"
    schema = LAPA106.name
    published = ()
    annotations = "landmarks", ".txt"

    def __init__(self, config: LapaLandmarksConfig) -> None:
        super().__init__(LapaConfig(config.root, "landmarks", config.crop_scale))

    def files(self, item: RealItem) -> Sequence[Path]:
        """Photograph and landmarks."""
        return [item.image, item.annotation]

    def load(self, item: RealItem) -> RealSample:
        """One photograph with its 106 points and their tight box."""
        points = _read(item.annotation)
        return RealSample(item, read_image(item.image), tight_box(points), points)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """NME, AUC and failure rate, and NME by region."""
        return score_points(results, self.schema)

    def attributes(self, sample: RealSample) -> Mapping[str, Any]:
        """`face_px`: larger side of the face box in pixels."""
        x0, y0, x1, y1 = sample.box
        return {"face_px": max(x1 - x0, y1 - y0)}

    def notes(self, split: str) -> Sequence[str]:
        """Incomplete copies."""
        return count_note(split, len(self.items(split)), COUNTS[split])


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Offer `lapa` and `lapa-landmarks`."""
    licence = "photographs: research only, not included"
    summary = "face parsing in 11 classes on LaPa"
    register("lapa", Lapa, config=LapaConfig, summary=summary, licence=licence)
    summary = "106 landmarks on LaPa"
    register("lapa-landmarks", LapaLandmarks, config=LapaLandmarksConfig, summary=summary, licence=licence)
