"""Reading files that this program did not write: limits, conversion of errors, and readers for JSON, NPY and NPZ.

Every reader of a foreign format checks size, depth and number of parts against `LIMITS` first. It turns any exception
of its parser into one of our errors, with the file's name. Pictures: `core.images`.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import types
import typing
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import DataError, SynthForgeError
from .storage import is_remote

if TYPE_CHECKING:
    import numpy as np

Where = Path | str


@dataclass(frozen=True)
class Limits:
    """Upper limits for a file. A small file within them takes under two seconds and 200 MB."""

    image_bytes: int = 512 << 20
    image_pixels: int = 100_000_000
    #: Pictures of up to this many pixels are decoded however small the file is.
    free_pixels: int = 10_000_000
    #: Larger pictures need at least one byte per this many pixels. Photographs have one byte per 2 to 80.
    pixels_per_byte: int = 100
    #: Decoding takes up to 10 bytes a pixel: 200 MB for this many. Each further one needs an eighth of a byte of file.
    light_pixels: int = 18_000_000
    further_per_byte: int = 8
    #: Progressive JPEG has about ten scans; each further one costs time over the whole picture.
    jpeg_scans: int = 100
    png_chunks: int = 50_000
    text_bytes: int = 64 << 20
    json_nodes: int = 1_500_000
    json_depth: int = 64
    array_dimensions: int = 8
    #: An NPZ may unpack to this, and to `npz_ratio` times its own size beyond.
    npz_bytes: int = 128 << 20
    npz_ratio: int = 8
    npz_members: int = 10_000

    def pixels(self, size: int) -> int:
        """Most pixels of a picture in a file of `size` bytes."""
        most = min(size * self.pixels_per_byte, self.light_pixels + size * self.further_per_byte)
        return min(self.image_pixels, max(self.free_pixels, most))


LIMITS = Limits()
# With digits as 0 and no plus signs, numbers that may not fit are 20 zeros or e000.
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGER = 2**64


@contextmanager
def boundary(
    where: Where, what: str, *, hint: str | None = None, error: type[SynthForgeError] = DataError
) -> Iterator[None]:
    """Turn whatever a parser raises into `error`: "WHERE is not WHAT: reason". Our own errors pass unchanged.

    Use it only around calls of a parser, since it would hide a bug of ours in the block.
    """
    try:
        yield
    except SynthForgeError as problem:
        if (isinstance(problem, error) or error is DataError) and (problem.hint or not hint):
            raise
        error = type(problem) if isinstance(problem, error) else error
        raise error(problem.message, hint=problem.hint or hint) from problem
    except OSError as problem:
        if problem.filename is not None:
            raise error(f"cannot read {where}: {problem.strerror}", hint=hint) from problem
        raise error(f"{where} is not {what}: {problem}", hint=hint) from problem
    except RecursionError as problem:
        raise error(f"{where} is not {what}: it is nested too deeply", hint=hint) from problem
    except Exception as problem:  # parsers of foreign formats raise almost anything on hostile files
        words = str(problem) or "no reason given"
        reason = f"{words} is missing" if isinstance(problem, KeyError) else words
        raise error(f"{where} is not {what}: {reason[:300]}", hint=hint) from problem


def check_arguments(given: Mapping[str, Any], allowed: Mapping[str, type | tuple[Any, ...]], what: str) -> None:
    """Raise ValueError unless keyword arguments that a file passes to a library are expected plain values.

    allowed: by name, `float` or `int` for numbers and lists of them, or a tuple of the values it may have. Paths, names
    of hubs and of objects to load are never allowed. what: the arguments' name for messages.
    """
    for name, value in given.items():
        kind = allowed.get(name)
        if kind is None:
            raise ValueError(f"{what}.{name}: only these arguments are passed on: {', '.join(allowed)}")
        if isinstance(kind, tuple):
            if value not in kind:
                raise ValueError(f"{what}.{name}: one of {', '.join(map(repr, kind))}, got {value!r}")
        elif not all(_small(each, whole=kind is int) for each in (value if isinstance(value, list) else [value])):
            numbers = "whole numbers" if kind is int else "numbers"
            raise ValueError(f"{what}.{name}: {numbers} of up to 4096, got {value!r}")


def _small(value: Any, *, whole: bool) -> bool:
    known = isinstance(value, int) or (isinstance(value, float) and not whole)
    return known and not isinstance(value, bool) and abs(value) <= 4096


def opened(path: Path) -> IO[bytes]:
    """A regular file, or an object in a store, to read. Raises OSError, and DataError for folders, pipes and devices.

    Opening a pipe would otherwise block until another process writes into it.
    """
    if is_remote(path):
        return typing.cast("IO[bytes]", path.open("rb"))
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise DataError(f"{path} is not a regular file")


def check_record(record: Any, shape: Mapping[str, Any]) -> None:
    """Raise ValueError unless a record from JSON has these keys with values of these types.

    shape: by key its type: a class, `list[X]`, `dict[str, X]` or a union, where `float` takes whole numbers as well.
    A key that may be absent ends in `?`.
    """
    if not isinstance(record, dict):
        raise ValueError(f"it is not an object, but {record!r:.40}")
    for key, kind in shape.items():
        name = key.removesuffix("?")
        if name not in record and name == key:
            raise ValueError(f"{name} is missing")
        if name in record and not _is_of(record[name], kind):
            raise ValueError(f"its '{name}' is {record[name]!r:.40}")


def _is_of(value: Any, kind: Any) -> bool:
    origin, inside = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, each) for each in inside)
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not isinstance(value, origin):
        return False
    parts = value.values() if origin is dict else value if origin is list else ()
    return not inside or all(_is_of(each, inside[-1]) for each in parts)


def read_bytes(path: Path, most: int = LIMITS.text_bytes) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises DataError, for folders, pipes and devices too."""
    try:
        if is_remote(path):
            return _read_remote(path, most)
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise DataError(f"{path} has {size:,} bytes, more than the {most:,} allowed")
            return file.read(size or most + 1)  # a file in /proc has size 0
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _read_remote(path: Path, most: int) -> bytes:
    size = path.stat().st_size
    if size > most:
        raise DataError(f"{path} has {size:,} bytes, more than the {most:,} allowed")
    return path.read_bytes()


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises DataError."""
    data = read_bytes(path)
    with boundary(path, "a text file in UTF-8"):
        return data.decode("utf-8-sig")


def decimal(text: str) -> float:
    """The finite number that a text file writes. Raises ValueError.

    `float` alone also takes `1_0` for ten, digits of other scripts, `nan` and `inf`.
    """
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"'{text[:40]}' is not a finite number")
    return value


def read_json(path: Path, *, hint: str | None = None) -> Any:
    """The JSON in a file, as `parse_json` reads it. Raises DataError."""
    return parse_json(read_bytes(path), path, hint=hint)


def parse_json(data: bytes, where: Where, *, hint: str | None = None) -> Any:
    """JSON in UTF-8 (or -16, -32), with or without a byte order mark; `where`: what messages call it.

    Raises DataError for anything that is not strict JSON (NaN, duplicate keys, numbers beyond 64 bits, invalid Unicode)
    and beyond `LIMITS`.
    """
    with boundary(where, "valid JSON", hint=hint):
        if len(data) > LIMITS.text_bytes:
            raise ValueError(f"it has {len(data):,} bytes, more than the {LIMITS.text_bytes:,} allowed")
        opened = data.count(b"[") + data.count(b"{")
        if opened + data.count(b",") > LIMITS.json_nodes:
            raise ValueError(f"it has more than the {LIMITS.json_nodes:,} values allowed")
        plain = data.translate(_DIGITS, b"+")
        large = b"e000" in plain or b"0" * 20 in plain
        numbers: dict[str, Any] = {"parse_int": _integer, "parse_float": _number} if large else {}
        value = json.loads(data, object_pairs_hook=_distinct, parse_constant=_constant, **numbers)
        if _may_be_deep(data) and _deeper(value, LIMITS.json_depth):
            raise ValueError(f"it is nested more than {LIMITS.json_depth} levels deep")
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be written anywhere
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice[:60]}' is in one object twice")
    return found


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _integer(text: str) -> int:
    value = int(text) if len(text) < 40 else _INTEGER
    if abs(value) >= _INTEGER:
        raise ValueError(f"the number {text[:24]} does not fit 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"the number {text[:24]} is out of range")
    return value


def _may_be_deep(data: bytes) -> bool:
    """Whether brackets remain after removing the innermost pairs as many times as the allowed depth; fast."""
    brackets = data.translate(None, _ALL_BUT_BRACKETS)
    for _ in range(LIMITS.json_depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


def _deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` levels deep."""
    level = [value] if isinstance(value, list | dict) else []
    while level and depth:
        inner = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inner if isinstance(item, list | dict)]
        depth -= 1
    return bool(level)


def read_array(path: Path, *, error: type[SynthForgeError] = DataError) -> np.ndarray:
    """The array of numbers in an NPY file. Raises `error` for objects, texts, damage and shapes beyond `LIMITS`."""
    with boundary(path, "a NumPy array of numbers", error=error), opened(path) as file:
        return _array(file, path.stat().st_size, "biuf")


def read_arrays(
    path: Path, names: Sequence[str] | None = None, *, error: type[SynthForgeError] = DataError
) -> dict[str, np.ndarray]:
    """The arrays of numbers or text in an NPZ file by name; names: those to read if present, None for all.

    Raises `error` for anything else, and for an archive that unpacks to more than `LIMITS` allows.
    """
    with (
        boundary(path, "an NPZ file of plain arrays", error=error),
        opened(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = archive.infolist()
        if len(members) > LIMITS.npz_members or len({member.filename for member in members}) != len(members):
            raise ValueError(f"it has {len(members):,} members, too many or of the same name")
        chosen = {member.filename.removesuffix(".npy"): member for member in members}
        if names is not None:
            chosen = {name: chosen[name] for name in names if name in chosen}
        total = sum(member.file_size for member in chosen.values())
        most = LIMITS.npz_bytes + LIMITS.npz_ratio * path.stat().st_size
        if total > most:
            raise ValueError(f"it unpacks to {total:,} bytes, more than the {most:,} allowed for a file of its size")
        arrays = {}
        for name, member in chosen.items():
            arrays[name] = _array(io.BytesIO(archive.read(member)), member.file_size, "biufU")
        return arrays


def _array(file: Any, size: int, kinds: str) -> np.ndarray:
    """One array of NumPy's `kinds` from an open NPY file of `size` bytes, its header checked against that size."""
    import numpy as np  # `synthforge --help` reads JSON only

    form = np.lib.format
    version = form.read_magic(file)
    read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"it is of format version {version}")
    shape, fortran, dtype = read(file)
    if dtype.kind not in kinds:
        raise ValueError(f"it holds {dtype}, not numbers")
    if len(shape) > LIMITS.array_dimensions:
        raise ValueError(f"it has {len(shape)} dimensions, more than the {LIMITS.array_dimensions} allowed")
    count = 1
    for side in shape:
        count *= side
    start = file.tell()
    if any(side < 0 or side > size for side in shape) or start + count * dtype.itemsize != size:
        raise ValueError(f"its shape {shape} of {dtype} does not fit its {size:,} bytes")
    values = np.frombuffer(file.read(size - start), dtype, count)
    # as NumPy's own reader: writable, in native byte order
    return values.reshape(shape[::-1]).T.copy(order="F") if fortran else values.reshape(shape).copy()
