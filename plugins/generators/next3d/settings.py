"""The generator's configuration. No heavy imports here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthforge.core.config import key
from synthforge.core.machine import need_device


@dataclass
class VolumeConfig:
    """What every generator has that marches a volume seen by a camera on a sphere around it."""

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
            raise ValueError(f"field_of_view: [low, high] is wanted, not {self.field_of_view}")

    def check(self) -> None:
        """Raise ConfigError for a device that is not there."""
        need_device("device", self.device)


@dataclass
class Next3DConfig(VolumeConfig):
    """Next3D; the defaults are the paper's."""

    edition: str = key("flame2020", "Edition of FLAME.", choices=("flame2020", "flame2023", "flame2023-open"))
    painted: str = key("", "UV label map of the head `flame`; see there.")
    alignment: str = key("", "JSON of a fitted map from FLAME to the volume, empty for the published one.")
    variant: str = key(
        "synthforge",
        "`synthforge` is the paper's dataset script (only the front plane follows the mesh), `official` the published "
        "model.",
        choices=("official", "synthforge"),
    )
    condition: str = key(
        "", "Camera that the mapping network sees, empty for the variant's own.", choices=("", "frontal", "sampled")
    )
    identity: int = key(100, "Components of FLAME's identity that are drawn.", low=0, high=300)
    expression: int = key(50, "Components of FLAME's expression that are drawn.", low=0, high=100)
    identity_range: float = key(2.0, "Identity is drawn uniformly in plus and minus this.", low=0, high=10)
    expression_range: float = key(2.0, "Expression is drawn uniformly in plus and minus this.", low=0, high=10)
    refine: bool = key(False, "Fit the alignment to each sample's density, a second or two a sample.")
