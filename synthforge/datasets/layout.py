"""Names and records of a dataset folder: `shard-00000.tar`, its marker `shard-00000.json`, and `manifest.json`.

A marker says that a shard is whole; the manifest says that the dataset is. Both are written last.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthforge.core.errors import DataError
from synthforge.core.foreign import read_json
from synthforge.core.records import Field

from .codecs import CODECS, Encoding

FORMAT = "synthforge-dataset"
VERSION = 1
MANIFEST = "manifest.json"


def tar_path(root: Path | str, shard: int) -> Path:
    """Where the samples of a shard lie."""
    return Path(root) / f"shard-{shard:05d}.tar"


def marker_path(root: Path | str, shard: int) -> Path:
    """Where it says that a shard is whole."""
    return Path(root) / f"shard-{shard:05d}.json"


@dataclass(frozen=True)
class ShardInfo:
    """A finished shard, as its marker has it.

    members: what each sample consists of, in file order; offsets, sizes: of each sample's members in the tar, in
    bytes, one list a sample; notes: what the run had to say (rejected scenes ...).
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
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def to_json(self) -> dict[str, Any]:
        """The marker's content."""
        record = {"format": FORMAT, "version": VERSION, "count": self.count}
        return (
            record
            | {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
            | {
                "fields": [dataclasses.asdict(item) for item in self.fields],
                "encoding": dataclasses.asdict(self.encoding),
            }
        )


def to_bytes(record: Mapping[str, Any], indent: int | None = None) -> bytes:
    """JSON as it lies on disk: the same record gives the same bytes."""
    separators = (",", ":") if indent is None else None
    return (json.dumps(record, indent=indent, separators=separators, allow_nan=False) + "\n").encode()


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object from disk; DataError when it is missing, unreadable or not an object."""
    record = read_json(path, hint="It was damaged or edited.")
    if not isinstance(record, dict):
        raise DataError(f"{path} must hold a JSON object, not a {type(record).__name__}")
    return record


def read_marker(root: Path | str, shard: int) -> ShardInfo:
    """The marker of a finished shard; DataError, with the way out, when it is not one."""
    path = marker_path(root, shard)
    record = read_record(path)
    try:
        check_version(record)
        info = ShardInfo(
            shard=int(record["shard"]),
            config_hash=str(record["config_hash"]),
            fields=fields_from_json(record["fields"]),
            encoding=Encoding(**record["encoding"]),
            size=int(record["size"]),
            sha256=str(record["sha256"]),
            keys=tuple(str(key) for key in record["keys"]),
            members=tuple(str(member) for member in record["members"]),
            offsets=tuple(tuple(int(n) for n in row) for row in record["offsets"]),
            sizes=tuple(tuple(int(n) for n in row) for row in record["sizes"]),
            notes=dict(record["notes"]),
        )
        lengths = {len(row) for rows in (info.offsets, info.sizes) for row in rows}
        if info.shard != shard or not info.count == record["count"] == len(info.offsets) == len(info.sizes):
            raise ValueError("its numbers contradict each other")
        if lengths - {len(info.members)} or len(set(info.keys)) != info.count:
            raise ValueError("its index contradicts itself")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not the marker of shard {shard}: {error}", hint=remake_hint(root, shard)) from error
    return info


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
    """Field descriptions as markers and manifests hold them; ValueError or TypeError when they are none."""
    fields = tuple(Field(**record) for record in records)
    unknown = {item.kind for item in fields} - set(CODECS)
    if unknown:
        raise ValueError(f"unknown field kinds {sorted(unknown)}")
    return fields
