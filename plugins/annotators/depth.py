"""Metric depth, from the mesh or from the volume that made the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class DepthAnnotatorConfig:
    """Depth maps."""

    source: str = key(
        "auto",
        "What is read; `auto` takes the volume's depth where the generator has one (it goes with the pixels), else the "
        "mesh's.",
        choices=("auto", "mesh", "volume"),
    )
    ray_distance: bool = key(False, "Also write the distance from the camera's centre along each pixel's ray.")


class DepthAnnotator(Annotator):
    """Camera z in metres; 0 where there is nothing."""

    def __init__(self, config: DepthAnnotatorConfig) -> None:
        self.source = config.source
        self.ray_distance = config.ray_distance
        self.fields = (Field("depth", "depth", "m", "camera", description="camera z (not ray distance)"),)
        if self.ray_distance:
            self.fields += (Field("ray_distance", "depth", "m", "camera", description="distance along the ray"),)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        depth = self._depth(rendering)
        if not self.ray_distance:
            return {"depth": depth}
        from synthforge.geometry.cameras import z_to_distance

        return {"depth": depth, "ray_distance": z_to_distance(depth, rendering.camera)}

    def _depth(self, rendering: Rendering) -> np.ndarray:
        if self.source != "mesh" and rendering.depth is not None:
            return np.asarray(rendering.depth, np.float32)
        if self.source != "volume" and rendering.surface is not None:
            return np.asarray(rendering.surface.z, np.float32)
        missing = {"auto": "neither a mesh nor a volume", "mesh": "no mesh", "volume": "no volume depth"}
        raise AnnotationError(
            f"depth from '{self.source}': this rendering has {missing[self.source]}",
            hint="Set the annotator's `source` to auto, or leave the annotator 'depth' out.",
        )


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `depth`."""
    register(
        "depth",
        DepthAnnotator,
        config=DepthAnnotatorConfig,
        summary="camera z in metres from the mesh or the volume, optionally the ray distance",
        default=3,
    )
