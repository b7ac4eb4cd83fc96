"""Cases drawn for people: prediction and ground truth over the photograph, side by side, as JPEG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS
from ..datasets import crops
from .metrics import align
from .protocol import Case

TRUTH, PREDICTION = (70, 220, 120), (255, 80, 60)
_ERROR = np.array([255, 60, 60], np.float64)
# A perceptually even ramp from near (yellow) to far (violet): five anchors of viridis, reversed.
_RAMP = np.array([(253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84)], np.float64)

Panels = Sequence[tuple[str, Image.Image]]


def draw_case(case: Case, task: str, schema: str, size: int = 256) -> Panels:
    """Captioned panels of `size` pixels: the crop the network saw, with what is known and what was predicted."""
    image, matrix = crops.crop(case.sample.image, case.box, size)
    if task == "keypoints":
        return _points(case, schema, image, matrix)
    if task == "segmentation":
        return _labels(case, schema, image, matrix)
    return _depth(case, image, matrix)


def contact_sheet(cases: Sequence[Case], task: str, schema: str, *, size: int = 224, columns: int = 4) -> Image.Image:
    """Faces in rows, each with what is known and what was predicted, its key and its error written over it.

    For landmarks one picture a face (annotation green, prediction red), else every panel of `draw_case` side by side.
    Raises ValueError without faces.
    """
    if not cases:
        raise ValueError("there is no face to draw")
    tiles = []
    for case in cases:
        panels = [panel for _, panel in draw_case(case, task, schema, size)]
        chosen = panels[-1:] if task == "keypoints" else panels
        tile = Image.new("RGB", (size * len(chosen), size + 16), (255, 255, 255))
        for place, panel in enumerate(chosen):
            tile.paste(panel.convert("RGB"), (place * size, 16))
        ImageDraw.Draw(tile).text((3, 2), f"{case.error:.3g}  {case.sample.item.key}", fill=(0, 0, 0))
        tiles.append(tile)
    width, height = tiles[0].size
    columns = max(1, min(len(tiles), columns * size // width))
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), (255, 255, 255))
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * width, place // columns * height))
    return sheet


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """An image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def embed(image: Image.Image, quality: int = 85) -> str:
    """An image as a `data:` URL (JPEG), so that a report needs no other file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image, quality)).decode("ascii")


def _points(case: Case, schema: str, image: np.ndarray, matrix: np.ndarray) -> Panels:
    known = draw_points(image, schema, [(crops.apply(matrix, case.sample.target), TRUTH)])
    both = draw_points(
        image,
        schema,
        [
            (crops.apply(matrix, case.sample.target), TRUTH),
            (crops.apply(matrix, case.prediction), PREDICTION),
        ],
    )
    return [("annotation", known), ("prediction (red) over annotation", both)]


def draw_points(
    image: np.ndarray, schema: str, layers: Sequence[tuple[np.ndarray, tuple[int, int, int]]]
) -> Image.Image:
    """Points (N,2) of a schema with their edges over an image (H,W,3) uint8, one colour a layer.

    Drawn at four times the size and reduced, so that lines are smooth and sub-pixel places show.
    """
    factor = 4
    height, width = image.shape[:2]
    canvas = Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for points, colour in layers:
        at = [tuple(point) for point in (points * factor - 0.5).tolist()]  # Pillow draws around pixel centres
        for a, b in POINT_SCHEMAS[schema].edges:
            pen.line((*at[a], *at[b]), fill=colour, width=3)
        for x, y in at:
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    return canvas.resize((width, height), Image.Resampling.BOX)


def _labels(case: Case, schema: str, image: np.ndarray, matrix: np.ndarray) -> Panels:
    size = image.shape[0]
    known = crops.warp_label(case.sample.target, matrix, size)
    given = crops.warp_label(case.prediction, matrix, size)
    wrong = (known != given) & (known != IGNORE) & (given != IGNORE)
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.6
    grey[wrong] = 0.3 * grey[wrong] + 0.7 * _ERROR
    return [
        ("photograph", Image.fromarray(image)),
        ("annotation", _overlay(image, known, schema)),
        ("prediction", _overlay(image, given, schema)),
        ("where they differ", Image.fromarray(grey.astype(np.uint8))),
    ]


def _overlay(image: np.ndarray, label: np.ndarray, schema: str) -> Image.Image:
    colours = CLASS_SCHEMAS[schema].palette[label].astype(np.float64)
    mixed = np.where((label == IGNORE)[..., None], image, 0.4 * image + 0.6 * colours)
    return Image.fromarray(mixed.astype(np.uint8))


def _depth(case: Case, image: np.ndarray, matrix: np.ndarray) -> Panels:
    target = case.sample.target
    mask = np.ones(target.shape, bool) if case.sample.mask is None else case.sample.mask
    mask = mask & (target > 0)
    scale, shift = align(case.prediction, target, mask)
    low, high = (float(value) for value in np.percentile(target[mask], (2, 98)))

    def panel(depth: np.ndarray, inside: np.ndarray) -> Image.Image:
        level = np.clip((depth - low) / max(high - low, 1e-9), 0, 1) * (len(_RAMP) - 1)
        colours = np.stack([np.interp(level, range(len(_RAMP)), _RAMP[:, c]) for c in range(3)], axis=-1)
        colours[~inside] = 0
        return Image.fromarray(crops.crop(colours.astype(np.uint8), case.box, image.shape[0])[0])

    return [
        ("photograph", Image.fromarray(image)),
        ("annotation", panel(target, mask)),
        ("prediction, aligned", panel(scale * case.prediction + shift, np.ones_like(mask))),
    ]
