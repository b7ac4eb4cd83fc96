"""Points all over the parametric face, in the image and in the camera's frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering

from .landmarks import depth_map, points_of, visible
from .pose import CAMERA

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class MeshAnnotatorConfig:
    """Points of the head's own surface."""

    schema: str = key("mediapipe478", "Point schema: one that the head knows.")
    tolerance: float = key(
        0.005, "How far a point may lie behind the visible surface and still be visible.", unit="m", low=0, high=1
    )


class MeshAnnotator(Annotator):
    """Fixed places of the head's surface in pixels and in the camera's frame, and whether the camera sees them."""

    def __init__(self, config: MeshAnnotatorConfig) -> None:
        self.schema, self.tolerance = config.schema, config.tolerance
        frame, seen = "image, pixel centres at i + 0.5", "inside the image and not hidden by any surface"
        about = "points of the head's surface; may lie outside the image, NaN behind the camera"
        self.fields = (
            Field("mesh2d", "points2d", "px", frame, self.schema, about),
            Field("mesh3d", "points3d", "m", CAMERA, self.schema, "the same points in space"),
            Field("mesh_visibility", "flags", schema=self.schema, description=seen),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        points = points_of(rendering, self.schema, "static", "mesh")
        pixels, z = rendering.camera.project(points)
        return {
            "mesh2d": pixels.astype(np.float32),
            "mesh3d": rendering.camera.to_camera(points).astype(np.float32),
            "mesh_visibility": visible(pixels, z, depth_map(rendering, self.tolerance), self.tolerance),
        }


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `mesh`."""
    summary = "478 points of the face in pixels and camera metres, with visibility"
    register("mesh", MeshAnnotator, config=MeshAnnotatorConfig, summary=summary)
