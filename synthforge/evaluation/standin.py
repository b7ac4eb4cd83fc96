"""Synthetic faces laid out as a real dataset, so that everything runs before the real one is at hand.

A stand-in carries a marker, and every report on it says that these are no real photographs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import DataError, UserError
from ..core.files import write_json
from .files import write_pts

MARKER = "STAND_IN.json"
DEFAULT_300W = {
    "afw": 8,
    "helen/trainset": 32,
    "lfpw/trainset": 16,
    "helen/testset": 8,
    "lfpw/testset": 8,
    "ibug": 8,
}


def read_stand_in(root: Path) -> str:
    """What stands in for real photographs under `root`, or an empty string; DataError for an unreadable marker."""
    marker = root / MARKER
    if not marker.is_file():
        return ""
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["what"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{marker} is not a stand-in marker: {error}", hint="Write the stand-in again.") from error


def write_300w_standin(
    dataset: Iterable[Mapping[str, Any]],
    root: Path,
    counts: Mapping[str, int] | None = None,
    *,
    image: str = "image",
    points: str = "landmarks2d",
    what: str = "synthetic faces rendered by SynthForge",
) -> dict[str, int]:
    """Write samples as a tree in the format of 300W: PNG images beside 1-based `.pts` files.

    dataset: mappings with `image` (H,W,3) uint8 and `points` (68,2) in pixels with centres at i + 0.5; they are dealt
    out in order. counts: faces by folder, in the official names. Returns the counts written. Raises UserError when the
    dataset runs out, and refuses a folder that holds annotations which are no stand-in.
    """
    wanted = dict(DEFAULT_300W if counts is None else counts)
    if not (root / MARKER).is_file() and root.is_dir() and next(root.rglob("*.pts"), None) is not None:
        raise UserError(
            f"{root} holds annotations that are no stand-in",
            hint="Write the stand-in into a folder of its own.",
        )
    # The marker comes first: half a stand-in must not pass for photographs either.
    write_json(root / MARKER, {"stand_in_for": "300w", "what": what, "counts": wanted})
    samples = iter(dataset)
    written = dict.fromkeys(wanted, 0)
    for folder, count in wanted.items():
        for number in range(count):
            sample = next(samples, None)
            if sample is None:
                raise UserError(
                    f"the dataset has {sum(written.values())} samples; {sum(wanted.values())} are needed",
                    hint="Generate more samples or ask for fewer faces.",
                )
            _write_face(root / folder / _stem(folder, number), np.asarray(sample[image]), np.asarray(sample[points]))
            written[folder] += 1
    return written


def _stem(folder: str, number: int) -> str:
    return f"image_{number + 1:04d}" if folder.startswith("lfpw") else f"{number + 1:06d}_1"


def _write_face(stem: Path, image: np.ndarray, points: np.ndarray) -> None:
    if points.shape != (68, 2):
        raise UserError(f"a stand-in for 300W needs 68 points in two dimensions, not {points.shape}")
    stem.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(stem.with_name(stem.name + ".png"))
    write_pts(stem.with_name(stem.name + ".pts"), points)
