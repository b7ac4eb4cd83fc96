"""300W: 68 landmarks on photographs in the wild (Sagonas et al., 2013), read from the official tree.

    afw/  helen/{trainset,testset}/  lfpw/{trainset,testset}/  ibug/  300W/{01_Indoor,02_Outdoor}/

Each face is a `.pts` file (1-based, with or without header and braces) beside its `.jpg` or `.png`. Crop protocol: the
tight box of the 68 annotated points, made square and `crop_scale` times as large.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import MISSING
from PIL import Image

from synthforge.core.config import key
from synthforge.core.errors import DataError, UserError, did_you_mean
from synthforge.core.files import files_in
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark
from synthforge.core.records import PublishedRow, RealItem, RealSample, Scores
from synthforge.datasets.crops import tight_box
from synthforge.evaluation.files import IMAGE_SUFFIXES, read_image, read_pts, write_pts
from synthforge.evaluation.pose import yaw_in_image
from synthforge.evaluation.scoring import score_points
from synthforge.evaluation.standin import mark_stand_in, read_stand_in

from .common import unknown_split

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

# subset -> (where it may lie under the root, faces in the official release)
SUBSETS: dict[str, tuple[tuple[str, ...], int]] = {
    "afw": (("afw", "AFW"), 337),
    "helen/trainset": (("helen/trainset",), 2000),
    "lfpw/trainset": (("lfpw/trainset",), 811),
    "helen/testset": (("helen/testset",), 330),
    "lfpw/testset": (("lfpw/testset",), 224),
    "ibug": (("ibug", "IBUG"), 135),
    "indoor": (("300W/01_Indoor", "01_Indoor", "300W/Indoor", "Indoor"), 300),
    "outdoor": (("300W/02_Outdoor", "02_Outdoor", "300W/Outdoor", "Outdoor"), 300),
}
# Faces of a small stand-in.
STAND_IN = {"afw": 8, "helen/trainset": 32, "lfpw/trainset": 16, "helen/testset": 8, "lfpw/testset": 8, "ibug": 8}
TRAIN = ("afw", "helen/trainset", "lfpw/trainset")
# train and val together: for models that have seen no real face
ALL_TRAIN = "all-train"
GROUPS: dict[str, tuple[str, ...]] = {
    "common": ("helen/testset", "lfpw/testset"),
    "challenge": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
    "test_private": ("indoor", "outdoor"),
}
# In these folders `NAME_1`, `NAME_2` are faces of one photograph and must not part between train and val.
SHARED_PHOTOS = ("afw", "helen/trainset")

_TABLE = "SynthForge paper, Table 1"
PUBLISHED = tuple(
    PublishedRow(method, _TABLE, {"common/nme": common, "challenge/nme": challenge})
    for method, common, challenge in (
        ("Wood et al.", 5.61, 8.43),
        ("Wood et al. + label adaptation", 3.09, 4.86),
        ("FaRL-B", 2.50, 4.42),
        ("STAR", 2.52, 4.32),
        ("DECA + LF", 4.26, 7.33),
        ("DECA + LF w/ features", 3.86, 6.40),
        ("SB", 5.74, 9.30),
        ("Random sampling + LF", 5.18, 9.25),
        ("Random sampling + LF w/ features", 5.06, 8.84),
        ("SB + LF", 3.01, 4.96),
        ("SB + LF w/ features", 2.90, 4.74),
    )
)


@dataclass
class W300Config:
    """300W."""

    root: str = key(MISSING, "Folder of the official tree.")
    crop_scale: float = key(1.3, "Side of the crop over the larger side of the face box.", above=0, high=10)
    val_share: float = key(0.1, "Share of every training folder that is kept for validation.", above=0, below=1)


class W300(Benchmark):
    """Landmarks on 300W, scored by NME over the outer eye corners.

    Splits: `train` (AFW, HELEN and LFPW train, less val); `val` (our own share of it); `all-train` (both, for models
    that learned from none of them); `common` (LFPW and HELEN test); `challenge` (iBUG); `full` (both);
    `test_private` (300W indoor and outdoor).
    """

    task = "keypoints"
    schema = "ibug68"
    splits = ("train", "val", ALL_TRAIN, *GROUPS)
    test_splits = tuple(GROUPS)
    published = PUBLISHED
    stand_in_folders = tuple(SUBSETS)

    def __init__(self, config: W300Config) -> None:
        self.root = Path(config.root).expanduser()
        self.crop_scale = config.crop_scale
        self.val_share = config.val_share
        self.stand_in = read_stand_in(self.root)

    def items(self, split: str) -> list[RealItem]:
        """The faces of a split, sorted within each folder.

        The training splits take whichever of their folders are there (`notes` says which are not); a test split
        needs all of its folders. Raises DataError naming the missing folder, or an annotation without an image.
        """
        if split in GROUPS:
            return [item for subset in GROUPS[split] for item in self._subset(subset)]
        if split not in self.splits:
            raise unknown_split("300w", split, self.splits)
        there = [subset for subset in TRAIN if self._folder(subset) is not None]
        if not there:
            raise self._missing(TRAIN[0])
        chosen = []
        for subset in there:
            items = self._subset(subset)
            if split == ALL_TRAIN:
                chosen += items
                continue
            held_out = _held_out(items, self.val_share)
            chosen += [item for item in items if (item.key in held_out) == (split == "val")]
        return chosen

    def load(self, item: RealItem) -> RealSample:
        """One photograph with its 68 points and their tight box."""
        points = read_pts(item.annotation, 68)
        x0, y0, x1, y1 = box = tight_box(points)
        if not (x1 > x0 and y1 > y0):
            raise DataError(f"{item.annotation}: all points lie on one line")
        return RealSample(item, read_image(item.image), box, points)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """NME, AUC and failure rate, by region, and by group (`common/nme` ...) where a group is complete."""
        return score_points(results, self.schema, GROUPS)

    def attributes(self, sample: RealSample) -> Mapping[str, Any]:
        """`yaw`: degrees, estimated from the annotated points; `face_px`: larger side of the face box in pixels."""
        x0, y0, x1, y1 = sample.box
        return {"yaw": yaw_in_image(sample.target), "face_px": max(x1 - x0, y1 - y0)}

    def write_stand_in(self, samples: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, int]:
        """PNG images beside 1-based `.pts` files; samples hold `image` and `landmarks2d`, counts are by subset."""
        wanted = dict(counts) or STAND_IN
        for subset in wanted:
            if subset not in self.stand_in_folders:
                raise UserError(f"300w has no folder '{subset}'", hint=did_you_mean(subset, SUBSETS))
        mark_stand_in(self.root, "300w", wanted)
        given = iter(samples)
        written = dict.fromkeys(wanted, 0)
        for subset, count in wanted.items():
            for number in range(count):
                sample = next(given, None)
                if sample is None:
                    raise UserError(
                        f"the dataset has {sum(written.values())} samples; {sum(wanted.values())} are needed",
                        hint="Generate more samples or ask for fewer faces.",
                    )
                stem = f"image_{number + 1:04d}" if subset.startswith("lfpw") else f"{number + 1:06d}_1"
                _write_face(self.root / SUBSETS[subset][0][0] / stem, sample)
                written[subset] += 1
        return written

    def notes(self, split: str) -> Sequence[str]:
        """Own splits, absent folders and incomplete copies."""
        if split in ("train", "val"):
            notes = [
                f"val is {self.val_share:.0%} of each training folder, chosen by a hash of the photograph's name; "
                "it is no official split"
            ]
        elif split == ALL_TRAIN:
            notes = ["all-train is train and val together: for models that learned from no face of this dataset"]
        else:
            notes = []
        for subset in GROUPS.get(split, TRAIN):
            official = SUBSETS[subset][1]
            if self._folder(subset) is None:
                notes.append(f"the folder {subset} is not there")
            elif (found := len(self._subset(subset))) != official:
                notes.append(f"{subset} holds {found:,} of the official {official:,} faces")
        return notes

    def _folder(self, subset: str) -> Path | None:
        return next((self.root / name for name in SUBSETS[subset][0] if (self.root / name).is_dir()), None)

    def _missing(self, subset: str) -> DataError:
        return DataError(
            f"300w: the folder {self.root / SUBSETS[subset][0][0]} is not there",
            hint="`root` must be the folder that holds " + ", ".join(names[0] for names, _ in SUBSETS.values()) + ".",
        )

    def _subset(self, subset: str) -> list[RealItem]:
        folder = self._folder(subset)
        if folder is None:
            raise self._missing(subset)
        images = {path.stem: path for path in files_in(folder, IMAGE_SUFFIXES)}
        items = []
        for path in files_in(folder, (".pts",)):
            if path.stem not in images:
                raise DataError(f"{path} has no image of the same name beside it", hint="Looked for .jpg and .png.")
            items.append(RealItem(f"{subset}/{path.stem}", images[path.stem], path, subset))
        if not items:
            raise DataError(f"300w: the folder {folder} holds no .pts files")
        return items


def _write_face(stem: Path, sample: Mapping[str, Any]) -> None:
    points = np.asarray(sample.get("landmarks2d", ()))
    if points.shape != (68, 2):
        raise UserError(f"a stand-in for 300W needs 68 points `landmarks2d` in two dimensions, not {points.shape}")
    stem.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(sample["image"])).save(stem.with_name(stem.name + ".png"))
    write_pts(stem.with_name(stem.name + ".pts"), points)


def _held_out(items: list[RealItem], share: float) -> set[str]:
    """Keys of the faces of one folder kept for validation: whole photographs in the order of their names' hash."""
    photos: dict[str, list[str]] = {}
    for item in items:
        name = re.sub(r"_\d{1,2}$", "", item.key) if item.subset in SHARED_PHOTOS else item.key
        photos.setdefault(name, []).append(item.key)
    wanted = min(max(1, round(share * len(items))), len(items) - 1)
    held_out: set[str] = set()
    for name in sorted(photos, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(held_out) >= wanted:
            break
        held_out.update(photos[name])
    return held_out


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Offer `300w`."""
    register(
        "300w",
        W300,
        config=W300Config,
        summary="68 landmarks on 300W, common and challenge",
        licence="photographs: research only, not included",
    )
