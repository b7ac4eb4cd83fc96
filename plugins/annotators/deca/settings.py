"""The annotator's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DecaConfig:
    """edition: of FLAME; crop_scale: side of the crop in units of the larger side of the landmarks' box; dense: also
    write the classes and depth of the estimated mesh, so that every task can learn from DECA's labels alone.
    """

    edition: str = "flame2020"
    crop_scale: float = 1.25
    dense: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.crop_scale <= 4:
            raise ValueError(f"crop_scale must lie between 0.5 and 4, got {self.crop_scale}")
