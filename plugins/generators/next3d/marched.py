"""What the generators `next3d` and `eg3d` share: a camera drawn on a sphere, weights, and rendering in batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch

from synthforge.assets.registry import find_asset
from synthforge.core.factors import Factor
from synthforge.core.interfaces import OriginGenerator
from synthforge.core.nearby import Origin
from synthforge.core.records import Rendering, Scene

from .declared import latent_factors
from .settings import VolumeConfig


class VolumeGenerator(OriginGenerator):
    """Renders by marching a volume. Its random streams are `NAME/<what>`; its weights are the asset `NAME-ffhq`."""

    name: ClassVar[str]

    def __init__(self, config: VolumeConfig) -> None:
        self.config: Any = config
        self.batch_size = config.batch_size

    @cached_property
    def checkpoint(self) -> str:
        """Path of the weights; AssetError if they have not been added."""
        return self.config.checkpoint or str(find_asset(f"{self.name}-ffhq"))

    def drawn_scene(self, origin: Origin, **more: Any) -> Scene:
        """A scene with the latent code z, `more`, and the camera."""
        config, view = self.config, origin.stream(f"{self.name}/camera")
        parameters = {
            "z": origin.stream(f"{self.name}/z").standard_normal(512).tolist(),
            **more,
            "azimuth": float(view.uniform(-config.azimuth, config.azimuth)),
            "elevation": float(view.uniform(-config.elevation, config.elevation)),
            "field_of_view": float(view.uniform(config.field_of_view[0], config.field_of_view[1])),
            "radius": config.radius,
        }
        return Scene(origin.seed, origin.index, parameters, origin=origin)

    def factors(self) -> tuple[Factor, ...]:
        """See `Generator.factors`."""
        return latent_factors(self.config)

    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        """See `Generator.render`."""
        renderings: list[Rendering] = []
        with torch.inference_mode():
            for first in range(0, len(scenes), self.batch_size):
                renderings += self._render(scenes[first : first + self.batch_size], resolution)
        return renderings

    @abstractmethod
    def _render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        """Render one batch."""
