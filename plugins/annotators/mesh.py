"""Points all over the parametric head, in the image and in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering

from .landmarks import depth_map, visible
from .pose import CAMERA

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class MeshConfig:
    """Points of the head's own mesh."""

    schema: str = key("anny512", "Point schema: that of the head's dense points.")
    tolerance: float = key(
        0.005, "How far a point may lie behind the visible surface and still be visible.", unit="m", low=0, high=1
    )


class MeshAnnotator(Annotator):
    """Vertices of the head's mesh in pixels and in the camera's frame, and whether the camera sees them."""

    def __init__(self, config: MeshConfig) -> None:
        self.schema, self.tolerance = config.schema, config.tolerance
        frame, seen = "image, pixel centres at i + 0.5", "inside the image and not hidden by any surface"
        about = "points of the head's mesh; may lie outside the image, NaN behind the camera"
        self.fields = (
            Field("mesh2d", "points2d", "px", frame, self.schema, about),
            Field("mesh3d", "points3d", "m", CAMERA, self.schema, "the same points in space"),
            Field("mesh_visibility", "flags", schema=self.schema, description=seen),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        head, surface = rendering.head, rendering.surface
        if head is None or surface is None or head.dense is None or head.dense_schema != self.schema:
            raise AnnotationError(
                f"mesh needs a head with points of the schema '{self.schema}'; this rendering has none",
                hint="Leave the annotator 'mesh' out, or choose a generator with such a head, such as anny.",
            )
        points = surface.vertices[head.dense]
        pixels, z = rendering.camera.project(points)
        return {
            "mesh2d": pixels.astype(np.float32),
            "mesh3d": rendering.camera.to_camera(points).astype(np.float32),
            "mesh_visibility": visible(pixels, z, depth_map(rendering, self.tolerance), self.tolerance),
        }


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `mesh`."""
    summary = "points all over the head's mesh in pixels and camera metres, with visibility"
    register("mesh", MeshAnnotator, config=MeshConfig, summary=summary)
