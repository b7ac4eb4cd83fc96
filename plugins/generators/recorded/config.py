"""Configurations of the replay. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

LAYOUT_NAMES = ("shards", "paper", "face-synthetics")


@dataclass
class RecordedConfig:
    """root: the folder of the dataset; layout: `shards` (ours), `paper` or `face-synthetics`.

    schema, colours, points, metric_depth, depth_range: for the paper's layout, see `datasets.convert.ReadOptions`
    (depth_range: empty, or nearest and furthest in metres). field_of_view: degrees, of the camera that is assumed, a
    metre away, where the dataset has none; such samples say so in their parameters.
    """

    root: str = MISSING
    layout: str = "shards"
    schema: str = "flame20"
    colours: dict[str, list[int]] = field(default_factory=dict)
    points: str = "px"
    metric_depth: bool = False
    depth_range: list[float] = field(default_factory=list)
    field_of_view: float = 20.0

    def __post_init__(self) -> None:
        if self.layout not in LAYOUT_NAMES:
            raise ValueError(f"layout must be one of {', '.join(LAYOUT_NAMES)}, got {self.layout!r}")
        if self.points not in ("px", "ndc"):
            raise ValueError(f"points must be 'px' or 'ndc', got {self.points!r}")
        if len(self.depth_range) not in (0, 2):
            raise ValueError(f"depth_range is [nearest, furthest] in metres, got {self.depth_range}")
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view must lie in 0..180 degrees, got {self.field_of_view}")


@dataclass
class StoredConfig:
    """layout, schema, metric_depth: as the generator's; root: of the dataset, for the layout `shards` alone, whose
    manifest says what it holds. fields: names to pass on, empty for all.
    """

    layout: str = "shards"
    root: str = ""
    schema: str = "flame20"
    metric_depth: bool = False
    fields: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUT_NAMES:
            raise ValueError(f"layout must be one of {', '.join(LAYOUT_NAMES)}, got {self.layout!r}")
