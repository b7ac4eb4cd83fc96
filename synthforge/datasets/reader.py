"""Reading shards by index, in constant time, from any number of threads and processes."""

from __future__ import annotations

import bisect
import functools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.errors import DataError
from synthforge.core.records import Field

from .codecs import CODECS, JSON_MEMBER, Encoding, member_of
from .layout import MANIFEST, check_version, fields_from_json, marker_path, read_marker, read_record, tar_path

log = logging.getLogger(__name__)

_OPEN_FILES = 64
_BLOCK = 512
_RECORD = ("scene", "camera")


class _Descriptor:
    """An open file that closes when the last thread lets go of it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@dataclass(frozen=True)
class _Shard:
    shard: int
    path: Path
    keys: tuple[str, ...]
    places: dict[str, np.ndarray]  # member -> (count, 2) offset and size


class ShardDataset:
    """A finished dataset as a sequence of samples; a map-style dataset for torch's DataLoader.

    `dataset[i]` is a dict: `__key__`; `image` (H,W,3) uint8 and every other field as `core.records.Field` says;
    `scene` with seed, index and parameters (arrays come back as lists); `camera`, to be read by `Camera.from_json`.

    fields: names to read (also `scene` and `camera`), None for everything; what is left out costs nothing.
    skip_damaged: give the next sound sample instead of raising, and count: `damaged` has the reason by shard and
    key (each DataLoader worker counts its own).

    Nothing is locked and no file position is shared: instances may be used from many threads, forked and pickled.
    Raises DataError that names shard and key.
    """

    def __init__(self, root: Path | str, fields: Sequence[str] | None = None, *, skip_damaged: bool = False) -> None:
        self.root = Path(root)
        self.skip_damaged = skip_damaged
        self.damaged: dict[str, str] = {}
        self.manifest = read_manifest(self.root)
        self.encoding = Encoding(**self.manifest["encoding"])
        self.all_fields = fields_from_json(self.manifest["fields"])
        self.fields = self._choose(fields)
        self._record = tuple(name for name in _RECORD if fields is None or name in fields)
        self._shards: list[_Shard] = []
        self._ends: list[int] = []
        total = 0
        for entry in self.manifest["shards"]:
            try:
                shard = self._index(entry)
            except DataError as error:
                if not skip_damaged:
                    raise
                self._note(f"shard {entry['shard']}", error)
                continue
            total += len(shard.keys)
            self._shards.append(shard)
            self._ends.append(total)
        self._open = functools.lru_cache(_OPEN_FILES)(_Descriptor)

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

    def _index(self, entry: dict[str, Any]) -> _Shard:
        number = int(entry["shard"])
        info = read_marker(self.root, number)
        path = tar_path(self.root, number)
        if (info.sha256, info.size, info.count) != (entry["sha256"], entry["size"], entry["count"]):
            raise DataError(
                f"{marker_path(self.root, number)} does not belong to {self.root / MANIFEST}",
                hint="One of them was replaced or edited: restore both from a copy, or generate again.",
            )
        size = path.stat().st_size if path.exists() else None
        if size != info.size:
            found = "is missing" if size is None else f"has {size} bytes instead of {info.size}"
            raise DataError(f"{path} {found}", hint="Restore it from a copy, or delete it and its marker.")
        table = np.stack([np.array(info.offsets, np.int64), np.array(info.sizes, np.int64)], axis=-1)
        table = table.reshape(info.count, len(info.members), 2)
        places = {name: table[:, column] for column, name in enumerate(info.members)}
        missing = {member_of(item, self.encoding) for item in self.fields} - set(places)
        if missing:
            raise DataError(f"shard {number} in {self.root} lacks the members {sorted(missing)}")
        return _Shard(number, path, info.keys, places)

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
        return [key for shard in self._shards for key in shard.keys]

    def where(self, index: int) -> tuple[int, str]:
        """Shard and key of a sample."""
        shard, row = self._locate(range(len(self))[index])
        return shard.shard, shard.keys[row]

    def _locate(self, index: int) -> tuple[_Shard, int]:
        position = bisect.bisect_right(self._ends, index)
        shard = self._shards[position]
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
                record = json.loads(self._bytes(shard, row, JSON_MEMBER))
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
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"shard {shard.shard}, sample {key}: cannot read {name}: {reason} ({shard.path})",
                hint="Check the dataset with `synthforge verify`; restore the shard from a copy or generate it again.",
            ) from error
        return sample

    def _bytes(self, shard: _Shard, row: int, member: str) -> bytes:
        offset, size = map(int, shard.places[member][row])
        handle = self._open(shard.path)
        data = os.pread(handle.number, _BLOCK + size, offset - _BLOCK)
        if len(data) != _BLOCK + size:
            raise ValueError("the tar ends before the sample does")
        wanted = f"{shard.keys[row]}.{member}".encode()
        if data[:100].rstrip(b"\0") != wanted:  # the tar header in front of the member holds its name
            raise ValueError("marker and tar do not match")
        return data[_BLOCK:]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = functools.lru_cache(_OPEN_FILES)(_Descriptor)


def read_manifest(root: Path | str) -> dict[str, Any]:
    """The manifest of a finished dataset; DataError, with the way out, when there is none or it is not one."""
    path = Path(root) / MANIFEST
    if not path.exists():
        if any(Path(root).glob("shard-*.tar")):
            raise DataError(
                f"{root} is not finished: it has shards but no {MANIFEST}",
                hint="Run the command that makes it again; finished shards are kept.",
            )
        raise DataError(f"{root} is not a dataset: there is no {MANIFEST}")
    record = read_record(path)
    try:
        check_version(record)
        fields_from_json(record["fields"])
        Encoding(**record["encoding"])
        counts = [(int(s["shard"]), int(s["count"]), str(s["sha256"]), int(s["size"])) for s in record["shards"]]
        if sum(count for _, count, _, _ in counts) != record["count"]:
            raise ValueError("its counts contradict each other")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a dataset's manifest: {error}", hint="It was damaged or edited.") from error
    return record


def read_samples(root: Path | str, indices: Iterable[int]) -> list[dict[str, Any]]:
    """Some samples, whole."""
    dataset = ShardDataset(root)
    return [dataset[index] for index in indices]
