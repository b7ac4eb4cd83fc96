"""Notes that the program keeps for itself, damaged: they cost time, or are named, and never end in a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from synthforge.core import checksums, locks
from synthforge.core.errors import DataError, UserError
from synthforge.stages import adapt

DEEP = b"[" * 100_000
DAMAGED = [b"", b"\xff\xfe\x00", DEEP, b'{"process": 1', b'{"process": 1e400}', b'{"process": "x", "host": "h"}', b"[]"]


@pytest.mark.parametrize("content", [*DAMAGED, b'{"process": 99999999999999}'])
@pytest.mark.parametrize("kernel", [True, False])
def test_a_damaged_lock_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, kernel: bool
) -> None:
    if not kernel:

        def none(*_: object) -> None:
            raise OSError(errno.ENOLCK, "no locks here")

        monkeypatch.setattr(locks.fcntl, "flock", none)
    (tmp_path / locks.LOCK_FILE).write_bytes(content)
    with locks.locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / locks.LOCK_FILE).read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", DAMAGED)
def test_a_held_lock_that_is_damaged_still_refuses(tmp_path: Path, content: bytes) -> None:
    with locks.locked(tmp_path):
        (tmp_path / locks.LOCK_FILE).write_bytes(content)
        with pytest.raises(UserError, match="a process that is just starting"), locks.locked(tmp_path):
            pass


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_remembered_checksums_are_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_bytes(b"abc")
    checksums.cache_file().parent.mkdir()
    checksums.cache_file().write_bytes(content)
    assert checksums.checksum(tmp_path / "file").startswith("ba7816bf")


def test_damaged_scores_of_faces_are_named(tmp_path: Path) -> None:
    (tmp_path / adapt.SCORES).write_bytes(DEEP)
    context = SimpleNamespace(out=tmp_path, inputs={"model": tmp_path})
    with pytest.raises(DataError, match=adapt.SCORES) as caught:
        adapt._scores(context, {})
    assert "made again" in str(caught.value.hint)
