"""Contact sheets: samples with everything they are annotated with, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synthforge.core.errors import DataError
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS

from .reader import ShardDataset

_BACKGROUND = (24, 24, 28)
_TEXT = (225, 225, 230)
_GAP = 4
# Anchors of the colour map viridis (van der Walt & Smith, CC0), dark to bright, evenly spaced.
_VIRIDIS = np.array(
    [
        *([68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129]),
        *([92, 200, 99], [170, 220, 50], [253, 231, 37]),
    ],
    np.float32,
)


@dataclass
class _Tile:
    """A picture of one field of one sample."""

    pixels: Image.Image
    caption: str = ""


def contact_sheet(
    dataset: ShardDataset,
    indices: Iterable[int],
    out: Path | str,
    columns: Sequence[str] | None = None,
    tile: int = 256,
) -> Path:
    """Draw a row of tiles for each sample into a PNG and return its path.

    columns: field names; None for the image and every field that can be drawn. Labels come in the colours of their
    schema with a legend below, depth from near (bright) to far with its range in metres, normals as (n + 1) / 2,
    2-D points over the image: filled where visible, hollow where not. tile: side of a tile in pixels.

    Raises DataError for a column that the dataset does not have or that has no picture, and for no samples.
    """
    indices = list(indices)
    if not indices:
        raise DataError("a contact sheet needs at least one sample")
    fields = _columns(dataset, columns)
    size = max(11, tile // 18)
    font = ImageFont.load_default(size)
    line = int(size * 1.5)
    samples = [dataset[index] for index in indices]
    legends = [(item, _present(samples, item)) for item in fields if item.kind == "label"]
    width = _GAP + len(fields) * (tile + _GAP)
    legend_lines = [_legend_rows(item, ids, font, size, width) for item, ids in legends]
    height = line + len(samples) * (tile + line + _GAP) + sum(len(rows) for rows in legend_lines) * line + _GAP
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, item in enumerate(fields):
        draw.text((_GAP + column * (tile + _GAP), line // 6), item.name, _TEXT, font)
    y = line
    for sample in samples:
        for column, item in enumerate(fields):
            drawn = _DRAW[item.kind](sample, item, tile)
            x = _GAP + column * (tile + _GAP)
            sheet.paste(drawn.pixels, (x, y))
            caption = drawn.caption or (sample["__key__"] if column == 0 else "")
            draw.text((x, y + tile + line // 6), caption, _TEXT, font)
        y += tile + line + _GAP
    for rows in legend_lines:
        for row in rows:
            for x, colour, text in row:
                draw.rectangle((x, y + line // 4, x + line // 2, y + 3 * line // 4), colour, outline=_TEXT)
                draw.text((x + line // 2 + 5, y + line // 6), text, _TEXT, font)
            y += line
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, "PNG")
    return out


def _columns(dataset: ShardDataset, names: Sequence[str] | None) -> list[Field]:
    known = {item.name: item for item in dataset.fields}
    if names is None:
        return [item for item in dataset.fields if item.kind in _DRAW]
    for name in names:
        if name not in known or known[name].kind not in _DRAW:
            drawable = ", ".join(item.name for item in dataset.fields if item.kind in _DRAW)
            raise DataError(f"'{name}' cannot be drawn", hint=f"Columns of this dataset: {drawable}.")
    return [known[name] for name in names]


def _scaled(pixels: np.ndarray, tile: int, *, smooth: bool) -> Image.Image:
    """A tile; maps keep hard edges when they grow, everything is averaged when it shrinks."""
    shrinks = max(pixels.shape[:2]) > tile
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
    factor = tile / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return Image.fromarray(pixels).resize(size, method)


def _draw_image(sample: dict[str, Any], item: Field, tile: int) -> _Tile:
    return _Tile(_scaled(sample[item.name], tile, smooth=True))


def _draw_label(sample: dict[str, Any], item: Field, tile: int) -> _Tile:
    return _Tile(_scaled(_palette(item.schema)[sample[item.name]], tile, smooth=False))


def _draw_depth(sample: dict[str, Any], item: Field, tile: int) -> _Tile:
    depth = sample[item.name]
    there = depth > 0
    if not there.any():
        return _Tile(_scaled(np.zeros((*depth.shape, 3), np.uint8), tile, smooth=False), "none")
    near, far = float(depth[there].min()), float(depth[there].max())
    place = (far - depth) / max(far - near, 1e-9) * (len(_VIRIDIS) - 1)
    anchors = np.arange(len(_VIRIDIS))
    colours = np.stack([np.interp(place, anchors, _VIRIDIS[:, c]) for c in range(3)], axis=-1)
    pixels = np.where(there[..., None], colours, 0).astype(np.uint8)
    return _Tile(_scaled(pixels, tile, smooth=False), f"{near:.3f}..{far:.3f} {item.unit or 'm'}")


def _draw_normals(sample: dict[str, Any], item: Field, tile: int) -> _Tile:
    normals = sample[item.name]
    pixels = ((normals + 1) * 127.5).astype(np.uint8)
    pixels[~normals.any(axis=-1)] = 0
    return _Tile(_scaled(pixels, tile, smooth=False))


def _draw_points(sample: dict[str, Any], item: Field, tile: int) -> _Tile:
    picture = _scaled(sample["image"], tile, smooth=True)
    draw = ImageDraw.Draw(picture)
    points = sample[item.name] * (picture.width / sample["image"].shape[1])
    visible = _visibility(sample, item, len(points))
    schema = POINT_SCHEMAS.get(item.schema)
    for a, b in schema.edges if schema is not None else ():
        if np.isfinite(points[[a, b]]).all():
            draw.line([tuple(map(float, points[a])), tuple(map(float, points[b]))], (90, 200, 255), 1)
    radius = max(1.5, tile / 128)
    for (x, y), seen in zip(points.tolist(), visible, strict=True):
        if np.isfinite((x, y)).all():
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=(120, 255, 90) if seen else None, outline=(20, 90, 10) if seen else (255, 70, 60))
    return _Tile(picture, f"{int(visible.sum())} of {len(points)} visible")


def _visibility(sample: dict[str, Any], item: Field, count: int) -> np.ndarray:
    flags = sample.get("landmark_visibility") if item.name == "landmarks2d" else None
    return flags if flags is not None and len(flags) == count else np.ones(count, np.bool_)


_DRAW: dict[str, Callable[[dict[str, Any], Field, int], _Tile]] = {
    "image": _draw_image,
    "points2d": _draw_points,
    "label": _draw_label,
    "depth": _draw_depth,
    "normals": _draw_normals,
}


def _palette(schema: str) -> np.ndarray:
    """(256,3) uint8; an unknown schema gets colours that differ between neighbouring ids."""
    if schema in CLASS_SCHEMAS:
        return CLASS_SCHEMAS[schema].palette
    ids = np.arange(256)
    return np.stack([ids * 67 % 256, ids * 131 % 256, ids * 197 % 256], axis=-1).astype(np.uint8)


def _present(samples: list[dict[str, Any]], item: Field) -> list[int]:
    return sorted({int(i) for sample in samples for i in np.unique(sample[item.name])})


_Entry = tuple[int, tuple[int, ...], str]


def _legend_rows(item: Field, ids: list[int], font: Any, size: int, width: int) -> list[list[_Entry]]:
    """Swatches as (x, colour, text), broken into rows."""
    palette, known = _palette(item.schema), CLASS_SCHEMAS.get(item.schema)
    rows: list[list[_Entry]] = [[]]
    x = _GAP
    for index in ids:
        name = known.classes[index] if known is not None and index < len(known) else f"{index}"
        step = int(font.getlength(name) + size * 2)
        if x + step > width and rows[-1]:
            rows.append([])
            x = _GAP
        rows[-1].append((x, tuple(int(v) for v in palette[index]), name))
        x += step
    return rows
