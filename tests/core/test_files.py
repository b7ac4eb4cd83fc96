from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from synthforge.core import files
from synthforge.core.errors import DataError
from synthforge.core.provenance import set_aside


@pytest.mark.parametrize("character", ["a", "\u9854"])
def test_a_name_of_any_length_that_a_file_may_have_is_written(tmp_path: Path, character: str) -> None:
    path = tmp_path / (character * (255 // len(character.encode())))
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(DataError, match="cannot write"):
        files.write_text(tmp_path / (character * 256), "three")


def test_a_cut_name_still_counts_as_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(files.os, "replace", lambda old, new: seen.append(Path(old).name))
    files.write_bytes(tmp_path / ("b" * 250), b"")
    assert files.is_temporary(seen[0])


def test_files_in_a_folder_pass_over_companions_and_folders(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jpg", "._a.jpg", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.jpg").mkdir()
    assert [p.name for p in files.files_in(tmp_path, (".jpg",))] == ["a.jpg", "b.JPG"]


def test_devices_and_pipes_are_written_to_and_never_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    for path in (pipe, link, Path("/dev/null")):
        files.write_text(path, "figures")
    reader.join()
    assert found == ["figures"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(DataError, match="no space left while writing /dev/full"):
        files.write_text(Path("/dev/full"), "figures")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]


def test_what_is_set_aside_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".previous").symlink_to(tmp_path / "mine")
    (tmp_path / "out" / "a").write_text("a")
    with pytest.raises(DataError, match="is a link: results are not moved out of the folder"):
        set_aside(tmp_path / "out", ["a"], tmp_path / "out" / ".previous" / "x", last="a")
    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "out" / "a").exists()
