"""What a model found in a photograph, drawn for people: face boxes, landmarks, classes with a legend, depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS, PointSchema
from ..datasets import crops
from .faces import Face

# One colour a region of the point schemas, told apart on skin and with the common kinds of colour blindness.
REGION_COLOURS = {
    "jaw": (86, 180, 233),
    "brows": (240, 228, 66),
    "nose": (0, 200, 140),
    "eyes": (255, 255, 255),
    "mouth": (255, 110, 180),
}
_OTHER = (255, 160, 60)
_BOX, _CROP = (255, 160, 60), (150, 150, 160)
_BACKGROUND, _TEXT = (24, 24, 28), (225, 225, 230)
# A perceptually even ramp from near (yellow) to far (violet): five anchors of viridis, reversed.
_RAMP = np.array([(253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84)], np.float64)
_GAP = 6
# More faces than this have their boxes and landmarks in the photograph alone.
MOST_ROWS = 8


def draw(
    image: np.ndarray, faces: Sequence[Face], *, points: str = "ibug68", classes: str = "synthforge", tile: int = 320
) -> Image.Image:
    """The photograph with numbered boxes and landmarks; below, a row a face: landmarks, classes, depth of its crop.

    image: (H,W,3) uint8. points and classes: the schemas of what was found. tile: side of a face's pictures in pixels.
    The classes that occur stand in a legend; depth runs from near (bright) to far within the head, with its range.
    """
    columns = [name for name in ("points", "labels", "depth") if any(getattr(f, name) is not None for f in faces)]
    width = max(2, len(columns)) * (tile + _GAP) + _GAP
    size = max(11, tile // 24)
    font = ImageFont.load_default(size)
    top = _whole(image, faces, points, width - 2 * _GAP, font)
    rows = [_row(image, face, columns, points, classes, tile, font) for face in faces[:MOST_ROWS]]
    legend = _legend(faces, classes, width, size, font)
    parts = [top, *rows, *([legend] if legend is not None else [])]
    sheet = Image.new("RGB", (width, sum(part.height + _GAP for part in parts) + _GAP), _BACKGROUND)
    y = _GAP
    for part in parts:
        sheet.paste(part, (_GAP, y))
        y += part.height + _GAP
    return sheet


def _whole(image: np.ndarray, faces: Sequence[Face], schema: str, width: int, font: Any) -> Image.Image:
    """The photograph `width` pixels wide, or as high as three quarters of that."""
    height, wide = image.shape[:2]
    factor = min(width / wide, 0.75 * width / height)
    size = (max(1, round(wide * factor)), max(1, round(height * factor)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for number, face in enumerate(faces):
        scaled = [value * factor - 0.5 for value in face.box]
        pen.rectangle(scaled, outline=_BOX, width=2)
        pen.text((scaled[0] + 4, scaled[1] + 2), str(number), _BOX, font, stroke_width=2, stroke_fill=(0, 0, 0))
        if face.points is not None:
            side = factor * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
            _draw_points(pen, face.points * factor - 0.5, schema, radius=min(4.0, max(1.0, side / 150)), line=1)
    if not faces:
        pen.text((8, 8), "no face found", _BOX, font, stroke_width=2, stroke_fill=(0, 0, 0))
    if picture.width < width:
        framed = Image.new("RGB", (width, picture.height), _BACKGROUND)
        framed.paste(picture, ((width - picture.width) // 2, 0))
        return framed
    return picture


def _row(
    image: np.ndarray, face: Face, columns: Sequence[str], points: str, classes: str, tile: int, font: Any
) -> Image.Image:
    seen, matrix = crops.crop(image, face.crop, tile)
    row = Image.new("RGB", (len(columns) * (tile + _GAP), tile), _BACKGROUND)
    for column, name in enumerate(columns):
        if name == "points" and face.points is not None:
            picture = _points(seen, matrix, face, points)
        elif name == "labels" and face.labels is not None:
            picture = _labels(seen, matrix, face, classes)
        elif name == "depth" and face.depth is not None:
            picture = _depth(seen, matrix, face, font)
        else:
            picture = Image.fromarray(seen)
        row.paste(picture, (column * (tile + _GAP), 0))
    return row


def _points(seen: np.ndarray, matrix: np.ndarray, face: Face, schema: str) -> Image.Image:
    # Drawn at four times the size and reduced, so that lines are smooth and sub-pixel places show.
    factor, tile = 4, seen.shape[0]
    canvas = Image.fromarray(seen).resize((tile * factor, tile * factor), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    box = crops.apply(matrix, np.array(face.box).reshape(2, 2)) * factor - 0.5
    pen.rectangle(box.ravel().tolist(), outline=_BOX, width=factor)
    assert face.points is not None
    _draw_points(pen, crops.apply(matrix, face.points) * factor - 0.5, schema, radius=7.0, line=3)
    return canvas.resize((tile, tile), Image.Resampling.BOX)


def _draw_points(pen: ImageDraw.ImageDraw, at: np.ndarray, schema: str, radius: float, line: int) -> None:
    known = POINT_SCHEMAS.get(schema)
    colours = _colours(known, len(at))
    places = [(float(x), float(y)) for x, y in at]
    for a, b in known.edges if known is not None else ():
        pen.line((*places[a], *places[b]), fill=colours[a], width=line)
    for (x, y), colour in zip(places, colours, strict=True):
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=colour, outline=(0, 0, 0) if radius > 4 else None
        )


def _colours(schema: PointSchema | None, count: int) -> list[tuple[int, int, int]]:
    colours = [_OTHER] * count
    for name, members in schema.regions.items() if schema is not None else ():
        for index in members:
            colours[index] = REGION_COLOURS.get(name, _OTHER)
    return colours


def _labels(seen: np.ndarray, matrix: np.ndarray, face: Face, schema: str) -> Image.Image:
    assert face.labels is not None
    label = crops.warp_label(face.labels, _of_region(matrix, face), seen.shape[0], fill=0)
    colours = palette(schema)[label].astype(np.float64)
    mixed = np.where((label == 0)[..., None], 0.55 * seen, 0.45 * seen + 0.55 * colours)
    return Image.fromarray(mixed.astype(np.uint8))


def _depth(seen: np.ndarray, matrix: np.ndarray, face: Face, font: Any) -> Image.Image:
    assert face.depth is not None
    tile = seen.shape[0]
    region = _of_region(matrix, face)
    # Through `warp_label`, as it looks up the pixel under each centre of whatever numbers a map holds.
    depth = crops.warp_label(face.depth, region, tile, fill=np.nan)  # type: ignore[arg-type]
    head = np.isfinite(depth)
    if face.labels is not None:
        head &= crops.warp_label(face.labels, region, tile, fill=0) != 0
    picture = (0.4 * seen).astype(np.float64)
    if not head.any():
        return Image.fromarray(picture.astype(np.uint8))
    near, far = (float(value) for value in np.percentile(depth[head], (1, 99)))
    level = ((np.nan_to_num(depth) - near) / max(far - near, 1e-9)).clip(0, 1) * (len(_RAMP) - 1)
    colours = np.stack([np.interp(level, range(len(_RAMP)), _RAMP[:, c]) for c in range(3)], axis=-1)
    picture[head] = 0.25 * seen[head] + 0.75 * colours[head]
    drawn = Image.fromarray(picture.astype(np.uint8))
    text = f"{1000 * near:+.0f} .. {1000 * far:+.0f} mm"
    ImageDraw.Draw(drawn).text((6, tile - 1.6 * font.size), text, _TEXT, font, stroke_width=2, stroke_fill=(0, 0, 0))
    return drawn


def _of_region(matrix: np.ndarray, face: Face) -> np.ndarray:
    """The map from pixels of the face's region to those of the crop."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ face.region[:2]
    return moved


def palette(schema: str) -> np.ndarray:
    """Colours (256,3) uint8 of a class schema; of an unknown one, colours that differ between neighbouring ids."""
    if schema in CLASS_SCHEMAS:
        return CLASS_SCHEMAS[schema].palette
    ids = np.arange(256)
    return np.stack([ids * 67 % 256, ids * 131 % 256, ids * 197 % 256], axis=-1).astype(np.uint8)


def _legend(faces: Sequence[Face], schema: str, width: int, size: int, font: Any) -> Image.Image | None:
    """Rows of swatches: round ones for the landmarks' regions, square ones for the classes that occur."""
    ids = sorted({int(i) for face in faces if face.labels is not None for i in np.unique(face.labels)} - {0})
    groups: list[list[tuple[tuple[int, ...], str]]] = [
        [(colour, name) for name, colour in REGION_COLOURS.items()] if any(f.points is not None for f in faces) else [],
        [(tuple(int(v) for v in palette(schema)[i]), _class_name(schema, i)) for i in ids],
    ]
    line, y, places = int(size * 1.6), 0, []
    for group, entries in enumerate(groups):
        x = 0
        for colour, name in entries:
            step = int(font.getlength(name) + size * 2.2)
            if x and x + step > width - 2 * _GAP:
                x, y = 0, y + line
            places.append((group, x, y, colour, name))
            x += step
        y += line if entries else 0
    if not places:
        return None
    picture = Image.new("RGB", (width - 2 * _GAP, y), _BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for group, x, y, colour, name in places:
        swatch = (x, y + 1, x + size, y + 1 + size)
        (pen.rectangle if group else pen.ellipse)(swatch, colour, outline=_TEXT)
        pen.text((x + 1.3 * size, y), name, _TEXT, font)
    return picture


def _class_name(schema: str, index: int) -> str:
    known = CLASS_SCHEMAS.get(schema)
    return known.classes[index] if known is not None and index < len(known) else str(index)
