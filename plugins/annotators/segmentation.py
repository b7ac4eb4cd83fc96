"""Class of every pixel, from the generator's own labels or from the head's regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import AnnotationError
from synthforge.core.handover import stray_ids
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, class_mapping

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


@dataclass
class SegmentationAnnotatorConfig:
    """Class of every pixel."""

    schema: str = key("synthforge", "Class schema to write: `synthforge`, `lapa11`, `celebamask19`, `flame20` ...")

    def __post_init__(self) -> None:
        if self.schema not in CLASS_SCHEMAS:
            raise ValueError(f"schema: '{self.schema}' is not one of {', '.join(sorted(CLASS_SCHEMAS))}")


class SegmentationAnnotator(Annotator):
    """Label maps in one schema, whatever schema the rendering speaks."""

    def __init__(self, config: SegmentationAnnotatorConfig) -> None:
        self.schema = config.schema
        self.fields = (
            Field(
                "segmentation",
                "label",
                unit="class id",
                frame="image",
                schema=self.schema,
                description=f"class of each pixel; {IGNORE} where it is unknown",
            ),
        )
        self._tables: dict[str, np.ndarray] = {}

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        for source in (self.schema, *rendering.labels):
            if source in rendering.labels and self._reaches(source):
                return {"segmentation": self._tables[source].take(rendering.labels[source])}
        return {"segmentation": self._regions(rendering)}

    def _regions(self, rendering: Rendering) -> np.ndarray:
        """(H,W) uint8 from the head's regions; what other meshes show is unknown."""
        head, surface = rendering.head, rendering.surface
        if head is None or surface is None:
            have = f"labels in {', '.join(rendering.labels)}" if rendering.labels else "no labels"
            raise AnnotationError(
                f"segmentation in '{self.schema}' needs a head with its mesh or labels that map to it; "
                f"this rendering has no such mesh and {have}",
                hint="Set the annotator's `schema` to one that the generator writes, or leave the annotator out.",
            )
        if not self._reaches(head.region_schema):
            raise AnnotationError(
                f"no mapping from the head's regions '{head.region_schema}' to '{self.schema}' is known",
                hint=f"Write `{{name: segmentation, schema: {head.region_schema}}}`.",
            )
        face_id = surface.face_id.ravel()
        labels = np.zeros(face_id.size, np.uint8)
        labels[face_id >= surface.head_faces] = IGNORE
        on_head = np.flatnonzero((face_id >= 0) & (face_id < surface.head_faces))
        regions = head.regions_at(face_id.take(on_head), surface.barycentric.reshape(-1, 3).take(on_head, axis=0))
        stray = stray_ids(regions, head.region_schema)
        if stray:
            raise AnnotationError(f"the head's regions hold the ids {stray}, which '{head.region_schema}' lacks")
        labels[on_head] = self._tables[head.region_schema].take(regions)
        return labels.reshape(surface.face_id.shape)

    def _reaches(self, source: str) -> bool:
        """Whether labels of schema `source` can be written in ours; keeps the table."""
        if source not in self._tables:
            try:
                self._tables[source] = class_mapping(source, self.schema)
            except KeyError:
                return False
        return True


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `segmentation`."""
    register(
        "segmentation",
        SegmentationAnnotator,
        config=SegmentationAnnotatorConfig,
        summary="class of each pixel from the generator's labels or the head's regions, in a schema of choice",
        default=2,
    )
