"""The generator's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class EG3DConfig:
    """What to sample and which weights to render; there is no mesh, so the only annotation is depth.

    checkpoint: path of an official .pkl or a converted .safetensors, or empty for the added asset. psi, cutoff:
    truncation. azimuth, elevation: uniform in plus and minus, radians. field_of_view: uniform, degrees over the
    diagonal. radius: camera to the volume's origin, volume units. units_per_metre: size of the volume. jitter: draw the
    march's jitter from the sample's seed. depth_resolution: side of the marched depth map; 0: the image's own pixels.
    """

    checkpoint: str = ""
    psi: float = 0.7
    cutoff: int = 14
    azimuth: float = 0.8
    elevation: float = 0.8
    field_of_view: list[float] = field(default_factory=lambda: [18.0, 24.0])
    radius: float = 2.7
    units_per_metre: float = 2.5
    jitter: bool = True
    depth_resolution: int = 128
    batch_size: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        low_high = list(self.field_of_view)
        if len(low_high) != 2 or not 0 < low_high[0] <= low_high[1] < 180:
            raise ValueError(f"field_of_view must be two angles in degrees, low and high, got {low_high}")
        if self.batch_size < 1 or self.radius <= 0.2 or self.units_per_metre <= 0 or self.depth_resolution < 0:
            raise ValueError("batch_size, radius and units_per_metre must be positive, depth_resolution not negative")
