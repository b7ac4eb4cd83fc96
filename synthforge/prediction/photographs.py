"""Photographs as people have them: folders and patterns, upright or not, grey, transparent, 16 bits a channel."""

from __future__ import annotations

import glob
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..core.errors import DataError, UserError
from ..evaluation.files import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# What `synthforge predict` writes itself, so that a folder can be its own --out.
OWN_SUFFIXES = (".overlay.jpg", ".overlay.png", ".labels.png")
# Transparent pixels become white, as most viewers and web pages show them.
BEHIND = (255, 255, 255)


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
    """The photograph (H,W,3) uint8 sRGB in `data`, turned upright by its EXIF orientation.

    Grey is repeated, 16 bits become 8 by value / 257, transparent pixels white. Raises DataError naming `path` when
    it is truncated, of an unknown kind, or has more than 100 million pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {image.width} x {image.height} pixels, more than the {MAX_PIXELS:,} allowed"
                )
            image.load()
            return _rgb8(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} is not a whole image: {error}",
            hint=f"The file is truncated or of another kind. Read are {', '.join(FORMATS)}.",
        ) from error


def _rgb8(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers, whose range nothing tells")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow opens as `I;16` or the wider `I`
        values = np.asarray(image, np.float64)
        grey = np.rint(values / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        above = image.convert("RGBA")
        below = Image.new("RGBA", above.size, (*BEHIND, 255))
        image = Image.alpha_composite(below, above)
    return np.array(image.convert("RGB"))
