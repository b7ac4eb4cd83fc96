from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthforge.core.errors import DataError, UserError
from synthforge.prediction.photographs import decode, list_photographs, read_bytes

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
        return [p.path.name for p in list_photographs([str(tmp_path / a) for a in arguments], out)]

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


def test_results_of_files_that_share_a_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/A.jpg", "two/a.png", "two/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    arguments = [str(tmp_path / "one"), str(tmp_path / "two")]
    found = {p.path.name: p.name for p in list_photographs(arguments)}
    assert found["b.png"] == "b"
    assert len({name.lower() for name in found.values()}) == 4
    assert found == {p.path.name: p.name for p in list_photographs(arguments[::-1])}  # whatever the order


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        read_bytes(tmp_path / "gone.jpg")
