"""LaPa-D: depth maps for LaPa's photographs (Lee et al., 2021), reconstructed from single images.

    depth/NAME.png (8 bit)  {train,val,test}_list.txt  and LaPa itself beside it or at `lapa_root`

The maps are relative: they have no scale and no zero. They are read as depth in units of their range, 1 at the nearest
and 2 at the farthest value, 0 in the file meaning none. RMSE is in these units; AbsRel and delta also depend on that
choice of zero and compare only under this protocol. Scale and shift of a prediction are fitted inside the mask.
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
from synthforge.core.machine import need_folder
from synthforge.core.records import RealItem, RealSample, Scores
from synthforge.evaluation.files import IMAGE_SUFFIXES, fit_image, read_grey, read_image
from synthforge.evaluation.scoring import score_depth
from synthforge.evaluation.standin import read_stand_in

from .common import listed, unknown_split

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

SPLITS = ("train", "val", "test")
LEVELS = 255


@dataclass
class LapaDConfig:
    """LaPa-D."""

    root: str = key(MISSING, "Folder of depth/ and the lists.")
    lapa_root: str = key("", "Folder of LaPa, empty for the same.")
    near: str = key("bright", "What the nearest pixels are in the files.", choices=("bright", "dark"))
    crop_scale: float = key(1.0, "Side of the crop over the photograph's side.", above=0, high=10)

    def check(self) -> None:
        """Raise ConfigError for photographs that are not there."""
        if self.lapa_root:
            need_folder("lapa_root", self.lapa_root)


class LapaD(Benchmark):
    """Depth on LaPa-D, scored after scale-and-shift alignment inside the mask."""

    task = "depth"
    schema = ""
    splits = SPLITS

    def __init__(self, config: LapaDConfig) -> None:
        self.root = Path(config.root).expanduser()
        self.lapa_root = Path(config.lapa_root).expanduser() if config.lapa_root else self.root
        self.crop_scale, self.near = config.crop_scale, config.near
        self.stand_in = read_stand_in(self.root)

    def items(self, split: str) -> list[RealItem]:
        """The listed photographs of a split; DataError for a missing list, depth map or photograph."""
        if split not in SPLITS:
            raise unknown_split("lapa-d", split, self.splits)
        names = self._list(split)
        maps = listed("lapa-d", self.root / "depth", (".png",))
        # A list may draw on another of LaPa's own splits, so every one that is there is looked through.
        images: dict[str, Path] = {}
        for folder in (self.lapa_root / each / "images" for each in SPLITS):
            if folder.is_dir():
                images |= listed("lapa-d", folder, IMAGE_SUFFIXES)
        for name in names:
            if name not in maps:
                raise DataError(f"{self.root / f'{split}_list.txt'} names {name}, which has no depth map in depth/")
            if name not in images:
                raise DataError(
                    f"{self.root / f'{split}_list.txt'} names {name}, which is not in {self.lapa_root}",
                    hint="`lapa_root` must be the folder of LaPa's train/, val/ and test/.",
                )
        return [RealItem(f"{split}/{name}", images[name], maps[name], split) for name in names]

    def load(self, item: RealItem) -> RealSample:
        """One photograph, brought to its depth map's size, with relative depth (1 near, 2 far) and its mask."""
        value = read_grey(item.annotation)
        mask = value > 0
        if not mask.any():
            raise DataError(f"{item.annotation} is empty: it has no pixel with depth")
        if value.max() > LEVELS:
            raise DataError(f"{item.annotation} is no 8-bit depth map: it holds {value.max():.0f}")
        distance = (LEVELS - value if self.near == "bright" else value) / LEVELS
        depth = np.where(mask, 1.0 + distance, 0.0).astype(np.float32)
        height, width = depth.shape
        image = fit_image(read_image(item.image), (height, width), item.annotation)
        return RealSample(item, image, (0.0, 0.0, float(width), float(height)), depth, mask)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """AbsRel, RMSE and delta < 1.25 after alignment."""
        return score_depth(results, unit="of the depth range")

    def notes(self, split: str) -> Sequence[str]:
        """What these depth maps are."""
        return [
            "LaPa-D's depth was itself reconstructed from single photographs; it is relative and without unit",
            f"the nearest pixels are taken to be {self.near} in its files",
        ]

    def _list(self, split: str) -> list[str]:
        path = self.root / f"{split}_list.txt"
        if not path.is_file():
            raise DataError(f"{path} is not there", hint="LaPa-D comes with a list of names for each split.")
        words = [line.split() for line in read_text(path).splitlines()]
        names = [Path(word[0]).stem for word in words if word]
        if not names:
            raise DataError(f"{path} is empty")
        if len(set(names)) != len(names):
            raise DataError(f"{path} names a photograph twice")
        return names


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Offer `lapa-d`."""
    register(
        "lapa-d",
        LapaD,
        config=LapaDConfig,
        summary="relative depth on LaPa-D",
        licence="photographs and depth: research only, not included",
    )
