"""Photographs as people have them: folders and patterns, upright or not, grey, transparent, 16 bits a channel."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, features

from ..core import foreign
from ..core.errors import DataError, UserError, did_you_mean
from ..core.files import cut_name, is_companion
from ..core.images import decode_photograph

SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
if features.check("avif"):
    SUFFIXES, FORMATS = (*SUFFIXES, ".avif"), (*FORMATS, "AVIF")
# What `synthforge predict` writes itself, so that a folder can be its own --out.
OWN_SUFFIXES = (".overlay.jpg", ".overlay.png", ".labels.png")
# First bytes of files that people give and that are not read: (at, bytes, what it is). `ftyp` names follow below.
_OTHERS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)"),
    (0, b"FLV", "a video (FLV)"),
    (0, b"<svg", "a drawing (SVG)"),
    (0, b"<!DOCTYPE html", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the photograph itself"),
)
_HEIC = (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc", b"hevx")
_CONVERT = "Convert it to JPEG or PNG first."
_FRAMES = "Write its frames as images first, such as with `ffmpeg -i VIDEO frame-%05d.png`."
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Bytes of a result's name before its suffix; file systems allow 255 with it.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Photograph:
    """A file to predict. name: what its results are called, unique among the files of one call; place: a digest of
    where the file lies, which tells photographs of one name apart.
    """

    path: Path
    name: str
    place: str = ""


@dataclass(frozen=True)
class Listing:
    """photographs, and how many files of their folders were passed over, by suffix in lower case."""

    photographs: list[Photograph]
    passed_over: Counter[str] = field(default_factory=Counter)


def list_photographs(arguments: Sequence[str], out: Path | None = None) -> Listing:
    """Files, folders (their images, not their subfolders') and patterns (`**` included), sorted within each argument.

    A file that several arguments give counts once. Results are named after the file; where two files share a name,
    theirs have a digest of their path behind it, and long names are cut. out: folder of results; what lies below it,
    what this command wrote, and the companions `._*` of macOS are passed over unless named themselves.

    Raises UserError for an argument that gives nothing.
    """
    paths: dict[Path, Path] = {}
    passed_over: Counter[str] = Counter()
    for argument in arguments:
        found, others = _expand(argument, out)
        if not found:
            raise _nothing(argument, others)
        passed_over += others
        for path in found:
            paths.setdefault(path.resolve(), path)
    # As some file systems compare names: `A.json` is `a.json`, and it does not matter how an accent is written.
    shared = Counter(_folded(path.stem) for path in paths.values())
    photographs = []
    for whole, path in paths.items():
        place = hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
        # Results are named in their record, so the name has to be text.
        name = cut_name(os.fsencode(path.stem).decode("utf-8", "replace"), _LONGEST_NAME)
        alone = shared[_folded(path.stem)] == 1 and name == path.stem
        photographs.append(Photograph(path, name if alone else other_name(name, place), place))
    return Listing(photographs, passed_over)


def other_name(name: str, place: str) -> str:
    """The name of a photograph's results where another one has its first name."""
    return f"{name}-{place[:6]}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _expand(argument: str, out: Path | None) -> tuple[list[Path], Counter[str]]:
    """The photographs an argument gives, and the suffixes of the other files it reaches."""
    path = Path(argument)
    if path.is_file():
        return [path], Counter()
    candidates: Iterable[Path] = path.iterdir() if path.is_dir() else map(Path, glob.glob(argument, recursive=True))
    below = out.resolve() if out is not None and (not path.is_dir() or out.resolve() != path.resolve()) else None
    found, others = [], Counter[str]()
    try:
        for p in candidates:
            if is_companion(p.name) or not p.is_file() or (below is not None and below in p.resolve().parents):
                continue
            own = next((suffix for suffix in OWN_SUFFIXES if p.name.endswith(suffix)), "")
            if p.suffix.lower() in SUFFIXES and not own:
                found.append(p)
            elif own and p.with_name(p.name.removesuffix(own) + ".json").is_file():
                continue  # this command wrote it, as its record says
            elif not p.name.startswith(".") and not p.name.endswith((".json", ".npz")):
                others[own or p.suffix.lower() or "without suffix"] += 1
    except OSError as error:
        raise UserError(f"{argument} cannot be read: {error.strerror}") from error
    return sorted(found), others


def _nothing(argument: str, others: Counter[str]) -> UserError:
    if _URL.match(argument):
        return UserError(
            f"{argument} is a URL; photographs are read from disk", hint="Download it, then give the file."
        )
    path = Path(argument)
    if path.is_dir() or others:
        details = f", but {told_counts(others)}" if others else ""
        return UserError(f"{argument} holds no images that are read{details}", hint=f"Read are {', '.join(SUFFIXES)}.")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, beside).partition("Known:")[0]
    return UserError(
        f"{argument} does not exist and matches no file",
        hint=f"{hint}Images end in {', '.join(SUFFIXES)}; case does not matter.",
    )


def told_counts(counts: Counter[str]) -> str:
    """Numbers of files by suffix in words: `2 .heic, 1 .mp4`."""
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def shown(path: Path | str) -> str:
    """A path as text that can be printed and stored; bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_bytes(path: Path) -> bytes:
    """A photograph's bytes. Raises DataError when it cannot be read, is too large, or of a kind that is not read."""
    try:
        with open(path, "rb") as file:
            _refuse(file.read(64), path)
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    return foreign.read_bytes(path, foreign.LIMITS.image_bytes)


def _refuse(start: bytes, path: Path) -> None:
    """Raise DataError by name for the kinds of files that people give and that are not read."""
    if is_companion(path.name) and start.startswith(b"\x00\x05\x16\x07"):
        raise DataError(f"{shown(path)} holds attributes that macOS keeps beside a file, no photograph")
    brand = start[8:12]
    if start[4:8] == b"ftyp" and brand in _HEIC:
        raise DataError(f"{shown(path)} is a HEIC image, which is not read", hint=_CONVERT)
    if start[4:8] == b"ftyp" and brand not in (b"avif", b"avis"):
        raise DataError(f"{shown(path)} is a video (MP4 or QuickTime), which is not read", hint=_FRAMES)
    if brand in (b"avif", b"avis") and "AVIF" not in FORMATS:
        raise DataError(f"{shown(path)} is an AVIF image, which this Pillow does not read", hint=_CONVERT)
    for at, mark, what in _OTHERS:
        if start[at : at + len(mark)] == mark:
            raise DataError(
                f"{shown(path)} is {what}, which is not read", hint=_FRAMES if "video" in what else _CONVERT
            )


def decode(data: bytes, path: Path) -> np.ndarray:
    """The photograph (H,W,3) uint8 sRGB in `data`, turned upright by its EXIF orientation.

    Raises DataError for anything but one whole picture: an animation has several, and none of them is the photograph.
    """
    name = shown(path)
    pixels = decode_photograph(data, name, FORMATS, upright=True)
    with foreign.boundary(name, "a whole image"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        moves = image.format in ("GIF", "WEBP", "PNG", "AVIF") and getattr(image, "is_animated", False)
    if moves:
        raise DataError(f"{name} is an animation, which is not read", hint=_FRAMES)
    return pixels
