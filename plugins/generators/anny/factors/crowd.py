"""How many people a picture shows, and how large: the keys of `crowd`. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.keys import key

from .table import OURS


@dataclass
class CrowdConfig:
    """Several people before one camera. Each is drawn as alone; light, film and background are those of the first."""

    least: int = key(1, "The fewest people asked for in a picture.", low=1, high=64)
    most: int = key(1, "The most people asked for; who finds no room is left out.", low=1, high=64)
    smallest: float = key(0.06, "The smallest face, brows to chin, by the picture's height.", low=0.01, high=1)
    largest: float = key(0.25, "The largest one; sizes between are evenly spread by their logarithm.", low=0.01, high=1)
    overlap: float = key(0.3, "How much heads may overlap, as a share of their radii.", low=0, high=1, source=OURS)

    def __post_init__(self) -> None:
        """Raises ValueError for bounds in the wrong order."""
        if self.least > self.most or self.smallest > self.largest:
            raise ValueError("crowd: `least` is at most `most`, and `smallest` at most `largest`")
