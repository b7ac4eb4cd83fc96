"""What a model found in a photograph, drawn for people: boxes and landmarks, and a picture a task for every face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..datasets import crops, drawing

if TYPE_CHECKING:
    from .faces import Face

_GAP = 6
# More faces than this have their boxes and landmarks in the photograph alone.
MOST_ROWS = 8


def draw(image: np.ndarray, faces: Sequence[Face], *, tile: int = 320) -> np.ndarray:
    """The photograph with numbered boxes and landmarks; below, a row a face, a picture a task; legends last.

    image: (H,W,3) uint8; tile: side of a face's pictures in pixels. Returns (H,W,3) uint8.
    """
    names = list(dict.fromkeys(name for face in faces for name in face.values))
    width = max(2, len(names)) * (tile + _GAP) - _GAP
    size = max(11, tile // 24)
    parts = [_whole(image, faces, width, size)]
    parts += [drawing.stack(_row(image, face, tile, size), across=True, gap=_GAP) for face in faces[:MOST_ROWS]]
    for name in names:
        first = next(face for face in faces if name in face.values)
        task, schema = first.tasks[name], first.schemas[name]
        entries = task.legend([face.values[name] for face in faces if name in face.values], schema)
        if entries:
            parts.append(drawing.legend(entries, width, size, dots=task.locates))
    return drawing.frame(drawing.stack(parts, gap=_GAP), _GAP)


def _whole(image: np.ndarray, faces: Sequence[Face], width: int, size: int) -> np.ndarray:
    """The photograph `width` pixels wide, or as high as three quarters of that."""
    height, wide = image.shape[:2]
    factor = min(width / wide, 0.75 * width / height)
    picture = drawing.resize(image, max(1, round(wide * factor)), max(1, round(height * factor)))
    boxes = [[value * factor for value in face.box] for face in faces]
    picture = drawing.draw_boxes(picture, boxes, [str(i) for i in range(len(faces))], size)
    layers = []
    for face, box in zip(faces, boxes, strict=True):
        radius = min(4.0, max(1.0, max(box[2] - box[0], box[3] - box[1]) / 150))
        for name, value in face.values.items():
            if face.tasks[name].kind == "points2d":
                layers.append(drawing.Points(value * factor, face.schemas[name], radius=radius))
    picture = drawing.draw_points(picture, layers, fine=1)
    if not faces:
        picture = drawing.write_over(picture, "no face found", (8, 8), size, drawing.MARK)
    return drawing.frame(picture, 0, width)


def _row(image: np.ndarray, face: Face, tile: int, size: int) -> list[np.ndarray]:
    """A picture of `tile` pixels for each task's value."""
    seen, frame = crops.crop(image, face.crop, tile)[0], face.frame(tile)
    inside = None if face.labels is None else crops.region_seen(face.labels, frame, fill=0) != 0
    box = crops.apply(frame.matrix, np.reshape(face.box, (2, 2))).ravel().tolist()
    boxed = drawing.draw_boxes(seen, [box], width=1)
    pictures = []
    for name, value in face.values.items():
        task = face.tasks[name]
        drawn = task.draw(boxed if task.locates else seen, frame, value, face.schemas[name], inside)
        pictures.append(drawing.write_numbers(seen, name, value, size) if drawn is None else drawn)
    return pictures
