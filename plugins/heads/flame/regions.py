"""Which class of schema `flame20` a point on FLAME's surface has.

The published region masks are vertex lists; the paper also painted classes that FLAME lacks (brows, the two lips, the
inner mouth) onto the UV map. A user's own painted map is read as it is; without one those classes are drawn around the
68 landmarks, in UV, where the shape of the face is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from synthforge.core.errors import AssetError
from synthforge.core.foreign import boundary
from synthforge.core.images import read_map
from synthforge.core.schemas import CLASS_SCHEMAS

from .formats import FlameModel, LandmarkEmbedding, TextureLayout

#: the class schema that all of this answers in
SCHEMA = "flame20"

# Region of FLAME_masks.pkl -> class; later rows win where lists overlap.
REGION_CLASSES: tuple[tuple[str, str], ...] = (
    ("boundary", "neck"),
    ("neck", "neck"),
    ("scalp", "scalp"),
    ("face", "face"),
    ("forehead", "forehead"),
    ("eye_region", "eye_region"),
    ("right_eye_region", "right_eye_region"),
    ("left_eye_region", "left_eye_region"),
    ("nose", "nose"),
    ("lips", "upper_lip"),
    ("left_ear", "left_ear"),
    ("right_ear", "right_ear"),
    ("left_eyeball", "left_eyeball"),
    ("right_eyeball", "right_eyeball"),
)
# Painted shapes: (class, landmarks of a closed outline) or, for brows, of a line with a width in UV.
_OUTLINES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("upper_lip", (48, 49, 50, 51, 52, 53, 54, 64, 63, 62, 61, 60)),
    ("lower_lip", (54, 55, 56, 57, 58, 59, 48, 60, 67, 66, 65, 64)),
    ("inner_mouth", (60, 61, 62, 63, 64, 65, 66, 67)),
)
_BROWS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("right_eyebrow", (17, 18, 19, 20, 21)),
    ("left_eyebrow", (22, 23, 24, 25, 26)),
)
_BROW_WIDTH = 0.012
_PAINT_SIZE = 1024


class FlameRegions:
    """Classes by face, overridden by what is painted on the UV map.

    face_class (F,) uint8: class of each triangle; paint (S,S) uint8: class painted at a texel, 0 where nothing is
    (row 0 is v = 1). layout: the UV coordinates, needed with paint.
    """

    def __init__(
        self, face_class: np.ndarray, paint: np.ndarray | None = None, layout: TextureLayout | None = None
    ) -> None:
        if paint is not None and layout is None:
            raise ValueError("a painted label map needs the texture layout")
        self.face_class = face_class.astype(np.uint8)
        self.paint = paint
        self.layout = layout

    @staticmethod
    def missing() -> AssetError:
        """The error to raise where regions are asked for and no file was given."""
        return AssetError(
            "FLAME's regions are not known: FLAME_masks.pkl was not found",
            hint="`synthforge assets` lists what is needed, where to get it and its licence.",
        )

    def at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 at points given by face_id (N,) and barycentric (N,3)."""
        classes = self.face_class[face_id]
        if self.paint is None or self.layout is None:
            return classes
        uv = (self.layout.uv[self.layout.faces[face_id]] * barycentric[..., None]).sum(1)
        size = len(self.paint)
        column = np.clip((uv[:, 0] * size).astype(int), 0, size - 1)
        row = np.clip(((1 - uv[:, 1]) * size).astype(int), 0, size - 1)
        painted = self.paint[row, column]
        return np.where(painted > 0, painted, classes).astype(np.uint8)


def regions_from_masks(
    model: FlameModel,
    masks: Mapping[str, np.ndarray],
    embedding: LandmarkEmbedding | None = None,
    layout: TextureLayout | None = None,
) -> FlameRegions:
    """Regions from `FLAME_masks.pkl`, with brows, lips and mouth drawn around the landmarks if both are given.

    Raises: AssetError if none of the known regions is in the file.
    """
    if not any(name in masks for name, _ in REGION_CLASSES):
        raise AssetError(f"FLAME_masks.pkl holds none of the known regions; found {', '.join(masks) or 'nothing'}")
    named = CLASS_SCHEMAS[SCHEMA].id
    vertex = np.full(len(model.template), named("face"), np.uint8)
    for name, label in REGION_CLASSES:
        vertex[masks.get(name, np.zeros(0, np.int64))] = named(label)
    both = np.intersect1d(masks.get("eye_region", []), masks.get("forehead", [])).astype(np.int64)
    plain = vertex[both] == named("eye_region")
    vertex[both[plain]] = named("eye_region+forehead")
    behind = model.template[:, 2] < (model.joint_regressor @ model.template)[1, 2]
    vertex[(vertex == named("neck")) & behind] = named("neck_back")
    corners = vertex[model.faces]
    # the class that two corners share, else that of the first
    face_class = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    paint = None
    if embedding is not None and layout is not None:
        paint = paint_landmark_classes(embedding, layout)
    return FlameRegions(face_class, paint, layout if paint is not None else None)


def paint_landmark_classes(embedding: LandmarkEmbedding, layout: TextureLayout, size: int = _PAINT_SIZE) -> np.ndarray:
    """A UV map (size,size) uint8 with the classes that FLAME's masks lack, drawn around the 51 inner landmarks."""
    corners = layout.uv[layout.faces[embedding.static_faces]]
    uv = (corners * embedding.static_barycentric[..., None]).sum(1)
    pixels = np.stack([uv[:, 0] * size, (1 - uv[:, 1]) * size], 1)
    points = {17 + i: (float(x), float(y)) for i, (x, y) in enumerate(pixels)}
    canvas, named = Image.new("L", (size, size), 0), CLASS_SCHEMAS[SCHEMA].id
    draw = ImageDraw.Draw(canvas)
    for name, outline in _OUTLINES:
        draw.polygon([points[i] for i in outline], fill=named(name))
    width = max(1, round(_BROW_WIDTH * size))
    for name, line in _BROWS:
        draw.line([points[i] for i in line], fill=named(name), width=width, joint="curve")
    return np.asarray(canvas)


def read_painted_regions(path: str | Path) -> np.ndarray:
    """A user's painted label map: a square one-channel PNG of class ids of schema `flame20`, row 0 at v = 1.

    Raises: AssetError for another format, size or an id beyond the schema.
    """
    with boundary(
        path,
        "a label map of schema flame20",
        hint="Save class ids of schema flame20 as an 8-bit single-channel PNG.",
        error=AssetError,
    ):
        labels = read_map(Path(path), indices=True)
        if labels.ndim != 2 or labels.dtype != np.uint8 or len(labels) != labels.shape[1] or len(labels) > 8192:
            raise ValueError(f"it is {labels.dtype} of {labels.shape}, not a square of bytes")
    if labels.max() >= (classes := len(CLASS_SCHEMAS[SCHEMA])):
        raise AssetError(f"{path}: holds class {labels.max()}; schema {SCHEMA} ends at {classes - 1}")
    return labels
