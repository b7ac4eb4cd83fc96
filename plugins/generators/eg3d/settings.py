"""The generator's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.config import key

from ..next3d.settings import VolumeConfig


@dataclass
class EG3DConfig(VolumeConfig):
    """EG3D. There is no mesh, so the only annotation is depth."""

    units_per_metre: float = key(2.5, "Units of the volume in a metre.", above=0, high=1000)
