"""Tars that hold something else than their index says, with checksums that fit, are refused by name."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import FIELDS, make_samples
from test_damage import reseal

from synthforge.core.errors import DataError
from synthforge.datasets.layout import BLOCK, read_marker, tar_path, tar_size
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.verify import verify
from synthforge.datasets.writer import finish, write_shard

Blocks = list[tuple[bytes, bytes]]  # header and padded content of every member


def blocks_of(path: Path) -> Blocks:
    data, place, found = path.read_bytes(), 0, []
    while data[place]:
        size = int(data[place + 124 : place + 135], 8)
        end = place + BLOCK + -(-size // BLOCK) * BLOCK
        found.append((data[place : place + BLOCK], data[place + BLOCK : end]))
        place = end
    return found


def header(name: str, size: int = 0, **more: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.USTAR_FORMAT)


def write(path: Path, blocks: Blocks) -> None:
    data = b"".join(part for block in blocks for part in block)
    path.write_bytes(data.ljust(tar_size(len(data)), b"\0"))


def broken(block: bytes) -> bytes:
    return block[:100] + b"0000777\0" + block[108:]  # without a checksum to match


EXTRA: dict[str, Callable[[Blocks], tuple[bytes, bytes]]] = {
    "a path out of the folder": lambda b: (header("../../evil", 5), b"evil!".ljust(BLOCK, b"\0")),
    "an absolute path": lambda b: (header("/etc/evil", 5), b"evil!".ljust(BLOCK, b"\0")),
    "a symbolic link": lambda b: (header("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
    "a hard link": lambda b: (header("link", type=tarfile.LNKTYPE, linkname="000000000.json"), b""),
    "a device": lambda b: (header("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
    "a member that comes twice": lambda b: b[0],
    "a sample that is not listed": lambda b: (header("000000099.json", 2), b"{}".ljust(BLOCK, b"\0")),
}


@pytest.mark.parametrize("place", ["first", "between", "last", "behind the end"])
@pytest.mark.parametrize("kind", EXTRA)
def test_members_that_the_index_does_not_name_are_refused(
    make_dataset: Callable[..., Path], kind: str, place: str
) -> None:
    root = make_dataset(shards=1, count=2)
    path = tar_path(root, 0)
    blocks = blocks_of(path)
    extra, info = EXTRA[kind](blocks), read_marker(root, 0)
    at = {"first": 0, "between": 4, "last": len(blocks), "behind the end": len(blocks)}[place]
    end = (bytes(2 * BLOCK), b"") if place == "behind the end" else (b"", b"")
    write(path, [*blocks[:at], end, extra, *blocks[at:]])
    shift = len(extra[0] + extra[1]) if at < len(blocks) else 0

    def move(record: dict[str, Any]) -> None:
        """Point at the samples where they are now."""
        columns, flat = len(info.members), [offset for row in record["offsets"] for offset in row]
        flat = [offset + shift * (number >= at) for number, offset in enumerate(flat)]
        record["offsets"] = [flat[row * columns : (row + 1) * columns] for row in range(info.count)]

    reseal(root, 0, move)
    with pytest.raises(DataError, match=r"leaves room for members|holds more than its marker names"):
        ShardDataset(root)
    assert not verify(root).ok


REPLACED: dict[str, Callable[[bytes], bytes]] = {
    "another name": lambda b: header("../../evil.image.png", int(b[124:135], 8)),
    "a link": lambda b: header(b[:100].rstrip(b"\0").decode(), type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a mode": lambda b: header(b[:100].rstrip(b"\0").decode(), int(b[124:135], 8), mode=0o4777),
    "an owner": lambda b: header(b[:100].rstrip(b"\0").decode(), int(b[124:135], 8), uname="root"),
    "a size": lambda b: header(b[:100].rstrip(b"\0").decode(), 8**10),
    "a broken header": broken,
    "nothing": lambda b: bytes(BLOCK),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_headers_that_say_something_else_are_refused(make_dataset: Callable[..., Path], kind: str) -> None:
    root = make_dataset(shards=1, count=2)
    path = tar_path(root, 0)
    blocks = blocks_of(path)
    columns = len(read_marker(root, 0).members)
    blocks[columns] = (REPLACED[kind](blocks[columns][0]), blocks[columns][1])
    write(path, blocks)
    reseal(root, 0, lambda record: None)
    dataset = ShardDataset(root)
    assert dataset[0]["__key__"] == "000000000"
    with pytest.raises(DataError, match=r"shard 0, sample 000000001: .* do not match"):
        dataset[1]
    report = verify(root)
    assert any("where its marker has the member 000000001.image.png" in problem for problem in report.problems)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small dataset for all examples of the test below."""
    root = tmp_path_factory.mktemp("data")
    write_shard(root, 0, make_samples(0, 2), FIELDS, config_hash="abc")
    finish(root, shards=1, config_hash="abc", config={}, licences={})
    return root


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_a_tar_holds_the_answer_is_a_sample_or_our_error(small: Path, data: st.DataObject) -> None:
    path = tar_path(small, 0)
    sound = path.read_bytes()
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(sound) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=40))
        damaged[place : place + len(patch)] = patch
    path.write_bytes(damaged[: len(sound)])
    reseal(small, 0, lambda record: record.update(crcs=[]))  # as a dataset from before there were digests
    verify(small)
    for index in range(2):
        with contextlib.suppress(DataError):
            assert ShardDataset(small)[index]["image"].shape == (24, 24, 3)
    path.write_bytes(sound)
