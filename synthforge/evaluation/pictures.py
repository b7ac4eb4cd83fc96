"""Cases drawn for people: prediction and ground truth over the photograph, side by side, as JPEG."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from ..datasets import crops, drawing
from .metrics import align
from .protocol import Case

Panels = Sequence[tuple[str, np.ndarray]]


def draw_case(case: Case, task: str, schema: str, size: int = 256) -> Panels:
    """Captioned panels (size,size,3) uint8: the crop the network saw, with what is known and what was predicted."""
    image, matrix = crops.crop(case.sample.image, case.box, size)
    if task == "keypoints":
        return _points(case, schema, image, matrix)
    if task == "segmentation":
        return _labels(case, schema, image, matrix)
    return _depth(case, image)


def contact_sheet(cases: Sequence[Case], task: str, schema: str, *, size: int = 224, columns: int = 4) -> np.ndarray:
    """Faces in rows, each with what is known and what was predicted, its key and its error written over it.

    For landmarks one picture a face (annotation green, prediction red), else every panel of `draw_case` side by side.
    Raises ValueError without faces.
    """
    if not cases:
        raise ValueError("there is no face to draw")
    tiles = []
    for case in cases:
        panels = [panel for _, panel in draw_case(case, task, schema, size)]
        row = drawing.stack(panels[-1:] if task == "keypoints" else panels, across=True)
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


def _points(case: Case, schema: str, image: np.ndarray, matrix: np.ndarray) -> Panels:
    known = drawing.Points(crops.apply(matrix, case.sample.target), schema, drawing.TRUTH)
    given = drawing.Points(crops.apply(matrix, case.prediction), schema, drawing.PREDICTION)
    return [
        ("annotation", drawing.draw_points(image, [known])),
        ("prediction (red) over annotation", drawing.draw_points(image, [known, given])),
    ]


def _labels(case: Case, schema: str, image: np.ndarray, matrix: np.ndarray) -> Panels:
    known, given = (crops.warp_label(value, matrix, len(image)) for value in (case.sample.target, case.prediction))
    return [
        ("photograph", image),
        ("annotation", drawing.draw_labels(known, schema, image)),
        ("prediction", drawing.draw_labels(given, schema, image)),
        ("where they differ", drawing.draw_differences(known, given, image)),
    ]


def _depth(case: Case, image: np.ndarray) -> Panels:
    target = case.sample.target
    mask = (target > 0) if case.sample.mask is None else case.sample.mask & (target > 0)
    scale, shift = align(case.prediction, target, mask)
    span = drawing.depth_span(target, mask, cut=2)

    def panel(depth: np.ndarray, inside: np.ndarray) -> np.ndarray:
        return crops.crop(drawing.draw_depth(depth, inside, span), case.box, len(image))[0]

    return [
        ("photograph", image),
        ("annotation", panel(target, mask)),
        ("prediction, aligned", panel(scale * case.prediction + shift, np.ones_like(mask))),
    ]
