"""Configurations of the replay. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from synthforge.core.config import key
from synthforge.core.machine import need_folder

LAYOUT_NAMES = ("shards", "paper", "face-synthetics", "yolo-pose")


@dataclass
class RecordedConfig:
    """An existing dataset, replayed."""

    root: str = key(MISSING, "Folder of the dataset.")
    layout: str = key("shards", "How its files lie: our shards, or as others have them.", choices=LAYOUT_NAMES)
    schema: str = key("flame20", "Class schema of its labels, for the paper's layout.")
    point_schema: str = key("ibug68", "Schema of its points, for YOLO pose.")
    colours: dict[str, list[int]] = key(
        {}, "By class: its colour [r, g, b], for labels that are pictures.", low=0, high=255
    )
    points: str = key("px", "Unit of its landmarks: pixels, or -1 to 1 over the image.", choices=("px", "ndc"))
    metric_depth: bool = key(False, "Its depth is in metres.")
    depth_range: list[float] = key(
        [], "[nearest, furthest] of its depth pictures; empty where they are not metric.", unit="m", length=2, low=0
    )
    field_of_view: float = key(
        20.0,
        "Of the camera that is assumed, a metre away, where the dataset has none; such samples say so.",
        unit="degrees",
        above=0,
        below=180,
    )

    def check(self) -> None:
        """Raise ConfigError for a dataset that is not there."""
        need_folder("root", self.root)


@dataclass
class StoredConfig:
    """Annotations as the dataset holds them."""

    layout: str = key("shards", "As the generator's.", choices=LAYOUT_NAMES)
    root: str = key("", "Folder of the dataset, for the layout `shards`, whose manifest says what it holds.")
    schema: str = key("flame20", "As the generator's.")
    point_schema: str = key("ibug68", "As the generator's.")
    metric_depth: bool = key(False, "As the generator's.")
    fields: list[str] = key([], "Names of the annotations to pass on, empty for all.")

    def check(self) -> None:
        """Raise ConfigError for a dataset that is not there."""
        if self.root:
            need_folder("root", self.root)
