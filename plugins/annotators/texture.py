"""Texture coordinates of the head at every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


class UvAnnotator(Annotator):
    """Where in the head's own texture map each pixel of the head lies; what it wears and grows has no place there."""

    def __init__(self, config: NoKeys) -> None:
        about = "u and v (upwards) in [0,1] in the head's texture map; (0, 0) where another thing or nothing is seen"
        self.fields = (Field("uv", "uv", frame="texture", description=about),)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        head, surface = rendering.head, rendering.surface
        if head is None or surface is None or head.uv is None or head.uv_faces is None:
            raise AnnotationError(
                "uv needs the mesh of a head with a texture map; this rendering has none",
                hint="Leave the annotator 'uv' out, or choose a generator whose head has `uv` and `uv_faces`.",
            )
        pixels = np.flatnonzero((surface.face_id.ravel() >= 0) & (surface.face_id.ravel() < surface.head_faces))
        corners = head.uv[head.uv_faces[surface.face_id.ravel()[pixels]]]
        weights = surface.barycentric.reshape(-1, 3)[pixels]
        uv = np.zeros((surface.face_id.size, 2), np.float32)
        uv[pixels] = np.clip((corners * weights[..., None]).sum(1), 0, 1)
        return {"uv": uv.reshape(*surface.face_id.shape, 2)}


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `uv`."""
    register("uv", UvAnnotator, config=NoKeys, summary="texture coordinates of the head at each pixel")
