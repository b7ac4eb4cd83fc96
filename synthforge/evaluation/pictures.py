"""Cases drawn for people: prediction and ground truth over the photograph, side by side, as JPEG."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from ..core.frames import CropFrame
from ..core.interfaces import Task
from ..datasets import crops, drawing
from .protocol import Case

Panels = Sequence[tuple[str, np.ndarray]]


def draw_case(case: Case, task: Task, schema: str, size: int = 256) -> Panels:
    """Captioned panels (size,size,3) uint8: the crop the network saw, with what is known and what was predicted."""
    sample = case.sample
    image, matrix = crops.crop(sample.image, case.box, size)
    frame = CropFrame(matrix, size, (0, 0, sample.image.shape[1], sample.image.shape[0]))
    panels = task.panels(image, frame, sample.target, case.prediction, sample.mask, schema)
    if panels is not None:
        return panels
    letters = max(11, size // 24)

    def panel(value: np.ndarray) -> np.ndarray:
        drawn = task.draw(image, frame, value, schema)
        return drawing.write_numbers(image, task.name, value, letters) if drawn is None else drawn

    return [("photograph", image), ("annotation", panel(sample.target)), ("prediction", panel(case.prediction))]


def contact_sheet(cases: Sequence[Case], task: Task, schema: str, *, size: int = 224, columns: int = 4) -> np.ndarray:
    """Faces in rows, each with what is known and what was predicted, its key and its error written over it.

    For landmarks one picture a face (annotation green, prediction red), else every panel of `draw_case` side by side.
    Raises ValueError without faces.
    """
    if not cases:
        raise ValueError("there is no face to draw")
    tiles = []
    for case in cases:
        panels = [panel for _, panel in draw_case(case, task, schema, size)]
        row = drawing.stack(panels[-1:] if task.locates else panels, across=True)
        text = drawing.caption(f"{case.error:.3g}  {case.sample.item.key}", row.shape[1], 11)
        tiles.append(drawing.stack([text, row]))
    columns = max(1, min(len(tiles), columns * size // tiles[0].shape[1]))
    rows = [drawing.stack(tiles[at : at + columns], across=True) for at in range(0, len(tiles), columns)]
    return drawing.stack(rows)


def jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """A picture (H,W,3) uint8 as the bytes of a JPEG file."""
    return drawing.encoded(image, "JPEG", quality=quality, optimize=True)


def embed(image: np.ndarray, quality: int = 85) -> str:
    """A picture (H,W,3) uint8 as a `data:` URL (JPEG), so that a report needs no other file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image, quality)).decode("ascii")
