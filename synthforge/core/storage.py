"""Paths and URLs of object stores (`s3://`, `gs://`, `memory://` ...) behind one interface.

`place` gives a `pathlib.Path` for local folders and `file://`, and a `RemotePath` for the rest. A remote object is
written completely or not at all. Every request is retried when an error may be temporary. No credential is accepted in
a URL or shown in a message.
"""

from __future__ import annotations

import errno
import io
import os
import re
import time
from collections.abc import Callable, Generator
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from .errors import DataError, SynthForgeError, UserError, did_you_mean
from .patience import code_of, steadily

T = TypeVar("T")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# What to install if fsspec knows a store and its library is missing.
_INSTALL = {
    "s3": "synthforge[s3]",
    "s3a": "synthforge[s3]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}
# Stores in which an object appears when its upload is complete; elsewhere it is uploaded under another name and moved.
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"}
_BUFFER = 8 << 20  # bytes per request when an object is read sequentially


def is_url(text: object) -> bool:
    """Whether a text is a URL rather than a path on this machine."""
    return isinstance(text, str) and _URL.match(text) is not None


def is_remote(path: object) -> bool:
    """Whether a path is in a store, not on this machine."""
    return isinstance(path, RemotePath)


def place(where: str | Path) -> Path:
    """A folder or file by path or URL. Raises UserError for an unknown store, and for a URL that holds credentials."""
    if not isinstance(where, str):
        return where
    if not is_url(where):
        return Path(where)
    try:
        parts = urlsplit(where)
    except ValueError as error:  # brackets without an IP address
        raise UserError(f"{where.partition('://')[0]}://: not a URL: {error}") from None
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if "@" in parts.netloc or "?" in where or "#" in where:
        raise UserError(
            f"{shown}: a URL with a user, a password or a query is refused: it would be written to records and logs",
            hint="Give credentials as the store's own tools read them: environment variables or their own files.",
        )
    if "::" in where or ".." in PurePosixPath(parts.path).parts:
        raise UserError(f"{shown}: chained URLs and '..' are not supported")
    scheme = parts.scheme.lower()
    if scheme == "file":
        return Path(unquote(parts.netloc + parts.path))
    path = (parts.netloc + parts.path).rstrip("/")
    if not parts.netloc and scheme != "memory":
        raise UserError(f"{shown}: it names no bucket or host")
    _check_known(scheme)
    return RemotePath(scheme, path)


def here(where: str | Path) -> Path:
    """A path on this machine. Raises UserError for a URL of a store, and as `place` does."""
    return Path(os.fspath(place(where)))


def _check_known(scheme: str) -> None:
    import fsspec

    known = sorted({*fsspec.available_protocols(), *fsspec.registry})
    if scheme not in known:
        raise UserError(f"{scheme}:// is not a store that fsspec knows", hint=did_you_mean(scheme, known))


def _filesystem(scheme: str) -> Any:
    """The fsspec file system; fsspec keeps one for each process and thread. Listings are not cached.

    For S3, both libraries below retry as well. Together these would be 150 attempts for one request, and minutes
    before an unreachable store is reported. Therefore only `steadily` retries.
    """
    import fsspec

    once: dict[str, Any] = {"config_kwargs": {"retries": {"total_max_attempts": 1}}} if scheme in ("s3", "s3a") else {}
    try:
        found = fsspec.filesystem(scheme, use_listings_cache=False, **once)
        if once:
            found.retries = 1
        return found
    except ImportError as error:
        wanted = _INSTALL.get(scheme, "")
        hint = f"pip install '{wanted}'" if wanted else str(error)
        raise UserError(f"{scheme}:// needs a library that is not installed", hint=hint) from error


if TYPE_CHECKING:
    _Base = Path  # so that a parameter of type Path takes both
else:
    _Base = object


class RemotePath(_Base):
    """An object or a prefix in a store, with the part of `Path`'s interface that readers and writers need.

    A prefix is a folder that exists while it holds objects. Making and removing folders does nothing.
    Using it as a local path raises UserError.
    """

    def __init__(self, scheme: str, path: str, info: dict[str, Any] | None = None) -> None:
        self._scheme, self._pure, self._info = scheme, PurePosixPath(path), info

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self._scheme}://{'' if str(self._pure) == '.' else self._pure}"

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    def __fspath__(self) -> str:
        raise UserError(f"{self}: this works in local folders only", hint="Copy it to this machine first.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: Any) -> bool:
        return self.url < str(other)

    def __deepcopy__(self, memo: Any) -> RemotePath:
        return self

    def __reduce__(self) -> Any:
        if self._scheme == "memory":
            raise UserError(
                f"{self}: other processes cannot see this store",
                hint="Set workers to 1 and the variable OMP_NUM_THREADS to 1, or choose another store.",
            )
        return RemotePath, (self._scheme, str(self._pure))

    def _of(self, pure: PurePosixPath, info: dict[str, Any] | None = None) -> RemotePath:
        return RemotePath(self._scheme, str(pure), info)

    def __truediv__(self, name: Any) -> RemotePath:
        return self._of(self._pure / str(name))

    name = property(lambda self: self._pure.name)
    stem = property(lambda self: self._pure.stem)
    suffix = property(lambda self: self._pure.suffix)
    parts = property(lambda self: self._pure.parts)
    parent = property(lambda self: self._of(self._pure.parent))

    def with_name(self, name: str) -> RemotePath:
        """Another name in the same folder."""
        return self._of(self._pure.with_name(name))

    def with_suffix(self, suffix: str) -> RemotePath:
        """Another suffix in place of the last one."""
        return self._of(self._pure.with_suffix(suffix))

    def relative_to(self, other: Any) -> Any:  # type: ignore[override]
        """The names below another remote path."""
        return self._pure.relative_to(other._pure)

    def absolute(self) -> RemotePath:
        """Itself."""
        return self

    expanduser = absolute

    @property
    def fs(self) -> Any:
        """The fsspec file system."""
        return _filesystem(self._scheme)

    def _call(self, call: Callable[[Any], T]) -> T:
        return steadily(self, lambda: call(self.fs))

    def info(self) -> dict[str, Any] | None:
        """The store's description of the object or prefix, None if there is none."""
        if self._info is None:
            try:
                return self._call(lambda fs: dict(fs.info(self.url)))
            except FileNotFoundError:
                return None
        return self._info

    def exists(self) -> bool:
        """Whether there is an object or a prefix."""
        return self.info() is not None

    def is_file(self) -> bool:
        """Whether there is an object."""
        return (self.info() or {}).get("type") == "file"

    def is_dir(self) -> bool:
        """Whether it is a prefix of objects."""
        return (self.info() or {}).get("type") == "directory"

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def stat(self) -> Any:  # type: ignore[override]
        """`st_size` in bytes, `st_mtime_ns`. Raises FileNotFoundError."""
        info = self.info()
        if info is None or info.get("type") != "file":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url)
        when = info.get("LastModified") or info.get("mtime") or info.get("updated") or info.get("created")
        seconds = when.timestamp() if isinstance(when, datetime) else 0.0
        return SimpleNamespace(st_size=int(info.get("size") or 0), st_mtime_ns=int(seconds * 1e9), st_mode=0o100644)

    def read_bytes(self) -> bytes:
        """The whole object. Raises FileNotFoundError."""
        return bytes(self._call(lambda fs: fs.cat_file(self.url)))

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer at the end."""
        return bytes(self._call(lambda fs: fs.cat_file(self.url, start=offset, end=offset + length)))

    def open(self, mode: str = "rb") -> Any:  # type: ignore[override]
        """The object to read in order, by requests of 8 MiB."""
        if mode != "rb":
            raise ValueError("a remote object is written by `core.files.replacing`")
        return io.BufferedReader(_Raw(self), _BUFFER)

    def iterdir(self) -> Generator[RemotePath, None, None]:
        """Its direct children, sorted."""
        try:
            rows = self._call(lambda fs: fs.ls(self.url, detail=True))
        except FileNotFoundError:
            return
        for row in sorted(rows, key=lambda row: str(row["name"])):
            name = _inside(PurePosixPath(row["name"])).name
            if (name and name != self.name) or row.get("type") == "directory":
                yield self._of(self._pure / name, row)

    def glob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """Paths below that match; each part of the pattern matches one name."""
        head, _, rest = pattern.partition("/")
        for path in self.iterdir():
            if fnmatchcase(path.name, head):
                yield from path.glob(rest) if rest else (path,)

    def rglob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """All objects below whose names match, sorted."""
        root = PurePosixPath(self.fs._strip_protocol(self.url))
        for name, row in sorted(self._call(lambda fs: fs.find(self.url, detail=True)).items()):
            below = _inside(PurePosixPath(name))
            if fnmatchcase(below.name, pattern) and root in below.parents:
                yield self._of(self._pure / below.relative_to(root), row)

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Does nothing: there are no folders."""

    rmdir = mkdir

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        try:
            self._call(lambda fs: fs.rm_file(self.url))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, target: Any) -> Any:
        """Move the object, or everything below the prefix: copies, and then deletes."""
        inside = [(self, target)] if self.is_file() else [(p, target / p.relative_to(self)) for p in self.rglob("*")]
        for old, new in inside:
            old._call(partial(_copy, old.url, new.url))
            old.unlink(missing_ok=True)
        return target

    def put(self, file: Path) -> None:
        """Upload a local file; the object appears complete or not at all. Raises SynthForgeError."""
        size, whole = file.stat().st_size, self._scheme in _WHOLE
        there = self if whole else self.with_name(f".{self.name}.{os.getpid()}.{time.monotonic_ns()}.part")
        there._call(lambda fs: fs.put_file(str(file), there.url))
        found = there.stat().st_size
        if found != size:
            there.unlink(missing_ok=True)
            raise SynthForgeError(f"{self}: {found:,} of {size:,} bytes arrived", hint="Run the same command again.")
        if not whole:
            there.rename(self)

    def create(self, data: bytes) -> bool:
        """Write an object unless it exists; returns whether it was written.

        Where the store has conditional writes (S3, GCS), two writers at once cannot both succeed.
        """

        def write(fs: Any) -> bool:
            try:
                fs.pipe_file(self.url, data, mode="create")
            except FileExistsError:
                return False
            except (OSError, NotImplementedError, TypeError) as error:
                if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                if code_of(error) != "NotImplemented" and isinstance(error, OSError):
                    raise
                if fs.exists(self.url):  # the store has no conditional writes: check, then write
                    return False
                fs.pipe_file(self.url, data)
            return True

        # An earlier try may have succeeded although its answer was lost: compare the content.
        return self._call(write) or self.read_bytes() == data

    def overwrite(self, data: bytes) -> None:
        """Write a small object, replacing any other."""
        self._call(lambda fs: fs.pipe_file(self.url, data))


def _inside(name: PurePosixPath) -> PurePosixPath:
    """The name of an object as a relative local path. Raises DataError if it would leave the folder."""
    if ".." in name.parts or "\0" in str(name):
        raise DataError(
            f"the store has the unsafe object name {str(name)!r:.200}", hint="It is not of synthforge: delete it there."
        )
    return name


def _copy(old: str, new: str, fs: Any) -> None:
    fs.cp_file(old, new)


class _Raw(io.RawIOBase):
    """A remote object as a raw stream for Python's buffered reader."""

    def __init__(self, path: RemotePath) -> None:
        self._path, self._position, self._size = path, 0, int(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._position)
        data = self._path.read(self._position, length) if length > 0 else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
