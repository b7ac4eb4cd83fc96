"""One flipped bit anywhere: the reader gives the true values or an error, and `verify` finds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_samples import FIELDS, make_samples

from synthforge.core.errors import DataError
from synthforge.core.files import sha256_of
from synthforge.core.records import Verdict
from synthforge.datasets.codecs import Encoding
from synthforge.datasets.layout import BLOCK, digest, marker_path, tar_path, to_bytes
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.rejections import NOTE, REJECTIONS, read_rejections, rejection
from synthforge.datasets.verify import verify
from synthforge.datasets.writer import finish, write_shard

COUNT = 2


@pytest.fixture(params=[None, 90], ids=["png", "jpeg"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A small dataset with a rejected candidate, images as PNG or as JPEG (which has no checksums of its own)."""
    root = tmp_path / "data"
    samples = [sample | {"words": {"size": 1.5e-7, "text": "grün"}} for sample in make_samples(0, COUNT)]
    encoding = Encoding(jpeg_quality=request.param)
    notes = {NOTE: [rejection(7, "visible", Verdict(False, "hidden", {"share": 0.25}))]}
    write_shard(root, 0, samples, FIELDS, config_hash="abc", encoding=encoding, notes=notes)
    finish(root, shards=1, config_hash="abc", config={}, licences={"made up": "CC0"}, filters=[{"name": "visible"}])
    return root


def everything(root: Path) -> list[Any]:
    """All that a user can read from a dataset, as plain data."""
    dataset = ShardDataset(root)
    plain = [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in sample.items()}
        for sample in dataset
    ]
    return [plain, dataset.manifest, read_rejections(root)]


def places(root: Path) -> dict[str, tuple[Path, int, int]]:
    """Every kind of byte of a dataset: (file, first, one past the last)."""
    marker = json.loads(marker_path(root, 0).read_text())
    tar = tar_path(root, 0)
    found = {path.name: (path, 0, path.stat().st_size) for path in root.iterdir() if path != tar}
    for member, offset, size in zip(marker["members"], marker["offsets"][1], marker["sizes"][1], strict=True):
        found[f"header of {member}"] = (tar, offset - BLOCK, offset)
        found[f"content of {member}"] = (tar, offset, offset + size)
        end = offset + size
    found["padding"] = (tar, end, end - end % -BLOCK)
    found["end"] = (tar, end - end % -BLOCK, tar.stat().st_size)
    return found


def flips(root: Path, step: Callable[[int], int]) -> Iterator[tuple[str, Path]]:
    """Flip one bit at a time, at every `step(size)`-th byte of each kind, and put it back."""
    for kind, (path, first, last) in places(root).items():
        sound = path.read_bytes()
        for number, place in enumerate(range(first, last, step(last - first))):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << (number * 5) % 8
            path.write_bytes(damaged)
            yield f"{kind}, byte {place}, bit {(number * 5) % 8}", path
        path.write_bytes(sound)


def check(root: Path, step: Callable[[int], int]) -> int:
    true, count = everything(root), 0
    assert verify(root).ok, verify(root).problems
    for where, _ in flips(root, step):
        count += 1
        try:
            read = everything(root)
        except DataError:
            pass
        else:
            assert read == true, where
        assert not verify(root).ok, where
    assert everything(root) == true
    return count


def test_a_flipped_bit_never_gives_a_wrong_value(root: Path) -> None:
    assert check(root, lambda size: max(1, size // 4)) > 50


@pytest.mark.slow
def test_no_flipped_byte_gives_a_wrong_value(root: Path) -> None:
    assert check(root, lambda size: max(1, size // 700)) > 5000


def test_datasets_from_before_there_were_digests_are_read(root: Path) -> None:
    true = everything(root)[0]
    marker = json.loads(marker_path(root, 0).read_text())
    for name in ("check", "crcs"):
        del marker[name]
    marker_path(root, 0).write_bytes(to_bytes(marker))
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["shards"][0]["marker_sha256"] = sha256_of(marker_path(root, 0))
    (root / "manifest.json").write_bytes(to_bytes({**manifest, "sha256": digest(manifest)}, indent=1))
    assert everything(root)[0] == true
    assert verify(root).ok


def test_a_flipped_bit_in_a_finished_marker_is_found_before_there_is_a_manifest(root: Path) -> None:
    from synthforge.datasets.writer import shard_done

    (root / "manifest.json").unlink()
    (root / REJECTIONS).unlink()
    path = marker_path(root, 0)
    sound = path.read_bytes()
    assert shard_done(root, 0, "abc", verify=True)
    place = sound.index(b'"size":') + 7  # a digit of what the dataset holds
    path.write_bytes(sound[:place] + bytes([sound[place] ^ 2]) + sound[place + 1 :])
    with pytest.raises(DataError, match="was changed after it was written"):
        shard_done(root, 0, "abc")
