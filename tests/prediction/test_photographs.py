from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthforge.core.errors import DataError, UserError
from synthforge.prediction.photographs import FORMATS, Listing, decode, list_photographs, read_bytes, shown

RGB = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    return decode(encoded(image, kind, **options), Path("photo"))


def test_every_kind_of_pixel_becomes_8_bit_rgb() -> None:
    grey = RGB[..., 0]
    rgba = np.dstack([RGB, np.full((5, 7), 255, np.uint8)])
    rgba[0, 0, 3] = 0
    expected = RGB.copy()
    expected[0, 0] = 255
    wide = np.array([[0, 257, 65535]], np.uint16)
    assert np.array_equal(decoded(Image.fromarray(RGB)), RGB)
    assert np.array_equal(decoded(Image.fromarray(grey)), np.dstack([grey] * 3))
    assert np.array_equal(decoded(Image.fromarray(rgba)), expected)
    for kind in ("PNG", "TIFF"):
        assert decoded(Image.fromarray(wide), kind)[0, :, 1].tolist() == [0, 1, 255]
    palette = Image.fromarray(RGB).quantize(64)
    assert np.array_equal(decoded(palette), np.array(palette.convert("RGB")))
    cmyk = decoded(Image.new("CMYK", (3, 2), (0, 0, 0, 0)), "JPEG")
    assert cmyk.shape == (2, 3, 3)
    assert cmyk.min() > 250


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (6, 3), (8, 1), (3, 2)])
def test_photographs_stand_upright(orientation: int, turn: int) -> None:
    """6 says: turn the stored pixels by a quarter clockwise to see them upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decoded(Image.fromarray(RGB), exif=exif), np.rot90(RGB, turn))


@pytest.mark.parametrize("damage", [lambda data: data[:60], lambda data: b"", lambda data: b"no image"])
def test_a_damaged_file_is_named(damage: object) -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)), "JPEG")
    with pytest.raises(DataError, match=r"my photo\.jpg"):
        decode(damage(data), Path("my photo.jpg"))  # type: ignore[operator]


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="floating point"):
        decoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt", "a.overlay.jpg", "a.labels.png", "deep/c.tif", "x[1].jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    def names(*arguments: str, out: Path | None = None) -> list[str]:
        return [p.path.name for p in list_photographs([str(tmp_path / a) for a in arguments], out).photographs]

    assert names(".") == ["a.PNG", "b.jpg", "x[1].jpg"]
    assert names("**/*.tif") == ["c.tif"]
    assert names("x[1].jpg") == ["x[1].jpg"]  # a file that is there is no pattern
    assert names("b.jpg", ".") == ["b.jpg", "a.PNG", "x[1].jpg"]  # once each
    assert names("notes.txt") == ["notes.txt"]  # named itself: tried
    assert names("**/*", out=tmp_path / "deep") == ["a.PNG", "b.jpg", "x[1].jpg"]
    for wrong in ("missing.jpg", "*.bmp"):
        with pytest.raises(UserError, match="does not exist"):
            names(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        names("empty")


def test_only_results_with_their_record_are_passed_over_without_a_word(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.json", "a.overlay.jpg", "mine.labels.png", "b.txt"):
        (tmp_path / name).write_bytes(b"")
    assert list_photographs([str(tmp_path)]).passed_over == {".labels.png": 1, ".txt": 1}


def test_results_of_files_that_share_a_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/A.jpg", "two/a.png", "two/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    arguments = [str(tmp_path / "one"), str(tmp_path / "two")]
    found = {p.path.name: p.name for p in list_photographs(arguments).photographs}
    assert found["b.png"] == "b"
    assert len({name.lower() for name in found.values()}) == 4
    assert found == {p.path.name: p.name for p in list_photographs(arguments[::-1]).photographs}  # whatever the order


def listed(*arguments: object, out: Path | None = None) -> Listing:
    return list_photographs([str(argument) for argument in arguments], out)


def test_companions_are_passed_over_and_other_files_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", "b.HEIC", "c.heic", "clip.mp4", "a.json", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    found = listed(tmp_path)
    assert [p.path.name for p in found.photographs] == ["a.jpg"]
    assert found.passed_over == {".heic": 2, ".mp4": 1}
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"holds no images that are read, but 2 \.heic, 1 \.mp4"):
        listed(tmp_path)
    with pytest.raises(DataError, match="attributes that macOS keeps"):
        read_bytes(tmp_path / "._a.jpg")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC image, which is not read"),
        (b"\0\0\0\x18ftypisom", r"video \(MP4"),
        (b"\0\0\0\x18ftypqt  ", r"video \(MP4"),
        (b"\x1aE\xdf\xa3", "Matroska"),
        (b"RIFF\1\2\3\4AVI LIST", "AVI"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html>", "web page"),
    ],
)
def test_kinds_that_are_not_read_are_called_by_name_whatever_the_suffix(
    tmp_path: Path, start: bytes, message: str
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(start + bytes(100))
    with pytest.raises(DataError, match=message):
        read_bytes(path)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", *(["AVIF"] if "AVIF" in FORMATS else [])])
def test_one_frame_is_read_and_an_animation_refused(kind: str) -> None:
    frames = [Image.fromarray(np.full((40, 40, 3), value, np.uint8)) for value in (40, 90, 200)]
    assert np.abs(decoded(frames[0], kind).astype(int) - 40).max() <= 2
    with pytest.raises(DataError, match="photo is an animation"):
        decoded(frames[0], kind, save_all=True, append_images=frames[1:])


def test_a_url_is_told_so() -> None:
    with pytest.raises(UserError, match="is a URL") as told:
        listed("https://example.com/a.jpg")
    assert "Download" in str(told.value.hint)


def test_names_are_cut_and_those_of_one_accent_do_not_meet(tmp_path: Path) -> None:
    long, twin = "\u9854" * 80, "\u9854" * 79 + "\u9855"
    for name in (long, twin, unicodedata.normalize("NFC", "\u00e9"), unicodedata.normalize("NFD", "\u00e9")):
        (tmp_path / f"{name}.png").write_bytes(b"")
    names = [p.name for p in listed(tmp_path).photographs]
    assert len({unicodedata.normalize("NFC", name) for name in names}) == 4
    assert all(len(name.encode()) <= 210 for name in names)


def test_names_that_are_not_utf_8_are_listed_and_shown(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(raw, "wb"):
        pass
    (photograph,) = listed(tmp_path).photographs
    assert shown(photograph.path).endswith("caf\\xe9.png")
    with pytest.raises(DataError, match=r"caf\\xe9\.png"):
        decode(b"", photograph.path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_small_file_that_claims_a_large_picture_is_refused_at_once(tmp_path: Path) -> None:
    data = encoded(Image.new("L", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    data = data[:at] + (9999).to_bytes(2, "big") * 2 + data[at + 4 :]
    with pytest.raises(DataError, match=r"9999 x 9999"):
        decode(data, tmp_path / "small.jpg")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        read_bytes(tmp_path / "gone.jpg")
