from __future__ import annotations

from pathlib import Path

import pytest

from synthforge.core import files
from synthforge.core.errors import DataError


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
