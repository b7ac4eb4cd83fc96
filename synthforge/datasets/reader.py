"""Reading shards by index, in constant time, from any number of threads and processes."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.blocks import Blocks, Descriptor, whole
from synthforge.core.errors import DataError
from synthforge.core.factors import Factor
from synthforge.core.files import sha256_of
from synthforge.core.foreign import boundary, parse_json
from synthforge.core.records import Field
from synthforge.core.storage import RemotePath, is_remote, place

from .codecs import CODECS, JSON_MEMBER, Encoding, member_of
from .layout import (
    BLOCK,
    MANIFEST,
    ShardInfo,
    check_version,
    digest,
    fields_from_json,
    header,
    integer,
    marker_path,
    read_marker,
    read_record,
    tar_path,
)
from .rejections import acceptance

log = logging.getLogger(__name__)

_OPEN_FILES = 64
_AT_ONCE = 20_000  # samples: of up to so many all markers are read when a dataset is opened, else as they are needed
_KEPT = 1_000_000  # samples whose places are kept in memory, about 0.2 kB each
_RECORD = ("scene", "camera")


@dataclass(frozen=True)
class _Shard:
    shard: int
    path: Path
    keys: tuple[str, ...]
    sha256: str
    size: int
    places: dict[str, np.ndarray]  # member -> (count, 3) offset, size and CRC-32 (-1: unknown)


class ShardDataset:
    """A finished dataset as a sequence of samples (`tensors.Dataset` is one that a DataLoader can batch).

    `dataset[i]` is a dict: `__key__`; `image` (H,W,3) uint8 and every other field as `core.records.Field` says;
    `scene` with seed, index and parameters (arrays come back as lists); `camera`, to be read by `Camera.from_json`.

    fields: names to read (also `scene` and `camera`), None for everything; what is left out costs nothing.
    skip_damaged: give the next sound sample instead of raising, and count: `damaged` has the reason by shard and
    key (each DataLoader worker counts its own). shards: only the samples of these.

    Of up to 20,000 samples every marker is read and checked at once. With more, opening reads the manifest alone,
    and a marker is read when a sample of its shard is asked for. skip_damaged reads all of them, to know how many
    samples there are.

    Nothing is locked and no file position is shared: instances may be used from many threads, forked and pickled.
    Raises DataError that names shard and key.
    """

    def __init__(
        self,
        root: Path | str,
        fields: Sequence[str] | None = None,
        *,
        skip_damaged: bool = False,
        shards: range | None = None,
    ) -> None:
        self.root = place(root)
        self.skip_damaged = skip_damaged
        self.damaged: dict[str, str] = {}
        self.manifest = read_manifest(self.root)
        self.encoding = Encoding(**self.manifest["encoding"])
        self.all_fields = fields_from_json(self.manifest["fields"])
        self.fields = self._choose(fields)
        self._record = tuple(name for name in _RECORD if fields is None or name in fields)
        self._entries: list[dict[str, Any]] = self.manifest["shards"]
        if shards is not None:
            self._entries = self._entries[shards.start : shards.stop]
        # one listing of a store, not one request a shard
        self._sizes = (
            {path.name: path.stat().st_size for path in self.root.glob("shard-*.tar")} if is_remote(self.root) else {}
        )
        self._caches()
        if skip_damaged or sum(entry["count"] for entry in self._entries) <= _AT_ONCE:
            sound = [entry for position, entry in enumerate(self._entries) if self._sound(position)]
            if len(sound) < len(self._entries):
                self._entries = sound
                self._caches()
        self._ends = list(itertools.accumulate(entry["count"] for entry in self._entries))

    def _caches(self) -> None:
        """Open files, and the places of samples by position of their shard; no other object shares them."""
        largest = max((entry["count"] for entry in self._entries), default=1)
        self._open = functools.lru_cache(_OPEN_FILES)(_opened)
        self._copies: dict[Path, Path] = {}
        self._shard = functools.lru_cache(max(_OPEN_FILES, _KEPT // max(largest, 1)))(self._index)

    def _sound(self, position: int) -> bool:
        """Whether a shard can be read; raises unless what is damaged is skipped."""
        try:
            self._shard(position)
        except DataError as error:
            if not self.skip_damaged:
                raise
            self._note(f"shard {self._entries[position]['shard']}", error)
            return False
        return True

    def _choose(self, names: Sequence[str] | None) -> tuple[Field, ...]:
        if names is None:
            return self.all_fields
        known = {item.name: item for item in self.all_fields}
        unknown = [name for name in names if name not in known and name not in _RECORD]
        if unknown:
            raise DataError(
                f"{self.root} has no field {', '.join(map(repr, unknown))}",
                hint=f"It has: {', '.join([*known, *_RECORD])}.",
            )
        return tuple(known[name] for name in names if name in known)

    def _index(self, position: int) -> _Shard:
        entry = self._entries[position]
        number = entry["shard"]
        info = read_marker(self.root, number, entry["marker_sha256"])
        path = tar_path(self.root, number)
        marker = marker_path(self.root, number)
        facts = (info.sha256, info.size, info.count, _sha256(marker, entry["marker_sha256"]))
        if facts != tuple(entry[name] for name in ("sha256", "size", "count", "marker_sha256")):
            raise DataError(
                f"{marker} does not belong to {self.root / MANIFEST}",
                hint="One of them was replaced or edited: restore both from a copy, or generate again.",
            )
        if (info.fields, info.encoding) != (self.all_fields, self.encoding):
            raise DataError(f"{marker} speaks of other fields than {self.root / MANIFEST}")
        if is_remote(path):
            size = self._sizes.get(path.name)
        else:
            size = path.stat().st_size if path.is_file() else None
        if size != info.size:
            found = "is missing" if size is None else f"has {size} bytes instead of {info.size}"
            raise DataError(f"{path} {found}", hint="Restore it from a copy, or delete it and its marker.")
        if not is_remote(path):  # of a size that leaves no room for more; `verify` reads it
            _check_end(path, info)
        parts = (info.offsets, info.sizes, info.crcs or np.full((info.count, len(info.members)), -1))
        table = np.stack([np.array(part, np.int64).reshape(info.count, len(info.members)) for part in parts], axis=-1)
        places = {name: table[:, i] for i, name in enumerate(info.members)}
        return _Shard(number, tar_path(self.root, number), info.keys, info.sha256, info.size, places)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"index {index} of a dataset of {size} samples")
        start = int(index) % size
        for step in range(size):
            shard, row = self._locate((start + step) % size)
            try:
                return self._read(shard, row)
            except DataError as error:
                if not self.skip_damaged:
                    raise
                self._note(f"shard {shard.shard}, sample {shard.keys[row]}", error)
        raise DataError(f"no sample of {self.root} can be read", hint=next(iter(self.damaged.values())))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def keys(self) -> list[str]:
        """The keys of all samples, in order."""
        return [key for position in range(len(self._entries)) for key in self._shard(position).keys]

    def members(self, index: int) -> dict[str, bytes]:
        """The files of a sample by name (`image.png`, `json` ...), as they are stored. Raises DataError."""
        shard, row = self._locate(range(len(self))[index])
        with boundary(f"shard {shard.shard}, sample {shard.keys[row]} ({shard.path})", "a sound sample"):
            return {name: self._bytes(shard, row, name) for name in shard.places}

    def where(self, index: int) -> tuple[int, str]:
        """Shard and key of a sample."""
        shard, row = self._locate(range(len(self))[index])
        return shard.shard, shard.keys[row]

    @contextmanager
    def reading(self, shard: int, copy: Path) -> Iterator[None]:
        """Read a shard's samples from a copy of its tar while the block runs; messages name the tar itself."""
        self._copies[tar_path(self.root, shard)] = copy
        try:
            yield
        finally:
            self._copies.clear()
            self._open.cache_clear()

    @property
    def spans(self) -> list[range]:
        """The indices of each shard's samples, in order."""
        return [range(start, end) for start, end in zip([0, *self._ends], self._ends, strict=False)]

    def _locate(self, index: int) -> tuple[_Shard, int]:
        position = bisect.bisect_right(self._ends, index)
        shard = self._shard(position)
        return shard, index - (self._ends[position] - len(shard.keys))

    def _note(self, where: str, error: DataError) -> None:
        if where not in self.damaged:
            self.damaged[where] = error.message
            log.warning("skipping damaged data: %s", error.message)

    def _read(self, shard: _Shard, row: int) -> dict[str, Any]:
        key = shard.keys[row]
        sample: dict[str, Any] = {"__key__": key}
        name = "the sample"
        try:
            record: dict[str, Any] = {}
            if self._record or any(not CODECS[item.kind].member for item in self.fields):
                name = JSON_MEMBER
                record = parse_json(self._bytes(shard, row, JSON_MEMBER), "it")
                sample.update((part, record[part]) for part in self._record)
            for item in self.fields:
                name = item.name
                codec = CODECS[item.kind]
                coded = (
                    self._bytes(shard, row, member_of(item, self.encoding))
                    if codec.member
                    else record["annotations"][item.name]
                )
                sample[item.name] = codec.decode(coded, item, self.encoding)
        except Exception as error:  # of foreign bytes: whatever parsers and decoders raise
            reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "message", str(error))
            raise DataError(
                f"shard {shard.shard}, sample {key}: cannot read {name}: {reason} ({shard.path})",
                hint="Check the dataset with `synthforge verify`; restore the shard from a copy or generate it again.",
            ) from error
        return sample

    def _bytes(self, shard: _Shard, row: int, member: str) -> bytes:
        offset, size, crc = map(int, shard.places[member][row])
        handle = self._open(self._copies.get(shard.path, shard.path), shard.sha256, shard.size)
        name = f"{shard.keys[row]}.{member}"
        data = handle.read(offset - BLOCK, BLOCK + size)
        if isinstance(handle, Blocks) and _wrong(data, name, size, crc):  # the cache may be what is damaged
            handle.forget(offset - BLOCK, BLOCK + size)
            data = handle.read(offset - BLOCK, BLOCK + size)
        if problem := _wrong(data, name, size, crc):
            raise ValueError(problem)
        return data[BLOCK:]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_open", "_shard", "_copies")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._caches()


def _opened(path: Path, sha256: str, size: int) -> Descriptor | Blocks:
    return Blocks(path, sha256, size) if isinstance(path, RemotePath) else Descriptor(path)


def _sha256(path: Path, expected: str) -> str:
    """SHA-256 of a marker; of one in a store, of what the cache has."""
    return hashlib.sha256(whole(path, expected)).hexdigest() if isinstance(path, RemotePath) else sha256_of(path)


def _wrong(data: bytes, name: str, size: int, crc: int) -> str:
    """What is wrong with a member and the block in front of it, or nothing. crc: -1 if unknown."""
    if len(data) != BLOCK + size:
        return "the tar ends before the sample does"
    if data[:BLOCK] != header(name, size):
        return "marker and tar do not match"
    if crc >= 0 and zlib.crc32(memoryview(data)[BLOCK:]) != crc:
        return "it does not have its checksum"
    return ""


# What a manifest holds, beyond what `read_manifest` looks at more closely.
_PARTS = {"schemas": dict, "licences": dict, "provenance": dict, "versions": dict, "plugins": dict, "config": dict}
_OPTIONAL = {"licensed_files": list, "factors": list, "filters": dict, "asked": int, "device": str}


def _check_end(path: Path, info: ShardInfo) -> None:
    """Raise DataError when anything but the end of a tar lies behind the last member."""
    end = info.offsets[-1][-1] + info.sizes[-1][-1] if info.count else 0
    with open(path, "rb") as file:
        file.seek(end)
        if file.read().strip(b"\0"):
            raise DataError(f"{path} holds more than its marker names", hint="Restore it from a copy.")


def read_manifest(root: Path | str) -> dict[str, Any]:
    """The manifest of a finished dataset; DataError, with the way out, when there is none or it is not one."""
    root = place(root)
    path = root / MANIFEST
    if not path.exists():
        if any(root.glob("shard-*.tar")):
            raise DataError(
                f"{root} is not finished: it has shards but no {MANIFEST}",
                hint="Run the command that makes it again; finished shards are kept.",
            )
        raise DataError(f"{root} is not a dataset: there is no {MANIFEST}")
    record = read_record(path)
    with boundary(path, "a dataset's manifest", hint="It was damaged or edited."):
        check_version(record)
        fields_from_json(record["fields"])
        Encoding(**record["encoding"])
        for name, kind in (_PARTS | _OPTIONAL).items():
            if not isinstance(record[name] if name in _PARTS else record.get(name, kind()), kind):
                raise ValueError(f"'{name}' is not of the kind it should be")
        for factor in record.get("factors", ()):
            Factor.from_json(factor)
        acceptance(record)
        for number, entry in enumerate(record["shards"]):
            if integer(entry["shard"]) != number or not isinstance(entry.get("notes", {}), dict):
                raise ValueError("its shards are not numbered one by one")
            integer(entry["size"])
            if not isinstance(entry["sha256"], str) or not isinstance(entry["marker_sha256"], str):
                raise ValueError("a checksum is not a text")
        if sum(integer(entry["count"]) for entry in record["shards"]) != record["count"]:
            raise ValueError("its counts contradict each other")
        body = {name: value for name, value in record.items() if name != "sha256"}
        if digest(body) != record["sha256"]:
            raise ValueError("it was changed after it was written")
    return record
