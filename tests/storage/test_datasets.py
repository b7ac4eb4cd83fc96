"""Datasets in stores: the same bytes as in a folder, read by ranges through a bounded cache, damage noticed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from stores import TESTS, Faulty, contents  # isort: split

from made_samples import FIELDS, make_samples

from synthforge.core import blocks, storage
from synthforge.core.errors import DataError
from synthforge.core.storage import RemotePath, place
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.verify import verify
from synthforge.datasets.writer import finish, shard_done, write_shard

assert TESTS


def write(root: Any, shards: int = 2, count: int = 3, first: int = 0) -> None:
    for shard in range(shards):
        if not shard_done(root, shard, "abc"):
            samples = make_samples(first + shard * count, count)
            write_shard(root, shard, samples, FIELDS, config_hash="abc")
    finish(root, shards=shards, config_hash="abc", config={}, licences={"made up": "CC0"})


@pytest.fixture(params=["file", "memory", "s3", "faulty"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a folder in each kind of store; of one, every third request fails."""
    if request.param == "file":
        return f"file://{tmp_path}/there"
    if request.param == "faulty":
        request.getfixturevalue("faulty").every = 3
        return "faulty://box/there"
    return f"{request.getfixturevalue('bucket' if request.param == 's3' else 'memory')}/there"


def test_a_dataset_is_the_same_wherever_it_lies(root: str, tmp_path: Path) -> None:
    write(tmp_path / "here")
    write(root)
    assert contents(root) == contents(tmp_path / "here")
    assert verify(root).problems == []
    here, there = ShardDataset(tmp_path / "here"), ShardDataset(root)
    if not root.startswith("memory"):
        there = pickle.loads(pickle.dumps(there))
    assert there.keys() == here.keys()
    for index in range(len(here)):
        for name, value in here[index].items():
            np.testing.assert_equal(there[index][name], value)
    assert Faulty.every == 0 or Faulty.failed > 10


class Counted:
    """How many bytes were asked of the store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[str, int]] = []
        read = RemotePath.read

        def counted(path: RemotePath, offset: int, length: int) -> bytes:
            self.requests.append((path.name, length))
            return read(path, offset, length)

        monkeypatch.setattr(RemotePath, "read", counted)


def test_reading_by_index_asks_for_ranges_and_then_for_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4096)
    write(f"{bucket}/data", shards=1, count=20)
    size = place(f"{bucket}/data/shard-00000.tar").stat().st_size
    counted = Counted(monkeypatch)
    dataset = ShardDataset(f"{bucket}/data", ["image"])
    first = dataset[17]["image"]
    assert 0 < sum(length for _, length in counted.requests) <= 3 * 4096 < size / 4
    counted.requests.clear()
    np.testing.assert_array_equal(ShardDataset(f"{bucket}/data", ["image"])[17]["image"], first)
    assert counted.requests == []


def test_what_is_damaged_is_noticed_and_the_cache_heals(bucket: str) -> None:
    root = f"{bucket}/data"
    write(root)
    dataset = ShardDataset(root)
    sound = dataset[1]["image"]
    for path in blocks.folder().glob("*/*"):
        path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(ShardDataset(root)[1]["image"], sound)
    tar = place(f"{root}/shard-00000.tar")
    assert isinstance(tar, RemotePath)
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.overwrite(bytes(data))
    np.testing.assert_array_equal(ShardDataset(root)[1]["image"], sound)  # what was read sound stays
    assert any("checksum" in problem for problem in verify(root).problems), "verify reads the store"
    for path in blocks.folder().glob("*/*"):
        path.unlink()
    with pytest.raises(DataError, match=r"sample 000000000: .*it does not have its checksum \(s3://"):
        ShardDataset(root)[0]
    tar.unlink()
    with pytest.raises(DataError, match=r"shard-00000\.tar is missing"):
        ShardDataset(root)


def test_verify_reads_each_tar_once_and_leaves_the_cache_alone(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"{bucket}/data", shards=2, count=5)
    sizes = {path.name: path.stat().st_size for path in place(f"{bucket}/data").glob("*.tar")}
    counted = Counted(monkeypatch)
    assert verify(f"{bucket}/data").samples == 10
    asked = [(name, length) for name, length in counted.requests if name.endswith(".tar")]
    assert sorted(asked) == sorted(sizes.items())
    assert not any("-" in path.name for path in blocks.folder().glob("*/*")), "ranges of a tar are in the cache"


def test_another_dataset_at_the_same_url_is_not_taken_from_the_cache(memory: str) -> None:
    write(memory)
    before = ShardDataset(memory)[0]["image"]
    fsspec.filesystem("memory").rm(memory, recursive=True)
    write(memory, first=100)
    assert not np.array_equal(ShardDataset(memory)[0]["image"], before)


def test_the_cache_is_bounded(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4096)
    monkeypatch.setattr(blocks, "_OFTEN", 1)
    monkeypatch.setenv("SYNTHFORGE_CACHE_GB", "0.00005")
    write(memory, shards=1, count=30)
    dataset = ShardDataset(memory)
    for index in range(30):
        assert dataset[index]["__key__"] == f"{index:09d}"
        assert sum(path.stat().st_size for path in blocks.folder().glob("*/*")) <= 50_000 + 4096
    assert blocks.limit() == 50_000


def test_a_shard_is_invisible_until_it_is_whole(memory: str) -> None:
    def dies() -> Any:
        yield from make_samples(0, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(memory, 0, dies(), FIELDS, config_hash="abc")
    assert contents(memory) == {}
    assert not shard_done(memory, 0, "abc")


def test_two_runs_that_write_different_markers_are_told(memory: str) -> None:
    write_shard(memory, 0, make_samples(0, 2), FIELDS, config_hash="abc")
    write_shard(memory, 0, make_samples(0, 2), FIELDS, config_hash="abc")  # the same again is fine
    with pytest.raises(DataError, match="written by another run"):
        write_shard(memory, 0, make_samples(0, 2), FIELDS, config_hash="other")


def test_stores_that_show_partial_uploads_get_another_name_first(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_WHOLE", set())
    write(tmp_path / "here")
    write(memory)
    assert contents(memory) == contents(tmp_path / "here")
