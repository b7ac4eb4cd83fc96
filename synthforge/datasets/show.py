"""Contact sheets: samples with everything they are annotated with, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.errors import DataError
from synthforge.core.files import write_bytes
from synthforge.core.records import Field
from synthforge.core.storage import place

from . import drawing
from .checks import companions
from .reader import ShardDataset

_GAP = 4


def contact_sheet(
    dataset: ShardDataset,
    indices: Iterable[int],
    out: Path | str,
    columns: Sequence[str] | None = None,
    tile: int = 256,
) -> Path:
    """Draw a row of tiles for each sample into a PNG and return its path.

    columns: field names; None for the image and every field that can be drawn. Labels come in the colours of their
    schema with a legend below; depth from near (bright) to far with its range in metres; normals as (n + 1) / 2;
    2-D points over the image, hollow where not visible. tile: side of a tile in pixels.

    Raises DataError for a column that the dataset does not have or that has no picture, and for no samples.
    """
    indices = list(indices)
    if not indices:
        raise DataError("a contact sheet needs at least one sample")
    fields = _columns(dataset, columns)
    size = max(11, tile // 18)
    flags = {name: more["flags"].name for name, more in companions(dataset.fields).items() if "flags" in more}
    samples = [dataset[index] for index in indices]

    def row(parts: Sequence[np.ndarray]) -> np.ndarray:
        return drawing.stack(parts, across=True, gap=_GAP)

    rows = [row([drawing.caption(item.name, tile, size) for item in fields])]
    for sample in samples:
        tiles = []
        for column, item in enumerate(fields):
            picture, text = _DRAW[item.kind](sample, item, tile, sample.get(flags.get(item.name, "")))
            below = drawing.caption(text or (sample["__key__"] if column == 0 else ""), tile, size)
            tiles.append(drawing.stack([drawing.pad(picture, tile), below]))
        rows.append(row(tiles))
    rows += [
        drawing.class_legend([sample[item.name] for sample in samples], item.schema, rows[0].shape[1], size)
        for item in fields
        if item.kind == "label"
    ]
    write_bytes(place(out), drawing.marked(drawing.frame(drawing.stack(rows, gap=_GAP), _GAP)))
    return place(out)


def _columns(dataset: ShardDataset, names: Sequence[str] | None) -> list[Field]:
    drawable = [item for item in dataset.fields if item.kind in _DRAW]
    if names is None:
        return drawable
    chosen = []
    for name in names:
        meant = [item for item in drawable if item.name == name] or [
            item
            for item in drawable
            if item.name.startswith(name)  # `landmarks` for `landmarks2d`
        ]
        if len(meant) != 1:
            have = ", ".join(item.name for item in drawable)
            raise DataError(f"'{name}' cannot be drawn", hint=f"Columns of this dataset: {have}.")
        chosen += meant
    return chosen


def _draw_image(sample: dict[str, Any], item: Field, tile: int, seen: Any) -> tuple[np.ndarray, str]:
    return drawing.fit(sample[item.name], tile), ""


def _draw_label(sample: dict[str, Any], item: Field, tile: int, seen: Any) -> tuple[np.ndarray, str]:
    return drawing.fit(drawing.draw_labels(sample[item.name], item.schema), tile, smooth=False), ""


def _draw_depth(sample: dict[str, Any], item: Field, tile: int, seen: Any) -> tuple[np.ndarray, str]:
    depth = sample[item.name]
    near, far = drawing.depth_span(depth, depth > 0)
    picture = drawing.fit(drawing.draw_depth(depth, depth > 0, (near, far)), tile, smooth=False)
    return picture, f"{near:.3f}..{far:.3f} {item.unit or 'm'}" if far else "none"


def _draw_normals(sample: dict[str, Any], item: Field, tile: int, seen: Any) -> tuple[np.ndarray, str]:
    return drawing.fit(drawing.draw_normals(sample[item.name]), tile, smooth=False), ""


def _draw_uv(sample: dict[str, Any], item: Field, tile: int, seen: Any) -> tuple[np.ndarray, str]:
    u, v = np.moveaxis((sample[item.name] * 255).astype(np.uint8), -1, 0)
    return drawing.fit(np.stack([u, v, np.zeros_like(u)], -1), tile, smooth=False), "u red, v green"


def _draw_points(sample: dict[str, Any], item: Field, tile: int, seen: np.ndarray | None) -> tuple[np.ndarray, str]:
    picture = drawing.fit(sample["image"], tile)
    points = sample[item.name] * (picture.shape[1] / sample["image"].shape[1])
    visible = seen if seen is not None and len(seen) == len(points) else np.ones(len(points), np.bool_)
    layer = drawing.Points(points, item.schema, visible=visible, radius=max(1.5, tile / 128))
    return drawing.draw_points(picture, [layer]), f"{int(visible.sum())} of {len(points)} visible"


_DRAW: dict[str, Callable[[dict[str, Any], Field, int, Any], tuple[np.ndarray, str]]] = {
    "image": _draw_image,
    "points2d": _draw_points,
    "label": _draw_label,
    "depth": _draw_depth,
    "normals": _draw_normals,
    "uv": _draw_uv,
}
