"""Formats of other tools that finished datasets are written in; plugins register them (`hookspecs.register_formats`).

A dataset is exported shard by shard: `write` makes the files of one shard and returns a record, `finish` makes the
files that all shards share. So several processes work side by side, and an interruption costs each its shard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, UserError
from ..core.files import sync_all, write_bytes, write_json
from ..core.foreign import boundary, parse_json
from ..core.progress import progress_bar
from ..core.records import MEMBER_FIELDS, Field, FieldKind
from ..core.schemas import IGNORE, POINT_SCHEMAS, class_mapping
from ..core.tables import Table, UnknownNameError
from .codecs import CODECS, JSON_MEMBER, Encoding, member_of
from .marks import marked
from .reader import ShardDataset

TRAIN, VAL = "train", "val"
_GROUP = MEMBER_FIELDS[0].name


@dataclass(frozen=True)
class Card:
    """What a format adds to the dataset card (README.md) and to the Croissant file.

    front_matter: keys of the card's YAML head. columns: of tables that `table` names (a pattern of files), as Croissant
    data types by column; empty where there are no tables.
    """

    front_matter: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One sample on its way into another format.

    position: its place in the dataset; split: `train` or `val`; members: its files as the dataset holds them, by name.
    """

    position: int
    key: str
    split: str
    members: Mapping[str, bytes]
    fields: Mapping[str, Field]
    encoding: Encoding
    mark: str = ""

    @cached_property
    def record(self) -> dict[str, Any]:
        """`scene`, `camera` and the small `annotations`, as JSON holds them."""
        with boundary(f"sample {self.key}", "a sample's record"):
            found: dict[str, Any] = parse_json(self.members[JSON_MEMBER], "it")
        return found

    def __getitem__(self, name: str) -> Any:
        """The value of a field, as `core.records.Field` says. Raises DataError for one that cannot be decoded."""
        item = self.fields[name]
        codec, member = CODECS[item.kind], member_of(item, self.encoding)
        with boundary(f"sample {self.key}", f"a sample with a sound {name}"):
            coded = self.members[member] if codec.member else self.record["annotations"][name]
            return codec.decode(coded, item, self.encoding)

    @property
    def suffix(self) -> str:
        """Of the picture's file: `.png` or `.jpg`."""
        return "." + self.picture_member.rpartition(".")[2]

    @property
    def picture(self) -> bytes:
        """The picture as a PNG or JPEG file: the dataset's own pixels, with the provenance mark where it is wanted."""
        data = self.members[self.picture_member]
        return marked(data, self.mark) if self.mark else data

    @property
    def picture_member(self) -> str:
        """Name of the picture's file in the dataset, without the key: `image.png`."""
        return next(member_of(item, self.encoding) for item in self.fields.values() if item.kind == "image")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        camera = self.record.get("camera")
        if camera:
            return int(camera["width"]), int(camera["height"])
        image = next(name for name, item in self.fields.items() if item.kind == "image")
        height, width = self[image].shape[:2]
        return width, height

    def labels(self, name: str, schema: str) -> np.ndarray:
        """A label field (H,W) uint8 in another class schema, what is not labelled as background."""
        table = class_mapping(self.fields[name].schema, schema).copy()
        table[IGNORE] = 0
        return table[self[name]]


@dataclass(frozen=True)
class Export:
    """A dataset and the folder that it is written to in another format.

    val: share of the samples, the last ones, that are for validation; mark: the IPTC source type that pictures carry
    (`datasets.marks`), empty for none.
    """

    dataset: ShardDataset
    out: Path
    val: float = 0.0
    mark: str = ""

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """All fields of the dataset by name, the picture's included."""
        return {item.name: item for item in self.dataset.all_fields}

    @property
    def shards(self) -> int:
        """How many shards the dataset has."""
        return len(self.dataset.spans)

    @property
    def splits(self) -> dict[str, int]:
        """How many samples each split has, by name; those without any are left out. Raises as `first_of_val` does."""
        sizes = {TRAIN: self.first_of_val, VAL: len(self.dataset) - self.first_of_val}
        return {name: size for name, size in sizes.items() if size}

    @cached_property
    def first_of_val(self) -> int:
        """Position of the first sample for validation.

        Samples that show one scene (`core.records.Members`) stay together. Raises DataError where none is left for
        training.
        """
        first = len(self.dataset) - round(self.val * len(self.dataset))
        if _GROUP in self.fields and first < len(self.dataset):
            groups = ShardDataset(self.dataset.root, [_GROUP])
            while first and groups[first][_GROUP] == groups[first - 1][_GROUP]:
                first -= 1
        if not first and len(self.dataset):
            raise DataError(f"a share of {self.val} for validation leaves no sample for training", hint="Take less.")
        return first

    def sample(self, position: int) -> Sample:
        """The sample at a position. Raises DataError where the dataset is damaged."""
        split = VAL if position >= self.first_of_val else TRAIN
        members = self.dataset.members(position)
        key = self.dataset.where(position)[1]
        return Sample(position, key, split, members, self.fields, self.dataset.encoding, self.mark)

    def write(self, name: str, data: bytes) -> None:
        """Write a file below `out`, whole or not at all; folders are made."""
        write_bytes(self.out / name, data, sync=False)

    def records(self) -> Iterator[Any]:
        """What `Format.write` returned, shard by shard."""
        with progress_bar("gather", self.shards, unit="shards") as advance:
            for shard in range(self.shards):
                path = part_file(self.out, shard)
                with boundary(path, "a record of this export", hint="Delete it and run the same command again."):
                    record = json.loads(path.read_bytes())["record"]  # ours, of any size
                yield record
                advance(1)


@dataclass(frozen=True)
class Format:
    """A format that datasets are exported to.

    - write(export, samples, shard): make the files of one shard; what it returns, which JSON can hold, comes to
      `finish` as `export.records()`. It may run anywhere, and again after it was killed: the same bytes each time;
    - finish(export): make the files that all shards share; the last thing that happens;
    - layout: what lies where, one line a file or folder, for the card;
    - check(fields): raise UserError or DataError where the dataset lacks what the format needs;
    - prepare(folder): called once before the first file is written;
    - modules: libraries that it needs, which `install` installs;
    - splits: whether it tells training and validation samples apart.
    """

    name: str
    summary: str
    layout: str
    write: Callable[[Export, Iterator[Sample], int], Any] | None = None
    finish: Callable[[Export], Card | None] | None = None
    check: Callable[[Sequence[Field]], Any] | None = None
    prepare: Callable[[Path], Any] | None = None
    modules: tuple[str, ...] = ()
    install: str = "pip install 'synthforge[export]'"
    splits: bool = True

    def check_installed(self) -> None:
        """Raise UserError, saying how to install it, for a library that is not there."""
        absent = [module for module in self.modules if find_spec(module) is None]
        if absent:
            raise UserError(
                f"the format {self.name} needs {', '.join(absent)}, which is not installed", hint=self.install
            )


FORMATS = Table("formats", "format", Format)


def part_file(out: Path, shard: int) -> Path:
    """Where it says that the files of a shard are all there; gone when the export is finished."""
    return out / ".parts" / f"{shard:05d}.json"


def write_part(format: Format, export: Export, shard: int, advance: Callable[[int], Any] = lambda count: None) -> None:
    """Make the files of one shard, and then its record."""

    def samples() -> Iterator[Sample]:
        for position in export.dataset.spans[shard]:
            yield export.sample(position)
            advance(1)

    assert format.write is not None
    record = format.write(export, samples(), shard)
    sync_all()
    write_json(part_file(export.out, shard), {"record": record})


def field_of(fields: Sequence[Field], kind: FieldKind, schema: str = "") -> Field:
    """The first field of a kind; of points and labels the first in `schema`, or in any that is known if it is empty.

    Raises DataError that says what the dataset has.
    """
    for item in fields:
        known = item.schema == schema if schema else kind != "points2d" or item.schema in POINT_SCHEMAS
        if item.kind == kind and known:
            return item
    wanted = f"{kind} field" + (f" in the schema '{schema}'" if schema else "")
    has = ", ".join(f"{item.name} ({item.kind} {item.schema})".replace(" )", ")") for item in fields)
    raise DataError(f"the dataset has no {wanted}, which this format needs", hint=f"It has: {has}.")


def labels_field(fields: Sequence[Field], schema: str) -> Field:
    """The first label field that can be mapped to a class schema.

    Raises DataError where there are no labels, UnknownNameError where none can be mapped.
    """
    first = field_of(fields, "label")
    for item in fields:
        if item.kind == "label":
            with suppress(UnknownNameError):
                class_mapping(item.schema, schema)
                return item
    class_mapping(first.schema, schema)
    return first
