"""Contact sheets: samples with everything they are annotated with, in a grid, as one PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.errors import DataError
from synthforge.core.files import write_bytes
from synthforge.core.progress import progress_bar
from synthforge.core.records import Field
from synthforge.core.storage import place

from . import drawing, layers
from .reader import ShardDataset

_GAP, _BETWEEN = 4, 16
_ASPECT = 1.5  # width over height that sheets come close to
_MOST_PIXELS = 12_000_000  # of a sheet whose tiles are chosen here
TILES = (256, 192, 160, 128, 96, 64)


def contact_sheet(
    dataset: ShardDataset,
    indices: Iterable[int],
    out: Path | str,
    columns: Sequence[str] | None = None,
    tile: int | None = None,
) -> Path:
    """Draw samples into a PNG, a strip of tiles for each, as many strips side by side as make a sheet; return its path.

    columns: field names; None for the image and every field that can be drawn. Labels come in the colours of their
    schema with a legend below; depth from near (bright) to far with its range in metres; normals as (n + 1) / 2;
    points over the image, hollow where not visible. tile: side of a tile in pixels; None for the largest of `TILES`
    that keeps the sheet below 12 megapixels.

    Raises DataError for a column that the dataset does not have or that has no picture, and for no samples.
    """
    indices = list(indices)
    if not indices:
        raise DataError("a contact sheet needs at least one sample")
    fields = columns_of(dataset, columns)
    blocks, tile = _grid(len(indices), len(fields), tile)
    size = max(11, tile // 18)
    legends: dict[str, set[int]] = {}

    def row(parts: Sequence[np.ndarray]) -> np.ndarray:
        return drawing.stack(parts, across=True, gap=_GAP)

    heading, strips = row([drawing.caption(item.name, tile, size) for item in fields]), []
    with progress_bar("draw samples", len(indices), unit="samples") as advance:
        for index in indices:
            sample, tiles = dataset[index], []
            for column, item in enumerate(fields):
                shown = layers.layer(sample, item, dataset.fields)
                below = drawing.caption(shown.note or (sample["__key__"] if column == 0 else ""), tile, size)
                tiles.append(drawing.stack([drawing.pad(tile_of(sample, item, shown, tile, size), tile), below]))
                if item.kind == "label":
                    legends.setdefault(item.name, set()).update(np.unique(sample[item.name]).tolist())
            strips.append(row(tiles))
            advance(1)
    across = [strips[at : at + blocks] for at in range(0, len(strips), blocks)]
    rows = [drawing.stack([heading] * len(across[0]), across=True, gap=_BETWEEN)]
    rows += [drawing.stack(each, across=True, gap=_BETWEEN) for each in across]
    width = rows[0].shape[1]
    rows += [
        drawing.class_legend([np.array(sorted(legends[item.name]))], item.schema, width, size)
        for item in fields
        if item.kind == "label"
    ]
    write_bytes(place(out), drawing.marked(drawing.frame(drawing.stack(rows, gap=_GAP), _GAP)))
    return place(out)


def _grid(count: int, fields: int, tile: int | None) -> tuple[int, int]:
    """Samples side by side, so that the sheet comes close to `_ASPECT`, and the side of a tile."""

    def off(blocks: int) -> float:
        return abs(math.log(blocks * fields / (1.12 * math.ceil(count / blocks) * _ASPECT)))

    blocks = min(range(1, count + 1), key=off)
    tiles = blocks * math.ceil(count / blocks) * fields
    fitting = (each for each in TILES if 1.12 * tiles * each**2 <= _MOST_PIXELS)
    return blocks, tile or next(fitting, TILES[-1])


def columns_of(dataset: ShardDataset, names: Sequence[str] | None) -> list[Field]:
    """The fields of these names, or of names that begin so; None for all that can be drawn. Raises DataError."""
    drawable = layers.drawable(dataset.fields)
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


def tile_of(sample: Mapping[str, Any], item: Field, shown: layers.Layer, tile: int, size: int) -> np.ndarray:
    """The picture of a layer, its longer side `tile` pixels; size: of letters."""
    if shown.pixels is not None:
        return drawing.fit(shown.pixels, tile, smooth=item.kind == "image")
    picture = drawing.fit(sample["image"], tile)
    if shown.numbers:
        names = {path.removeprefix(f"{item.name}."): value for path, value in shown.numbers.items()}
        return drawing.draw_numbers(picture, names, size)
    factor = picture.shape[1] / sample["image"].shape[1]
    return drawing.draw_marks(picture, [mark.scaled(factor, tile / 192) for mark in shown.marks])
