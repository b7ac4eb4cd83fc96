"""Names and records of a dataset folder: `shard-00000.tar`, its marker `shard-00000.json`, and `manifest.json`.

A marker says that a shard is whole; the manifest says that the dataset is. Both are written last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from synthforge.core.blocks import whole
from synthforge.core.environment import hidden
from synthforge.core.errors import DataError
from synthforge.core.foreign import boundary, parse_json, read_json
from synthforge.core.records import Field
from synthforge.core.storage import RemotePath, place

from .codecs import CODECS, Encoding, members_of

FORMAT = "synthforge-dataset"
VERSION = 1
MANIFEST = "manifest.json"
SEAL = "check"  # key of a marker's digest of everything else in it
_NAMELESS = tarfile.TarInfo()
_NAMELESS.mode = 0o644
_HEADER = _NAMELESS.tobuf(tarfile.USTAR_FORMAT)  # of no name and no bytes
MOST_SAMPLES = 20_000  # of a shard, so that its marker can be read within the limits on JSON
BLOCK = 512  # bytes; what a tar consists of

KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = {"scene", "camera", "json"}


def tar_path(root: Path | str, shard: int) -> Path:
    """Where the samples of a shard lie."""
    return place(root) / f"shard-{shard:05d}.tar"


def marker_path(root: Path | str, shard: int) -> Path:
    """Where it says that a shard is whole."""
    return place(root) / f"shard-{shard:05d}.json"


@dataclass(frozen=True)
class ShardInfo:
    """A finished shard, as its marker has it.

    members: what each sample consists of, in file order. offsets, sizes, crcs: of each sample's members in the tar, in
    bytes, one list a sample, and their CRC-32 (empty for shards from before there were any). notes: what the run had
    to say (rejected scenes ...).
    """

    shard: int
    config_hash: str
    fields: tuple[Field, ...]
    encoding: Encoding
    size: int
    sha256: str
    keys: tuple[str, ...]
    members: tuple[str, ...]
    offsets: tuple[tuple[int, ...], ...]
    sizes: tuple[tuple[int, ...], ...]
    crcs: tuple[tuple[int, ...], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def to_json(self) -> dict[str, Any]:
        """The marker's content, sealed."""
        record = {"format": FORMAT, "version": VERSION, "count": self.count}
        record |= {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        record |= {
            "fields": [item.to_json() for item in self.fields],
            "encoding": dataclasses.asdict(self.encoding),
        }
        return {**record, SEAL: digest(record)}


@dataclass(frozen=True)
class ShardSummary:
    """What a manifest needs of a shard: not its samples, of which there may be a thousand million.

    span: the first and the last of its keys in the order of texts.
    """

    shard: int
    count: int
    size: int
    sha256: str
    marker_sha256: str
    notes: Mapping[str, Any]
    span: tuple[str, str]

    @staticmethod
    def of(info: ShardInfo, marker_sha256: str) -> ShardSummary:
        """The summary of a shard whose marker has that checksum."""
        span = (min(info.keys, default=""), max(info.keys, default=""))
        return ShardSummary(info.shard, info.count, info.size, info.sha256, marker_sha256, info.notes, span)


def keys_twice(root: Path | str, shards: Sequence[ShardSummary]) -> list[str]:
    """Keys that are in these shards twice; markers are read again only where the ranges of keys overlap."""
    spans = sorted(each.span for each in shards if each.count)
    if all(end < start for (_, end), (start, _) in pairwise(spans)):
        return []
    counts = Counter(key for each in shards for key in read_marker(root, each.shard).keys)
    return [key for key, count in counts.items() if count > 1]


def header(name: str, size: int) -> bytes:
    """The block in front of a member of `size` bytes: USTAR, no times, no owners."""
    known, digits = name.encode("ascii"), b"%011o" % size
    checksum = int(_HEADER[148:154], 8) + sum(known) + sum(digits) - 11 * ord("0")
    front = known.ljust(100, b"\0") + _HEADER[100:124] + digits + _HEADER[135:148]
    return front + b"%06o" % checksum + _HEADER[154:]


def tar_size(end: int) -> int:
    """Bytes of a tar whose last member ends (with its padding) at `end`: two empty blocks, then a full record."""
    return -(-(end + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def to_bytes(record: Mapping[str, Any], indent: int | None = None) -> bytes:
    """JSON as it lies on disk: the same record gives the same bytes."""
    separators = (",", ":") if indent is None else None
    return (hidden(json.dumps(record, indent=indent, separators=separators, allow_nan=False)) + "\n").encode()


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record as it lies on disk, in hexadecimal."""
    return hashlib.sha256(to_bytes(record)).hexdigest()


def read_record(path: Path, sha256: str = "") -> dict[str, Any]:
    """A JSON object from disk; DataError when it is missing, unreadable or not an object.

    sha256: what the file should have, so that one in a store may be read from the cache.
    """
    hint = "It was damaged or edited."
    if sha256 and isinstance(path, RemotePath):
        with boundary(path, "a record", hint=hint):
            record = parse_json(whole(path, sha256), path, hint=hint)
    else:
        record = read_json(path, hint=hint)
    if not isinstance(record, dict):
        raise DataError(f"{path} must hold a JSON object, not a {type(record).__name__}")
    return record


def read_marker(root: Path | str, shard: int, sha256: str = "") -> ShardInfo:
    """The marker of a finished shard; DataError, with the way out, when it is not one or was changed.

    sha256: of the marker by the manifest, see `read_record`.
    """
    path = marker_path(root, shard)
    record = read_record(path, sha256)
    with boundary(path, f"the marker of shard {shard}", hint=remake_hint(root, shard)):
        check_version(record)
        if record.pop(SEAL, None) not in (None, digest(record)):  # none: of a release without seals
            raise ValueError("it was changed after it was written")
        info = ShardInfo(
            shard=integer(record["shard"]),
            config_hash=str(record["config_hash"]),
            fields=fields_from_json(record["fields"]),
            encoding=Encoding(**record["encoding"]),
            size=integer(record["size"]),
            sha256=str(record["sha256"]),
            keys=tuple(record["keys"]),
            members=tuple(record["members"]),
            **{name: _table(record.get(name, [])) for name in ("offsets", "sizes", "crcs")},
            notes=dict(record["notes"]),
        )
        if info.shard != shard or info.count != record["count"] or len(set(info.keys)) != info.count:
            raise ValueError("its numbers contradict each other")
        if not all(KEY.fullmatch(key) for key in info.keys):
            raise ValueError("a sample has a key that none can have")
        if info.members != tuple(members_of(info.fields, info.encoding)):
            raise ValueError("its members are not those of its fields")
        _check_index(info)
    return info


def _table(rows: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(integer, row)) for row in rows)


def _check_index(info: ShardInfo) -> None:
    """Raise ValueError unless the members, one behind the other, are all there is room for in the tar."""
    shape = (info.count, len(info.members))
    tables = {"offsets": info.offsets, "sizes": info.sizes} | ({"crcs": info.crcs} if info.crcs else {})
    if any(len(table) != shape[0] or {len(row) for row in table} - {shape[1]} for table in tables.values()):
        raise ValueError("its index contradicts itself")
    end = 0
    for offsets, sizes in zip(info.offsets, info.sizes, strict=True):
        for offset, size in zip(offsets, sizes, strict=True):
            if offset != end + BLOCK:
                raise ValueError("its index leaves room for members that it does not name")
            end = offset + -(-size // BLOCK) * BLOCK
    if info.size != tar_size(end):
        raise ValueError("its index leaves room for members that it does not name")


def integer(value: Any) -> int:
    """A number of bytes, samples or shards from JSON; ValueError for anything but 0..2^53."""
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def remake_hint(root: Path | str, shard: int) -> str:
    """The way out of a broken shard."""
    tar, marker = tar_path(root, shard), marker_path(root, shard)
    return f"Restore the shard from a copy, or delete {marker.name} and {tar.name} in {root} and generate again."


def check_version(record: Mapping[str, Any]) -> None:
    """ValueError unless a record is of this format and a version that can be read."""
    if record.get("format") != FORMAT:
        raise ValueError(f"its format is {record.get('format')!r}, not {FORMAT!r}")
    if record.get("version") != VERSION:
        raise ValueError(f"it is of version {record.get('version')!r}; this release reads version {VERSION}")


def fields_from_json(records: Sequence[Mapping[str, Any]]) -> tuple[Field, ...]:
    """Field descriptions as markers and manifests hold them; raises ValueError for records that describe no fields."""
    fields = tuple(Field(**record) for record in records)
    if not all(isinstance(text, str) for item in fields for text in dataclasses.astuple(item)):
        raise ValueError("a field is not described in words")
    unknown = {item.kind for item in fields} - set(CODECS)
    if unknown:
        raise ValueError(f"unknown field kinds {sorted(unknown)}")
    names = [item.name for item in fields]
    if len(set(names)) != len(names) or not all(field_name(name) for name in names):
        raise ValueError(f"its fields are called {names}")
    return fields


def field_name(name: str) -> bool:
    """Whether a field may be called so."""
    return _FIELD.fullmatch(name) is not None and name not in _RESERVED
