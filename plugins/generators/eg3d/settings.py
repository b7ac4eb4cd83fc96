"""The generator's configuration. No heavy imports here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthforge.core.config import key


@dataclass
class EG3DConfig:
    """EG3D. There is no mesh, so the only annotation is depth."""

    checkpoint: str = key("", "An official .pkl or a converted .safetensors; empty for the added asset.")
    psi: float = key(0.7, "Truncation: 1 is none, 0 the mean face.", low=0, high=2)
    cutoff: int = key(14, "Layers that are truncated, from the first.", low=0, high=100)
    azimuth: float = key(
        0.8, "Camera azimuth is drawn uniformly in plus and minus this.", unit="rad", low=0, high=math.pi
    )
    elevation: float = key(
        0.8, "Camera elevation is drawn uniformly in plus and minus this.", unit="rad", low=0, high=math.pi / 2
    )
    field_of_view: list[float] = key(
        [18.0, 24.0],
        "Over the diagonal, drawn uniformly between two ends.",
        unit="degrees",
        length=2,
        above=0,
        below=180,
    )
    radius: float = key(2.7, "From the camera to the volume's origin, in units of the volume.", above=0.2, high=100)
    units_per_metre: float = key(2.5, "Units of the volume in a metre.", above=0, high=1000)
    jitter: bool = key(True, "Draw the march's jitter from the sample's seed, as in training; else march midpoints.")
    depth_resolution: int = key(
        128,
        "Side of the marched depth map, resampled to the image's; 0 marches the image's own pixels.",
        unit="px",
        low=0,
        high=4096,
    )
    batch_size: int = key(1, "Scenes rendered at a time.", low=1, high=1024)
    device: str = key("cpu", "Where torch computes: `cpu`, `cuda`, `cuda:1` ...")

    def __post_init__(self) -> None:
        if self.field_of_view[0] > self.field_of_view[1]:
            raise ValueError(f"field_of_view is [low, high], got {self.field_of_view}")
