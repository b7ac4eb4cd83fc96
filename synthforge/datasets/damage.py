"""Which bytes of a finished dataset are damaged: by shard, sample and what they are. Nothing is decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.files import sha256_of
from .layout import BLOCK, MANIFEST, ShardInfo, header, marker_path, read_marker, tar_path


@dataclass(frozen=True)
class Damage:
    """What is damaged. shard: None for the dataset's own files; key: of the sample, empty for the whole shard.

    part: `manifest`, `rejections`, `marker`, `tar` (missing, cut, or an unknown place), `header`, `padding`, `end`,
    or the member: `image.png`, `json` ...
    """

    shard: int | None
    key: str
    part: str
    problem: str

    def __str__(self) -> str:
        where = [] if self.shard is None else [f"shard {self.shard}"]
        return f"{', '.join([*where, *([f'sample {self.key}'] if self.key else []), self.part])}: {self.problem}"

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def shard_damage(root: Path, entry: Mapping[str, Any], copy: Path | None = None) -> list[Damage]:
    """What is damaged in a shard, held against its entry in the manifest. Reads every byte of it once, or twice.

    copy: where its tar is read from, if not from `root`.
    """
    shard, info = entry["shard"], None
    marker, tar = marker_path(root, shard), tar_path(root, shard)
    copy = copy or tar
    found: list[Damage] = []
    if not marker.is_file():
        found.append(Damage(shard, "", "marker", f"{marker} is missing"))
    elif sha256_of(marker) != entry["marker_sha256"]:
        found.append(Damage(shard, "", "marker", f"{marker} does not have the checksum of {MANIFEST}"))
    else:
        try:
            info = read_marker(root, shard)
        except DataError as error:  # written so
            found.append(Damage(shard, "", "marker", error.message))
    if not copy.is_file():
        return [*found, Damage(shard, "", "tar", f"{tar} is missing")]
    if sha256_of(copy) == entry["sha256"]:
        return found
    inside = list(_inside(copy, info)) if info else []
    return found + (inside or [Damage(shard, "", "tar", f"{tar} does not have the checksum of {MANIFEST}")])


def _inside(path: Path, info: ShardInfo) -> Iterator[Damage]:
    """Where a tar differs from its marker, block by block."""

    def at(key: str, part: str, problem: str) -> Damage:
        return Damage(info.shard, key, part, f"{problem} ({path.name})")

    if (size := path.stat().st_size) != info.size:
        yield at("", "tar", f"it has {size} bytes instead of {info.size}")
    with path.open("rb") as file:
        for row, (key, sizes) in enumerate(zip(info.keys, info.sizes, strict=True)):
            for column, (member, length) in enumerate(zip(info.members, sizes, strict=True)):
                front, data = file.read(BLOCK), file.read(length)
                padding = file.read(-length % BLOCK)
                if len(front) + len(data) < BLOCK + length:
                    yield at(key, member, "the tar ends before it does")
                    return
                if front != header(f"{key}.{member}", length):
                    yield at(key, "header", f"the header of {member} is another")
                if info.crcs and zlib.crc32(data) != info.crcs[row][column]:
                    yield at(key, member, "it does not have its checksum")
                if padding.strip(b"\0"):
                    yield at(key, "padding", f"there is data behind {member}")
        if file.read().strip(b"\0"):
            yield at("", "end", "there is data behind the last sample")
