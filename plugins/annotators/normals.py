"""Surface normals in the camera frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering, Surface

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


class NormalsAnnotator(Annotator):
    """Unit vectors, x right, y down, z forward: a surface facing the camera has z = -1. 0 where there is none."""

    def __init__(self, config: NoKeys) -> None:
        self.fields = (
            Field("normals", "normals", frame="camera (x right, y down, z forward)", description="unit, smooth-shaded"),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        if rendering.surface is None:
            raise AnnotationError(
                "normals need a mesh; this rendering has none",
                hint="Leave the annotator 'normals' out, or choose a generator with a mesh.",
            )
        return {"normals": camera_normals(rendering.surface, rendering.camera.world_to_camera[:3, :3])}


def camera_normals(surface: Surface, rotation: np.ndarray) -> np.ndarray:
    """(H,W,3) float32 unit normals, interpolated from the vertices', turned by `rotation` (3,3) world to camera."""
    import torch
    from torch.nn.functional import embedding_bag

    pixels = np.flatnonzero(surface.face_id.ravel() >= 0)
    corners = surface.faces.take(surface.face_id.ravel().take(pixels), axis=0)
    weights = surface.barycentric.reshape(-1, 3).take(pixels, axis=0)
    turned = surface.normals @ rotation.T.astype(np.float32)
    # A weighted sum of table rows in one pass: three times as fast as gathering (N,3,3) and summing.
    bags, table, shares = (torch.from_numpy(array) for array in (corners, turned, weights))
    normals = embedding_bag(bags, table, mode="sum", per_sample_weights=shares).numpy()
    x, y, z = normals.T
    length = np.sqrt(x * x + y * y + z * z)
    normals /= np.where(length > 1e-12, length, np.inf)[:, None]
    image = np.zeros((surface.face_id.size, 3), np.float32)
    # Rows as opaque 12-byte values: twice as fast as assigning three columns each.
    image.view("V12")[pixels] = normals.view("V12")
    return image.reshape(*surface.face_id.shape, 3)


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `normals`."""
    register(
        "normals",
        NormalsAnnotator,
        config=NoKeys,
        summary="unit surface normals in the camera frame, interpolated over the mesh",
        default=4,
    )
