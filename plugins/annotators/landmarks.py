"""Landmarks of the parametric head, projected with the rendering's own camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, Contour
from synthforge.core.records import Field, Rendering

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class LandmarksConfig:
    """Points of the head."""

    contour: str = key(
        "static",
        "`static` keeps the jaw line on the skin, `visible` moves it to the contour the camera sees, as people do.",
        choices=("static", "visible"),
    )
    tolerance: float = key(
        0.005, "How far a landmark may lie behind the visible surface and still be visible.", unit="m", low=0, high=1
    )
    schema: str = key("ibug68", "Point schema of the landmarks: the head's, or one whose points the generator knows.")


class LandmarksAnnotator(Annotator):
    """Named points in pixels and in the world, and whether the camera sees them."""

    def __init__(self, config: LandmarksConfig) -> None:
        self.contour: Contour = "visible" if config.contour == "visible" else "static"
        self.tolerance = config.tolerance
        self.schema = config.schema
        self.fields = (
            Field(
                "landmarks2d",
                "points2d",
                unit="px",
                frame="image, pixel centres at i + 0.5",
                schema=self.schema,
                description=f"landmarks ({config.contour} jaw line); may lie outside the image, NaN behind the camera",
            ),
            Field("landmarks3d", "points3d", "m", "world", self.schema, "the same landmarks in the world"),
            Field(
                "landmark_visibility",
                "flags",
                schema=self.schema,
                description="inside the image and not hidden by any surface",
            ),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        points = points_of(rendering, self.schema, self.contour, "landmarks")
        pixels, z = rendering.camera.project(points)
        return {
            "landmarks2d": pixels.astype(np.float32),
            "landmarks3d": points,
            "landmark_visibility": visible(pixels, z, depth_map(rendering, self.tolerance), self.tolerance),
        }


def points_of(rendering: Rendering, schema: str, contour: Contour, name: str) -> np.ndarray:
    """Landmarks (N,3) float32 world metres, the head's, else what the generator itself knows; name: the annotator's."""
    head, surface = rendering.head, rendering.surface
    if head is None or surface is None:
        if schema in rendering.points:
            return np.asarray(rendering.points[schema], np.float32)
        raise AnnotationError(
            f"{name} need a head with its mesh, or points of the generator's own; this rendering has neither",
            hint=f"Leave the annotator '{name}' out (annotators: [segmentation, depth]), choose a generator with a "
            f"parametric head, or give `Rendering.points['{schema}']`.",
        )
    import torch

    vertices = torch.from_numpy(surface.vertices[None, : surface.head_vertices])
    position = torch.from_numpy(rendering.camera.position[None].astype(np.float32))
    return head.points(schema, vertices, position, contour)[0].detach().cpu().numpy().astype(np.float32)


def depth_map(rendering: Rendering, tolerance: float) -> np.ndarray:
    """(H,W) z depth of the nearest thing at each pixel; the mesh's is exact, a volume's comes second.

    `tolerance` forgives what the head's own surface does to points on it. Anything else (a mask lies 2 mm off the lips)
    is moved nearer by all but half a millimetre of it, so that it hides what is behind.
    """
    surface = rendering.surface
    if surface is not None:
        foreign = surface.face_id >= surface.head_faces
        return np.asarray(np.where(foreign, surface.z - np.float32(max(tolerance - 0.0005, 0.0)), surface.z))
    if rendering.depth is not None:
        return rendering.depth
    raise AnnotationError("whether landmarks are visible cannot be told: the rendering has no mesh and no depth")


def visible(pixels: np.ndarray, z: np.ndarray, depth: np.ndarray, tolerance: float) -> np.ndarray:
    """(N,) bool: points at pixels (N,2) and z depth (N,) that lie in the image with nothing in front of them.

    A point is hidden when everything in the 3 x 3 pixels around it is nearer by more than `tolerance` metres. The
    furthest of the nine decides because a point on a silhouette is half a pixel from whatever lies behind it.
    """
    height, width = depth.shape
    inside = (z > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    seen = np.zeros(len(pixels), np.bool_)
    columns, rows = pixels[inside].astype(np.intp).T
    steps = np.array([-1, 0, 1])
    around = depth[
        (rows[:, None] + steps).clip(0, height - 1)[:, :, None],
        (columns[:, None] + steps).clip(0, width - 1)[:, None, :],
    ]
    furthest = np.where(around > 0, around, np.inf).max(axis=(1, 2))
    seen[inside] = z[inside] <= furthest + tolerance
    return seen


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `landmarks`."""
    register(
        "landmarks",
        LandmarksAnnotator,
        config=LandmarksConfig,
        summary="68 iBUG landmarks of the parametric head in pixels and world metres, with visibility",
        default=1,
    )
