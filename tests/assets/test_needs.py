"""Files that plugins say they read: named when missing, hashed once, described for manifests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from synthforge.assets import registry
from synthforge.assets.needs import Use, contents, lacking, licensed_files
from synthforge.core import checksums
from synthforge.core.catalogue import FileNeed
from synthforge.core.errors import AssetError


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "assets"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really read."""
    seen: list[Path] = []
    read = checksums.sha256_of
    monkeypatch.setattr(checksums, "sha256_of", lambda path: seen.append(path) or read(path))
    return seen


def put(assets: Path, name: str, data: bytes = b"weights") -> Path:
    path = assets / registry.get_asset(name).file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.usefixtures("assets")
def test_a_checksum_is_made_once_and_again_when_the_file_changes(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"one")
    for _ in range(3):
        assert checksums.checksum(path) == hashlib.sha256(b"one").hexdigest()
    assert len(reads) == 1
    stat = path.stat()
    path.write_bytes(b"two")  # as long as before, and made to look as old
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checksums.checksum(path) == hashlib.sha256(b"two").hexdigest()
    other = tmp_path / "other"
    other.write_bytes(b"one")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, path)
    assert checksums.checksum(path) == hashlib.sha256(b"one").hexdigest()
    assert len(reads) == 3
    with pytest.raises(AssetError, match="cannot be read"):
        checksums.checksum(tmp_path / "nowhere")


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"x": 1}', b""])
def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"one")
    checksums.cache_file().parent.mkdir(parents=True)
    checksums.cache_file().write_bytes(damage)
    assert checksums.checksum(path) == hashlib.sha256(b"one").hexdigest()
    assert checksums.checksum(path) == hashlib.sha256(b"one").hexdigest()


def test_what_is_missing_is_named_once_with_everyone_who_needs_it(assets: Path) -> None:
    uses = [
        Use("generator a", FileNeed("deca")),
        Use("annotator b", FileNeed("deca")),
        Use("annotator b", FileNeed("flame-texture", optional=True)),
        Use("annotator b", FileNeed("flame-masks", fields=("label",))),
        Use("filter c", FileNeed("fan", path=str(assets / "mine.pth"))),
    ]
    texts = lacking(uses)
    assert len(texts) == 2
    asset = registry.get_asset("deca")
    for part in (
        asset.purpose,
        asset.source,
        asset.licence,
        asset.file,
        "no commercial use",
        "generator a, annotator b",
    ):
        assert part in texts[0]
    assert "mine.pth" in texts[1]
    assert any("flame-masks is missing" in text for text in lacking(uses, ["depth", "label"]))
    put(assets, "deca")
    assert len(lacking(uses)) == 1


def test_contents_and_rows_for_the_manifest(assets: Path, tmp_path: Path) -> None:
    put(assets, "flame2023-open", b"head")
    mine = tmp_path / "mine.pkl"
    mine.write_bytes(b"net")
    uses = [
        Use("generator g", FileNeed("next3d-ffhq", path=str(mine))),
        Use("generator g", FileNeed("flame2023-open")),
        Use("annotator a", FileNeed("flame2023-open")),
        Use("generator g", FileNeed("flame-masks", optional=True)),
    ]
    digest = hashlib.sha256(b"head").hexdigest()
    assert contents(uses) == {
        str(mine): hashlib.sha256(b"net").hexdigest(),
        "flame2023-open": digest,
        "flame-masks": None,
    }
    own, head = sorted(licensed_files(uses), key=lambda row: str(row["commercial_use"]))
    assert head == {
        "name": "flame2023-open",
        "file": "generic_model.pkl",
        "sha256": digest,
        "edition": "2023 Open",
        "licence": "CC BY 4.0",
        "commercial_use": True,
        "used_by": ["annotator a", "generator g"],
    }
    assert (own["name"], own["commercial_use"], own["edition"]) == ("next3d-ffhq", None, "")
    assert own["licence"].startswith("not known")
