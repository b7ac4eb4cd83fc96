"""Photographs as people have them: folders and patterns, upright or not, grey, transparent, 16 bits a channel."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import DataError, UserError
from ..core.images import decode_photograph

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# What `synthforge predict` writes itself, so that a folder can be its own --out.
OWN_SUFFIXES = (".overlay.jpg", ".overlay.png", ".labels.png")


@dataclass(frozen=True)
class Photograph:
    """A file to predict, and the name its results get: unique among the files of one call."""

    path: Path
    name: str


def list_photographs(arguments: Sequence[str], out: Path | None = None) -> list[Photograph]:
    """Files, folders (their images, not their subfolders') and patterns (`**` included), sorted within each argument.

    A file that several arguments give counts once. Results are named after the file; where two files share a name,
    theirs have a hash of their folder and suffix behind it. out: folder of results; what lies below it, and what this
    command wrote, is passed over unless it is named itself. Raises UserError for an argument that gives nothing.
    """
    paths: dict[Path, Path] = {}
    for argument in arguments:
        found = _expand(argument, out)
        if not found:
            what = "holds no images" if Path(argument).is_dir() else "does not exist and matches no file"
            raise UserError(f"{argument} {what}", hint=f"Images end in {', '.join(SUFFIXES)}; case does not matter.")
        for path in found:
            paths.setdefault(path.resolve(), path)
    # Case-insensitive: on some file systems `A.json` and `a.json` are one file.
    shared = Counter(path.stem.lower() for path in paths.values())
    return [Photograph(path, _name(path, whole, shared)) for whole, path in paths.items()]


def _expand(argument: str, out: Path | None) -> list[Path]:
    path = Path(argument)
    if path.is_file():
        return [path]
    candidates = path.iterdir() if path.is_dir() else map(Path, glob.glob(argument, recursive=True))
    below = out.resolve() if out is not None and (not path.is_dir() or out.resolve() != path.resolve()) else None
    return sorted(
        p
        for p in candidates
        if p.is_file()
        and p.suffix.lower() in SUFFIXES
        and not p.name.endswith(OWN_SUFFIXES)
        and (below is None or below not in p.resolve().parents)
    )


def _name(path: Path, whole: Path, shared: Counter[str]) -> str:
    if shared[path.stem.lower()] == 1:
        return path.stem
    return f"{path.stem}-{hashlib.sha256(str(whole).encode()).hexdigest()[:6]}"


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises DataError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def decode(data: bytes, path: Path) -> np.ndarray:
    """The photograph (H,W,3) uint8 sRGB in `data`, turned upright by its EXIF orientation. Raises DataError."""
    return decode_photograph(data, path, FORMATS, upright=True)
