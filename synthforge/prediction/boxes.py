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
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.foreign import boundary, decimal, parse_json, read_text
from ..datasets.crops import Box

HEADER = ("file", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class BoxList:
    """found: the boxes of each photograph, in the list's order; others: names in the list that no photograph has."""

    found: Mapping[Path, Sequence[Box]]
    others: Sequence[str] = ()


def read_boxes(path: Path, photographs: Sequence[Path]) -> BoxList:
    """The boxes of each photograph; photographs that the list does not name have none.

    It does not matter how an accent is written (Unicode's composed and decomposed forms).

    Raises DataError, naming the list and the line or entry, for a box that is malformed or empty, and when the list
    names none of the photographs.
    """
    text = read_text(path)
    rows = list(_json_rows(text, path) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, path))
    index = _Index(path.parent, photographs)
    found: dict[Path, list[Box]] = {photograph: [] for photograph in photographs}
    others: dict[str, None] = {}
    for where, file, values in rows:
        box = _box(values, where)
        named = index.find(file, where)
        for photograph in named:
            found[photograph].append(box)
        if not named:
            others[file] = None
    if not any(found.values()):
        raise DataError(
            f"{path} names none of the {len(photographs)} photographs",
            hint=f"It should name files such as {photographs[0].name}." if photographs else None,
        )
    return BoxList(found, list(others))


class _Index:
    """Which photograph a name in the list means."""

    def __init__(self, folder: Path, photographs: Sequence[Path]) -> None:
        self.folder = folder
        self.exact = {str(photograph.resolve()): photograph for photograph in photographs}
        self.folded: dict[str, list[Path]] = {}
        self.named: dict[str, list[Path]] = {}
        for photograph in photographs:
            self.folded.setdefault(_composed(str(photograph.resolve())), []).append(photograph)
            self.named.setdefault(_composed(photograph.name), []).append(photograph)

    def find(self, file: str, where: str) -> list[Path]:
        try:
            places = [str(path.resolve()) for path in (self.folder / file, Path(file))]
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{where}: {file[:80]!r} is no path: {error}") from error
        for place in places:
            if place in self.exact:
                return [self.exact[place]]
        same = next(filter(None, (self.folded.get(_composed(place)) for place in places)), None)
        same = same or self.named.get(_composed(file), [])
        if len(same) > 1:
            raise DataError(f"{where}: '{file}' could be {same[0]} or {same[1]}", hint="Give the path in the list.")
        return same


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, str, Any]]:
    with boundary(path, "CSV"):
        reader = csv.reader(io.StringIO(text))
        rows = [(reader.line_num, row) for row in reader]
    for number, row in rows:
        where = f"{path}, line {number}"
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if tuple(cell.lower() for cell in cells[:5]) == HEADER:
            continue
        if len(cells) < 5:
            raise DataError(f"{where}: '{','.join(row)[:60]}' is not {','.join(HEADER)}")
        yield where, cells[0], cells[1:5]


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, str, Any]]:
    data = parse_json(text.encode(), path)
    if isinstance(data, dict):
        for file, boxes in data.items():
            if not isinstance(boxes, list):
                raise DataError(f"{path}, '{file}': a list of boxes [x0, y0, x1, y1] is expected here")
            many = boxes if all(isinstance(box, list) for box in boxes) else [boxes]
            yield from ((f"{path}, '{file}', box {i}", file, box) for i, box in enumerate(many))
        return
    for i, entry in enumerate(data):
        where = f"{path}, entry {i}"
        if not isinstance(entry, dict) or not {"file", "box"} <= set(entry):
            raise DataError(f"{where}: an object with 'file' and 'box' is expected here")
        yield where, str(entry["file"]), entry["box"]


def _box(values: Any, where: str) -> Box:
    try:
        if any(isinstance(value, bool) for value in values):
            raise ValueError
        x0, y0, x1, y1 = (decimal(str(value)) for value in values)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {str(values)[:60]} is not a box x0, y0, x1, y1") from None
    if not (x1 > x0 and y1 > y0):
        raise DataError(
            f"{where}: the box {x0:g}, {y0:g}, {x1:g}, {y1:g} is empty",
            hint="x1 and y1 are the right and lower edges, not width and height; x1 > x0 and y1 > y0.",
        )
    return x0, y0, x1, y1
