"""Irises and pupils as ellipses: circles on the eyeballs, projected exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering

from .box import EYE, are_named
from .pose import SIDES, eyes_of, unknown

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

_RINGS, _SPOKES = 6, 24


class IrisesAnnotator(Annotator):
    """Outlines of iris and pupil of each eye, whether lids hide them or not, and the share of the iris that is seen."""

    def __init__(self, config: NoKeys) -> None:
        frame = "image, pixel centres at i + 0.5"
        about = "by eye (left, right), iris and pupil: centre [x, y], semi-axes [major, minor]; null behind the camera"
        seen = "by eye: part of the iris's disc that is in the image, with no lid, hat, hand or hair mesh before it"
        self.fields = (
            Field("irises", "json", "px", frame, description=about, mark="ellipses", beside="iris_angles"),
            Field("iris_angles", "json", "degrees", frame, description="of the major axes, from x to y (clockwise)"),
            Field("iris_visibility", "json", "share", frame, description=seen),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        eyes = eyes_of(rendering, "irises")
        if eyes.iris is None or eyes.pupil is None:
            raise unknown("irises", "the size of iris and pupil")
        shapes: dict[str, Any] = {side: {} for side in SIDES}
        turned: dict[str, Any] = {side: {} for side in SIDES}
        for name, circles in (("iris", eyes.iris), ("pupil", eyes.pupil)):
            for eye, side in enumerate(SIDES):
                found = ellipse(rendering.camera, *circle(eyes.centre[eye], eyes.gaze[eye], *circles[eye]))
                shapes[side][name] = None if found is None else {"centre": found[0], "axes": found[1]}
                turned[side][name] = None if found is None else found[2]
        iris = eyes.iris
        discs = (circle(eyes.centre[eye], eyes.gaze[eye], *iris[eye]) for eye in range(2))
        shares = dict(zip(SIDES, (_seen(rendering, disc) for disc in discs), strict=True))
        return {"irises": shapes, "iris_angles": turned, "iris_visibility": shares}


def circle(centre: np.ndarray, axis: np.ndarray, ahead: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Middle (3,) and two half diameters (2,3) at right angles of the circle `ahead` of a centre along an axis."""
    aside = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
    aside = aside / np.linalg.norm(aside)
    return centre + ahead * axis, radius * np.stack([aside, np.cross(axis, aside)])


def ellipse(camera: Camera, middle: np.ndarray, halves: np.ndarray) -> tuple[list[float], list[float], float] | None:
    """Centre, semi-axes (larger first) and angle in degrees of the larger one, of a projected circle in pixels.

    None where the circle is not in front of the camera as a whole. A projection is a homography of the circle's plane:
    it turns the dual conic diag(1, 1, -1) of the unit circle into that of the ellipse (Hartley & Zisserman, 8.3).
    """
    points = camera.to_camera(np.stack([middle, middle + halves[0], middle + halves[1]]))
    spread = np.linalg.norm(points[1:, 2] - points[0, 2])
    if points[0, 2] <= spread:
        return None
    plane = camera.intrinsics @ np.stack([points[1] - points[0], points[2] - points[0], points[0]], axis=1)
    dual = plane @ np.diag([1.0, 1.0, -1.0]) @ plane.T
    dual = dual / dual[2, 2]
    centre = dual[:2, 2]
    values, vectors = np.linalg.eigh(np.outer(centre, centre) - dual[:2, :2])
    minor, major = np.sqrt(np.maximum(values, 0.0)).tolist()
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    return centre.tolist(), [major, minor], (angle + 90) % 180 - 90


def _seen(rendering: Rendering, disc: tuple[np.ndarray, np.ndarray]) -> float:
    """The part of a disc whose pixels show an eye of the head."""
    head, surface = rendering.head, rendering.surface
    if head is None or surface is None:
        raise AnnotationError("irises needs the mesh to tell what hides them; this rendering has none")
    middle, halves = disc
    radii = np.sqrt((np.arange(_RINGS) + 0.5) / _RINGS)  # rings of equal area
    around = 2 * np.pi * np.arange(_SPOKES) / _SPOKES
    flat = (radii[:, None, None] * np.stack([np.cos(around), np.sin(around)], -1)).reshape(-1, 2)
    pixels, z = rendering.camera.project(middle + flat @ halves)
    height, width = surface.face_id.shape
    inside = (z > 0) & (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1)
    columns, rows = pixels[inside].astype(np.intp).T
    face_id = surface.face_id[rows, columns]
    on_head = (face_id >= 0) & (face_id < surface.head_faces)
    regions = head.regions_at(face_id[on_head], surface.barycentric[rows, columns][on_head])
    return float(are_named(regions, head.region_schema, EYE).sum() / len(flat))


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `irises`."""
    summary = "iris and pupil of each eye as ellipses in pixels, and the share of the iris that is seen"
    register("irises", IrisesAnnotator, config=NoKeys, summary=summary)
