"""The generator's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Next3DConfig:
    """What to sample and which files to render it with; the defaults are the paper's.

    checkpoint: path of an official .pkl or a converted .safetensors, or empty for the added asset; edition: of FLAME;
    painted: see the head `flame`; alignment: JSON of a fitted FLAME-to-volume map, or empty for the published one.
    variant: `synthforge`, the paper's dataset script (only the front plane follows the mesh), or `official`.
    condition: camera the mapping network sees, `frontal` or `sampled`; empty takes the variant's own (synthforge:
    sampled). psi, cutoff: truncation. identity, expression: number of FLAME components drawn, uniform in plus and
    minus identity_range and expression_range. azimuth, elevation: uniform in plus and minus, radians.
    field_of_view: uniform, degrees over the diagonal. radius: camera to the volume's origin, volume units.
    jitter: draw the march's jitter from the sample's seed (training did), or march midpoints.
    depth_resolution: side of the marched depth map, resampled to the image's; 0 marches the image's own pixels (slow).
    refine: fit the alignment to each sample's density (a second or two a sample).
    """

    checkpoint: str = ""
    edition: str = "flame2020"
    painted: str = ""
    alignment: str = ""
    variant: str = "synthforge"
    condition: str = ""
    psi: float = 0.7
    cutoff: int = 14
    identity: int = 100
    expression: int = 50
    identity_range: float = 2.0
    expression_range: float = 2.0
    azimuth: float = 0.8
    elevation: float = 0.8
    field_of_view: list[float] = field(default_factory=lambda: [18.0, 24.0])
    radius: float = 2.7
    jitter: bool = True
    depth_resolution: int = 128
    refine: bool = False
    batch_size: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        choices = {"variant": ("official", "synthforge"), "condition": ("", "frontal", "sampled")}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"{key} must be one of {', '.join(filter(None, known))}, got {getattr(self, key)!r}")
        low_high = list(self.field_of_view)
        if len(low_high) != 2 or not 0 < low_high[0] <= low_high[1] < 180:
            raise ValueError(f"field_of_view must be two angles in degrees, low and high, got {low_high}")
        if not (0 <= self.identity <= 300 and 0 <= self.expression <= 100):
            raise ValueError("FLAME has 300 identity and 100 expression components")
        if self.batch_size < 1 or self.radius <= 0.2 or self.depth_resolution < 0:
            raise ValueError("batch_size, radius and depth_resolution must be positive (depth_resolution may be 0)")
