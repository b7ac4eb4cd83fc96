"""Face boxes that a user gives, as JSON or CSV.

    CSV     file,x0,y0,x1,y1            one face a line; the first line may be this header
    JSON    {"a.jpg": [[x0, y0, x1, y1], ...], ...}   or   [{"file": "a.jpg", "box": [x0, y0, x1, y1]}, ...]

Coordinates are pixels of the upright photograph (EXIF orientation applied), the first pixel covering 0 to 1. `file` is
a path as given on the command line, a path relative to the list's own folder, or a file's name where only one of the
photographs has it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..datasets.crops import Box

HEADER = ("file", "x0", "y0", "x1", "y1")


def read_boxes(path: Path, photographs: Sequence[Path]) -> dict[Path, list[Box]]:
    """The boxes of each photograph, in the list's order; photographs that the list does not name have none.

    Raises DataError, naming the list and the line or entry, for a box that is malformed or empty, and when the list
    names none of the photographs.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a text file: {error}") from error
    rows = list(_json_rows(text, path) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, path))
    index = _Index(path.parent, photographs)
    found: dict[Path, list[Box]] = {photograph: [] for photograph in photographs}
    named = False
    for where, file, values in rows:
        box = _box(values, where)
        for photograph in index.find(file, where):
            found[photograph].append(box)
            named = True
    if not named:
        raise DataError(
            f"{path} names none of the {len(photographs)} photographs",
            hint=f"It should name files such as {photographs[0].name}." if photographs else None,
        )
    return found


class _Index:
    """Which photograph a name in the list means."""

    def __init__(self, folder: Path, photographs: Sequence[Path]) -> None:
        self.folder = folder
        self.whole: Mapping[Path, Path] = {photograph.resolve(): photograph for photograph in photographs}
        self.named: dict[str, list[Path]] = {}
        for photograph in photographs:
            self.named.setdefault(photograph.name, []).append(photograph)

    def find(self, file: str, where: str) -> list[Path]:
        for path in (self.folder / file, Path(file)):
            if (whole := path.resolve()) in self.whole:
                return [self.whole[whole]]
        same = self.named.get(file, [])
        if len(same) > 1:
            raise DataError(f"{where}: '{file}' could be {same[0]} or {same[1]}", hint="Give the path in the list.")
        return same


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, str, Any]]:
    reader = csv.reader(io.StringIO(text))
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if tuple(cell.lower() for cell in cells[:5]) == HEADER:
            continue
        if len(cells) < 5:
            raise DataError(f"{where}: '{','.join(row)[:60]}' is not {','.join(HEADER)}")
        yield where, cells[0], cells[1:5]


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if isinstance(data, dict):
        for file, boxes in data.items():
            if not isinstance(boxes, list):
                raise DataError(f"{path}, '{file}': a list of boxes [x0, y0, x1, y1] should stand here")
            many = boxes if all(isinstance(box, list) for box in boxes) else [boxes]
            yield from ((f"{path}, '{file}', box {i}", file, box) for i, box in enumerate(many))
        return
    for i, entry in enumerate(data):
        where = f"{path}, entry {i}"
        if not isinstance(entry, dict) or not {"file", "box"} <= set(entry):
            raise DataError(f"{where}: an object with 'file' and 'box' should stand here")
        yield where, str(entry["file"]), entry["box"]


def _box(values: Any, where: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {str(values)[:60]} is not a box x0, y0, x1, y1") from None
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x1 > x0 and y1 > y0):
        raise DataError(
            f"{where}: the box {x0:g}, {y0:g}, {x1:g}, {y1:g} is empty",
            hint="x1 and y1 are the right and lower edges, not width and height; x1 > x0 and y1 > y0.",
        )
    return x0, y0, x1, y1
