"""Optical flow to a clip's next frame, from the surface that each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering
from synthforge.core.schemas import CLASS_SCHEMAS

from .landmarks import visible

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

_SCHEMA = "flow"


@dataclass
class FlowConfig:
    """When a point is still seen in the next frame."""

    tolerance: float = key(
        0.005, "How far a point may lie behind the next frame's surface and still be visible.", unit="m", low=0, high=1
    )


class FlowAnnotator(Annotator):
    """Where the point of the surface at a pixel's centre lies in the next frame, and whether it is seen there."""

    def __init__(self, config: FlowConfig) -> None:
        self.tolerance = config.tolerance
        frame = "image, x right, y down"
        about = "from each pixel's centre to the same point of the surface in the next frame; NaN where there is none"
        self.fields = (
            Field("flow", "flow", "px", frame, description=about),
            Field(
                "flow_visibility", "label", schema=_SCHEMA, description="what becomes of the point in the next frame"
            ),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        surface = rendering.surface
        if surface is None or rendering.following is None:
            raise AnnotationError(
                "flow needs a clip with a mesh; this rendering is no frame of one",
                hint="Set the generator's `motion: {frames: N}`, or leave the annotator 'flow' out.",
            )
        shape, after = surface.face_id.shape, rendering.following()
        flow, seen = np.full((surface.face_id.size, 2), np.nan, np.float32), np.zeros(surface.face_id.size, np.uint8)
        if after is not None and after.surface is not None:
            pixels = np.flatnonzero(surface.face_id.ravel() >= 0)
            corners = after.surface.vertices[surface.faces[surface.face_id.ravel()[pixels]]].astype(np.float64)
            weights = surface.barycentric.reshape(-1, 3)[pixels].astype(np.float64)
            points = (corners * (weights / weights.sum(1, keepdims=True))[..., None]).sum(1)
            there, z = after.camera.project(points)
            here = np.stack([pixels % shape[1], pixels // shape[1]], 1) + 0.5
            flow[pixels] = there - here
            classes = CLASS_SCHEMAS[_SCHEMA]
            inside = (there >= 0).all(1) & (there[:, 0] < shape[1]) & (there[:, 1] < shape[0])
            clear = visible(there, z, after.surface.z, self.tolerance)
            names = [classes.id(name) for name in ("visible", "hidden", "outside")]
            seen[pixels] = np.where(clear, names[0], np.where(inside, names[1], names[2]))
        return {"flow": flow.reshape(*shape, 2), "flow_visibility": seen.reshape(shape)}


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `flow`."""
    register(
        "flow", FlowAnnotator, config=FlowConfig, summary="optical flow to the next frame of a clip, with visibility"
    )
