"""What happens when a disk fills up, a process dies or a file is tampered with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_samples import FIELDS, make_samples

from synthforge.core.errors import DataError
from synthforge.core.files import sha256_of
from synthforge.datasets.layout import digest, marker_path, tar_path, to_bytes
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.verify import verify
from synthforge.datasets.writer import finish, shard_done, write_shard

SLOW_WRITER = """
    import sys, time
    import numpy as np
    from pathlib import Path
    from synthforge.datasets.writer import write_shard
    def samples(count, pause):
        for i in range(count):
            image = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            yield {"__key__": f"{i:09d}", "image": image, "scene": None, "camera": None}
            print("made", i, flush=True)
            time.sleep(pause)
"""


def run(body: str, *arguments: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(SLOW_WRITER) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_writer_leaves_finished_shards_and_no_half_ones(tmp_path: Path) -> None:
    process = run(
        """
        write_shard(sys.argv[1], 0, samples(2, 0), [], config_hash="x")
        write_shard(sys.argv[1], 1, samples(500, 0.02), [], config_hash="x")
        """,
        str(tmp_path),
    )
    assert process.stdout is not None
    for _ in range(12):  # well into the second shard
        assert process.stdout.readline().startswith("made")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    leftovers = list(tmp_path.glob(".shard-00001.tar.*.tmp"))
    assert len(leftovers) == 1  # the kill came in the middle
    before = sha256_of(tar_path(tmp_path, 0))
    assert shard_done(tmp_path, 0, "x", verify=True)
    assert not shard_done(tmp_path, 1, "x")
    assert not tar_path(tmp_path, 1).exists()
    with pytest.raises(DataError, match="not finished"):
        ShardDataset(tmp_path)

    again = run('write_shard(sys.argv[1], 1, samples(2, 0), [], config_hash="x")', str(tmp_path))
    assert again.wait() == 0
    again.communicate()
    assert list(tmp_path.glob(".*")) == []
    assert sha256_of(tar_path(tmp_path, 0)) == before
    assert shard_done(tmp_path, 1, "x", verify=True)


def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, make_samples(0, 2), FIELDS, config_hash="x")
    process = run(
        """
        import resource, signal
        from synthforge.core.errors import SynthForgeError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_shard(sys.argv[1], 1, samples(50, 0), [], config_hash="x")
        except SynthForgeError as error:
            print("ERROR", error)
        """,
        str(tmp_path),
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    message = out[out.index("ERROR") :]
    assert "no space left while writing" in message
    assert "shard-00001.tar" in message
    assert "run the same command again" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-00000.json", "shard-00000.tar"]
    assert shard_done(tmp_path, 0, "x", verify=True)


def test_a_really_full_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        write_shard(mount, 0, make_samples(0, 2), FIELDS, config_hash="x")
        with pytest.raises(DataError, match="no space left while writing"):
            write_shard(mount, 1, make_samples(2, 200), FIELDS, config_hash="x")
        assert sorted(path.name for path in mount.iterdir()) == ["shard-00000.json", "shard-00000.tar"]
        assert shard_done(mount, 0, "x", verify=True)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot write"):
        write_shard(tmp_path / "file" / "data", 0, make_samples(0, 1), FIELDS, config_hash="x")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def place(root: Path, shard: int, row: int, member: str) -> tuple[int, int]:
    marker = json.loads(marker_path(root, shard).read_text())
    column = marker["members"].index(member)
    return marker["offsets"][row][column], marker["sizes"][row][column]


def test_a_damaged_sample_is_named_and_others_are_read(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    offset, size = place(root, 1, 2, "depth.png")
    flip(tar_path(root, 1), offset + size // 2)
    dataset = ShardDataset(root)
    with pytest.raises(DataError, match=r"shard 1, sample 000000005: cannot read depth"):
        dataset[5]
    assert dataset[4]["__key__"] == "000000004"
    assert "depth" not in ShardDataset(root, ["image"])[5]  # what is not asked for is not read

    lenient = ShardDataset(root, skip_damaged=True)
    assert lenient[5]["__key__"] == "000000000"  # the next sound one, around the end
    assert lenient[5]["__key__"] == "000000000"
    assert list(lenient.damaged) == ["shard 1, sample 000000005"]

    assert shard_done(root, 1, "abc")
    with pytest.raises(DataError, match="checksum"):
        shard_done(root, 1, "abc", verify=True)
    report = verify(root)
    assert not report.ok
    assert report.samples == 5
    assert any("checksum" in problem for problem in report.problems)
    assert any("000000005" in problem for problem in report.problems)


def test_a_truncated_tar_is_noticed_at_once_and_while_reading(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    dataset = ShardDataset(root)
    first = dataset[0]["image"]
    path = tar_path(root, 0)
    os.truncate(path, place(root, 0, 2, "image.png")[0] + 10)
    with pytest.raises(DataError, match=r"shard 0, sample 000000002: .* ends before"):
        dataset[2]
    assert (dataset[0]["image"] == first).all()
    for check in (lambda: ShardDataset(root), lambda: shard_done(root, 0, "abc")):
        with pytest.raises(DataError, match=r"shard-00000.tar has \d+ bytes instead of \d+") as caught:
            check()
        assert "delete" in str(caught.value.hint)
    lenient = ShardDataset(root, skip_damaged=True)
    assert len(lenient) == 3
    assert list(lenient.damaged) == ["shard 0"]
    assert not verify(root).ok


def test_a_missing_tar_or_marker_is_named(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    tar_path(root, 1).unlink()
    with pytest.raises(DataError, match=r"shard-00001.tar is missing"):
        ShardDataset(root)
    with pytest.raises(DataError, match=r"shard-00001.tar is missing"):
        shard_done(root, 1, "abc")
    marker_path(root, 1).unlink()
    with pytest.raises(DataError, match=r"shard-00001.json"):
        ShardDataset(root)
    with pytest.raises(DataError, match="shard 1 of 2"):
        finish(root, shards=2, config_hash="abc", config={}, licences={})


MARKER_EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "count": lambda r: r.update(count=2),
    "a key twice": lambda r: r["keys"].__setitem__(0, r["keys"][1]),
    "offsets": lambda r: r["offsets"][0].pop(),
    "format": lambda r: r.update(format="other"),
    "version": lambda r: r.update(version=99),
    "a field": lambda r: r["fields"][0].update(kind="sound"),
    "no sizes": lambda r: r.pop("sizes"),
    "shard": lambda r: r.update(shard=4),
}


@pytest.mark.parametrize("name", MARKER_EDITS)
def test_a_marker_that_contradicts_itself_is_an_error_with_a_way_out(
    make_dataset: Callable[..., Path], name: str
) -> None:
    root = make_dataset()
    edit(marker_path(root, 0), MARKER_EDITS[name])
    for check in (lambda: ShardDataset(root), lambda: shard_done(root, 0, "abc")):
        with pytest.raises(DataError, match="not the marker of shard 0") as caught:
            check()
        assert "delete" in str(caught.value.hint)


def reseal(root: Path, shard: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit a marker as somebody would who knows the format: all checksums fit again."""
    record = json.loads(marker_path(root, shard).read_text())
    record["sha256"], record["size"] = sha256_of(tar_path(root, shard)), tar_path(root, shard).stat().st_size
    change(record)
    record.pop("check")
    marker_path(root, shard).write_bytes(to_bytes({**record, "check": digest(record)}))
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["shards"][shard] |= {name: record[name] for name in ("sha256", "size", "count")}
    manifest["shards"][shard]["marker_sha256"] = sha256_of(marker_path(root, shard))
    manifest["count"] = sum(entry["count"] for entry in manifest["shards"])
    manifest.pop("sha256")
    (root / "manifest.json").write_bytes(to_bytes({**manifest, "sha256": digest(manifest)}, indent=1))


def test_a_marker_that_points_elsewhere_never_gives_another_samples_data(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    edit(marker_path(root, 0), lambda r: r["offsets"].reverse())
    with pytest.raises(DataError, match="was changed after it was written"):
        ShardDataset(root)
    root = make_dataset(name="sealed")
    reseal(root, 0, lambda r: r["offsets"].reverse())
    with pytest.raises(DataError, match="leaves room for members that it does not name"):
        ShardDataset(root)
    root = make_dataset(name="names")
    reseal(root, 0, lambda r: r["keys"].reverse())
    with pytest.raises(DataError, match=r"shard 0, sample 000000002: .* do not match"):
        ShardDataset(root)[0]
    assert any("where its marker has the member 000000002.image.png" in problem for problem in verify(root).problems)


def test_another_datasets_shard_does_not_pass(make_dataset: Callable[..., Path]) -> None:
    root, other = make_dataset(name="one"), make_dataset(count=4, name="two")
    for path in (tar_path, marker_path):
        path(root, 1).write_bytes(path(other, 1).read_bytes())
    with pytest.raises(DataError, match="does not belong to"):
        ShardDataset(root)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "synthforge-dataset", "version": 1}'])
def test_files_that_are_no_records_are_errors(make_dataset: Callable[..., Path], text: bytes) -> None:
    root = make_dataset()
    marker = marker_path(root, 0).read_bytes()
    marker_path(root, 0).write_bytes(text)
    with pytest.raises(DataError, match=r"shard-00000\.json"):
        ShardDataset(root)
    marker_path(root, 0).write_bytes(marker)
    (root / "manifest.json").write_bytes(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        ShardDataset(root)
    assert not verify(root).ok


def test_an_edited_manifest_is_found(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    assert verify(root).ok
    edit(root / "manifest.json", lambda r: r.update(licences={"made up": "public domain"}))
    assert [p for p in verify(root).problems if "was changed after it was written" in p]
    edit(root / "manifest.json", lambda r: r.update(count=99))
    with pytest.raises(DataError, match="counts contradict"):
        ShardDataset(root)


def test_nothing_readable_is_an_error_not_an_endless_search(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=1, count=2)
    path = tar_path(root, 0)
    path.write_bytes(bytes(path.stat().st_size))
    started = time.monotonic()
    with pytest.raises(DataError, match=r"no sample .* can be read"):
        ShardDataset(root, skip_damaged=True)[0]
    assert time.monotonic() - started < 10


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a dataset"):
        ShardDataset(tmp_path)
    report = verify(tmp_path / "nowhere")
    assert not report.ok
    assert "is not a dataset" in report.problems[0]
