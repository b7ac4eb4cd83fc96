"""What a model says of one face, in the pixels of its photograph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import UserError
from ..core.frames import Box, CropFrame
from ..core.interfaces import Task
from ..core.records import FieldKind
from ..core.schemas import translate_points
from ..datasets import crops


@dataclass(frozen=True)
class Face:
    """One face of a photograph; coordinates are pixels of the photograph, pixel i covers [i, i + 1).

    box: the tight box of the landmarks that the first crop was made from. crop: the square the model saw last; region
    (left, top, right, bottom): the whole pixels that maps cover. values: by task, see `Task.to_photograph`; tasks,
    schemas: the tasks, and the schemas of their values. image: the photograph (H,W,3) uint8. score: the detector's, in
    its own scale, None where it gives none or the box was given.
    """

    box: Box
    crop: Box
    region: tuple[int, int, int, int]
    values: Mapping[str, np.ndarray]
    tasks: Mapping[str, Task] = field(repr=False)
    schemas: Mapping[str, str]
    image: np.ndarray = field(repr=False)
    score: float | None = None

    @property
    def points(self) -> np.ndarray | None:
        """Landmarks (N,2) float64 in pixels; None, as below, where the model has no task for them."""
        return self._of("points2d")

    def points_as(self, schema: str) -> np.ndarray:
        """Landmarks (N,2) of another point schema, as a mapping that a plugin offers makes them from `points`.

        Raises UserError where the model has no landmarks, and PluginError for a schema that nothing leads to.
        """
        name = next((name for name in self.values if self.tasks[name].kind == "points2d"), None)
        if name is None:
            raise UserError("the model has no landmarks", hint=f"It has: {', '.join(self.values)}.")
        return translate_points(self.values[name], self.schemas[name], schema)

    @property
    def labels(self) -> np.ndarray | None:
        """Class ids (h,w) uint8 over `region`."""
        return self._of("label")

    @property
    def depth(self) -> np.ndarray | None:
        """Camera z (h,w) float32 over `region`, in metres, relative to the head's median where it was learned so."""
        return self._of("depth")

    @property
    def normals(self) -> np.ndarray | None:
        """Unit normals (h,w,3) float32 over `region`: x right, y down, z into the picture."""
        return self._of("normals")

    @property
    def visibility(self) -> np.ndarray | None:
        """Which landmarks the photograph shows (N,) bool.

        None for every model and task that come with SynthForge: none learns it. A task of kind `flags` would.
        """
        return self._of("flags")

    def _of(self, kind: FieldKind) -> np.ndarray | None:
        return next((value for name, value in self.values.items() if self.tasks[name].kind == kind), None)

    def frame(self, size: int) -> CropFrame:
        """The face's crop at `size` pixels."""
        return CropFrame(crops.box_matrix(self.crop, size), size, self.region)

    def draw(self, tile: int = 320) -> Image.Image:
        """The photograph with this face's box and landmarks, and a picture of `tile` pixels for each task below."""
        from .overlay import draw

        return Image.fromarray(draw(self.image, [self], tile=tile))

    def to_json(self, index: int = 0) -> dict[str, Any]:
        """What the records of `synthforge predict` say of a face, plain data; maps are named, not contained."""
        record: dict[str, Any] = {
            "landmarks_box": _rounded(self.box),
            "crop": _rounded(self.crop),
            "region": list(self.region),
        }
        for name, value in self.values.items():
            record |= self.tasks[name].record(value, self.schemas[name], index)
        return record


class Faces(list[Face]):
    """The faces of one photograph, `image` (H,W,3) uint8: a list, drawn and written as a whole."""

    def __init__(self, faces: Iterable[Face], image: np.ndarray) -> None:
        super().__init__(faces)
        self.image = image

    def draw(self, tile: int = 320) -> Image.Image:
        """The photograph with numbered boxes and landmarks; below, a row a face with pictures of `tile` pixels."""
        from .overlay import draw

        return Image.fromarray(draw(self.image, self, tile=tile))

    def to_json(self) -> list[dict[str, Any]]:
        """`Face.to_json` of each."""
        return [face.to_json(index) for index, face in enumerate(self)]


def _rounded(values: Box) -> list[float]:
    return [round(float(value), 3) for value in values]
