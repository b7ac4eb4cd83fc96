"""What a model found in a photograph, drawn for people: face boxes, landmarks, classes with a legend, depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..datasets import crops, drawing
from .faces import Face

_GAP = 6
# More faces than this have their boxes and landmarks in the photograph alone.
MOST_ROWS = 8


def draw(
    image: np.ndarray, faces: Sequence[Face], *, points: str = "ibug68", classes: str = "synthforge", tile: int = 320
) -> np.ndarray:
    """The photograph with numbered boxes and landmarks; below, a row a face: landmarks, classes, depth of its crop.

    image: (H,W,3) uint8. points and classes: the schemas of what was found. tile: side of a face's pictures in pixels.
    The classes that occur stand in a legend; depth runs from near (bright) to far within the head, with its range.
    Returns (H,W,3) uint8.
    """
    columns = [name for name in ("points", "labels", "depth") if any(getattr(f, name) is not None for f in faces)]
    width = max(2, len(columns)) * (tile + _GAP) - _GAP
    size = max(11, tile // 24)
    parts = [_whole(image, faces, points, width, size)]
    for face in faces[:MOST_ROWS]:
        seen, matrix = crops.crop(image, face.crop, tile)
        drawn = {"points": _points(seen, matrix, face, points), "labels": _labels(seen, matrix, face, classes)}
        drawn["depth"] = _depth(seen, matrix, face, size)
        parts.append(drawing.stack([drawn[name] for name in columns], across=True, gap=_GAP))
    if "points" in columns:
        parts.append(
            drawing.legend([(colour, name) for name, colour in drawing.REGIONS.items()], width, size, dots=True)
        )
    if labels := [face.labels[face.labels > 0] for face in faces if face.labels is not None]:
        parts.append(drawing.class_legend(labels, classes, width, size))
    return drawing.frame(drawing.stack(parts, gap=_GAP), _GAP)


def _whole(image: np.ndarray, faces: Sequence[Face], schema: str, width: int, size: int) -> np.ndarray:
    """The photograph `width` pixels wide, or as high as three quarters of that."""
    height, wide = image.shape[:2]
    factor = min(width / wide, 0.75 * width / height)
    picture = drawing.resize(image, max(1, round(wide * factor)), max(1, round(height * factor)))
    boxes = [[value * factor for value in face.box] for face in faces]
    picture = drawing.draw_boxes(picture, boxes, [str(i) for i in range(len(faces))], size)
    layers = []
    for face, box in zip(faces, boxes, strict=True):
        if face.points is not None:
            radius = min(4.0, max(1.0, max(box[2] - box[0], box[3] - box[1]) / 150))
            layers.append(drawing.Points(face.points * factor, schema, radius=radius))
    picture = drawing.draw_points(picture, layers, fine=1)
    if not faces:
        picture = drawing.write_over(picture, "no face found", (8, 8), size, drawing.MARK)
    return drawing.frame(picture, 0, width)


def _points(seen: np.ndarray, matrix: np.ndarray, face: Face, schema: str) -> np.ndarray:
    if face.points is None:
        return seen
    box = crops.apply(matrix, np.array(face.box).reshape(2, 2)).ravel().tolist()
    layer = drawing.Points(crops.apply(matrix, face.points), schema, radius=1.75)
    return drawing.draw_points(drawing.draw_boxes(seen, [box], width=1), [layer])


def _labels(seen: np.ndarray, matrix: np.ndarray, face: Face, schema: str) -> np.ndarray:
    if face.labels is None:
        return seen
    label = crops.warp_label(face.labels, _of_region(matrix, face), len(seen), fill=0)
    dimmed = (0.55 * seen).astype(np.uint8)
    return np.where((label == 0)[..., None], dimmed, drawing.draw_labels(label, schema, seen, 0.55))


def _depth(seen: np.ndarray, matrix: np.ndarray, face: Face, size: int) -> np.ndarray:
    if face.depth is None:
        return seen
    region, tile = _of_region(matrix, face), len(seen)
    # Through `warp_label`, as it looks up the pixel under each centre of whatever numbers a map holds.
    depth = crops.warp_label(face.depth, region, tile, fill=np.nan)
    head = np.isfinite(depth)
    if face.labels is not None:
        head &= crops.warp_label(face.labels, region, tile, fill=0) != 0
    near, far = drawing.depth_span(depth, head, cut=1)
    dimmed = np.where(head[..., None], seen, (0.4 * seen).astype(np.uint8))
    picture = drawing.draw_depth(depth, head, (near, far), dimmed)
    text = f"{1000 * near:+.0f} .. {1000 * far:+.0f} mm" if head.any() else ""
    return drawing.write_over(picture, text, (6, tile - 1.6 * size), size)


def _of_region(matrix: np.ndarray, face: Face) -> np.ndarray:
    """The map from pixels of the face's region to those of the crop."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ face.region[:2]
    return moved
