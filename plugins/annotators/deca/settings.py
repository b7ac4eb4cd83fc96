"""The annotator's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.config import key


@dataclass
class DecaConfig:
    """DECA's estimate as labels."""

    edition: str = key("flame2020", "Edition of FLAME.", choices=("flame2020", "flame2023", "flame2023-open"))
    crop_scale: float = key(1.25, "Side of the crop over the larger side of the landmarks' box.", low=0.5, high=4)
    dense: bool = key(
        False, "Also write classes and depth of the estimated mesh, so that every task can learn from it."
    )
