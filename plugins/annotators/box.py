"""Boxes of the face: of what is seen of it, and of all of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, HeadModel
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering
from synthforge.core.schemas import CLASS_SCHEMAS

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

#: names that schemas of heads give to the opening of the eye
EYE = frozenset({"left_eye", "right_eye", "left_eyeball", "right_eyeball"})
#: and to the face, from the hairline to the chin, without ears, scalp and neck
FACE = EYE | {
    *("skin", "nose", "left_brow", "right_brow", "left_lid", "right_lid", "upper_lip", "lower_lip", "inner_mouth"),
    *("face", "forehead", "eye_region", "left_eye_region", "right_eye_region", "eye_region+forehead"),
    *("left_eyebrow", "right_eyebrow", "teeth", "tongue"),
}


class FaceBoxAnnotator(Annotator):
    """[x0, y0, x1, y1] around the face's skin, brows, eyes, nose and mouth; ears, scalp and neck are left out."""

    def __init__(self, config: NoKeys) -> None:
        frame = "image, pixel centres at i + 0.5"
        seen = "[x0, y0, x1, y1] tight around the pixels whose nearest solid surface is the face; null where none is"
        whole = "[x0, y0, x1, y1] tight around the whole face, hidden parts too; may leave the image"
        self.fields = (
            Field("face_box", "json", "px", frame, description=seen, mark="box"),
            Field("face_box_amodal", "json", "px", frame, description=whole, mark="box"),
        )
        self._found: tuple[HeadModel, np.ndarray] | None = None

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        head, surface = rendering.head, rendering.surface
        if head is None or surface is None:
            raise AnnotationError(
                "face-box needs a head with its mesh; this rendering has none",
                hint="Leave the annotator 'face-box' out, or choose a generator with a parametric head.",
            )
        pixels, z = rendering.camera.project(surface.vertices[self._vertices(head)])
        amodal = [*pixels.min(0).tolist(), *pixels.max(0).tolist()] if (z > 0).all() else None
        rows, columns = np.nonzero((surface.face_id >= 0) & (surface.face_id < surface.head_faces))
        regions = head.regions_at(surface.face_id[rows, columns], surface.barycentric[rows, columns])
        face = are_named(regions, head.region_schema, FACE)
        rows, columns = rows[face], columns[face]
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if face.any() else None
        return {"face_box": seen and [float(edge) for edge in seen], "face_box_amodal": amodal}

    def _vertices(self, head: HeadModel) -> np.ndarray:
        """Ids of the vertices of the head's face; found once."""
        if self._found is None or self._found[0] is not head:
            count = len(head.faces)
            regions = head.regions_at(np.arange(count), np.full((count, 3), 1 / 3, np.float32))
            face = head.faces[are_named(regions, head.region_schema, FACE)]
            if not len(face):
                raise AnnotationError(f"the head's regions '{head.region_schema}' name no part of a face")
            self._found = head, np.unique(face)
        return self._found[1]


def are_named(regions: np.ndarray, schema: str, names: Collection[str]) -> np.ndarray:
    """Which class ids (N,) of a schema have one of the names."""
    known = np.zeros(256, np.bool_)
    known[[index for index, name in enumerate(CLASS_SCHEMAS[schema].classes) if name in names]] = True
    return known[regions]


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `face-box`."""
    summary = "boxes in pixels tight around what is seen of the face, and around all of it"
    register("face-box", FaceBoxAnnotator, config=NoKeys, summary=summary)
