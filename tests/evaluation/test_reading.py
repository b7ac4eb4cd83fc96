"""The readers of benchmarks: a picture gives the same values however it is stored; texts with marks, cut, foreign."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthforge.core.errors import DataError
from synthforge.evaluation.files import read_array, read_grey, read_image, read_label, read_pairs, read_pts, write_pts

RNG = np.random.default_rng(0)


def palette_of_greys(path: Path, values: np.ndarray) -> Path:
    """As PNG optimisers write it: only the greys that occur, in the order they occur."""
    order = list(dict.fromkeys(values.ravel().tolist()))
    rows = np.vectorize(order.index)(values).astype(np.uint8)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", bytes(v for v in order for _ in range(3)))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
        + chunk(b"IEND", b"")
    )
    return path


def test_photographs_of_16_bits_are_those_of_8(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    np.testing.assert_array_equal(read_image(tmp_path / "16.png"), read_image(tmp_path / "8.png"))
    np.testing.assert_array_equal(read_image(tmp_path / "8.png")[..., 1], grey)


def test_palettes_of_greys_are_label_maps_masks_and_depth(tmp_path: Path) -> None:
    labels = RNG.integers(0, 11, (24, 32)).astype(np.uint8)
    labels[0, 0] = 4
    np.testing.assert_array_equal(read_label(palette_of_greys(tmp_path / "l.png", labels), 11), labels)
    mask = np.full((24, 32), 255, np.uint8)
    mask[8:] = 0
    np.testing.assert_array_equal(read_grey(palette_of_greys(tmp_path / "m.png", mask)), mask)
    depth = RNG.integers(0, 65536, (24, 32)).astype(np.uint16)
    Image.fromarray(depth).save(tmp_path / "d.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "d.png"), depth.astype(np.float32))


def test_maps_whose_values_are_not_known_are_refused(tmp_path: Path) -> None:
    colour = Image.fromarray(RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    colour.save(tmp_path / "colour.png")
    colour.convert("L").save(tmp_path / "lossy.png", "JPEG")
    Image.new("RGBA", (8, 8), (4, 4, 4, 9)).save(tmp_path / "clear.png")
    with pytest.raises(DataError, match="one 8-bit channel of class ids"):
        read_label(tmp_path / "colour.png")
    with pytest.raises(DataError, match="in colour"):
        read_grey(tmp_path / "colour.png")
    for read in (read_label, read_grey):
        with pytest.raises(DataError, match=r"lossy\.png is not a whole PNG image"):
            read(tmp_path / "lossy.png")
        with pytest.raises(DataError, match="transparent pixels"):
            read(tmp_path / "clear.png")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lists_of_points_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    points = RNG.uniform(0, 100, (68, 2)).round(6)
    write_pts(tmp_path / "a.pts", points)
    text = (tmp_path / "a.pts").read_text()
    (tmp_path / "a.pts").write_text(text, encoding=encoding)
    np.testing.assert_allclose(read_pts(tmp_path / "a.pts"), points, atol=1e-9)
    (tmp_path / "b.txt").write_text("2\n1.5 2\n3,4\n", encoding=encoding)
    np.testing.assert_array_equal(read_pairs(tmp_path / "b.txt", header=True), [[1.5, 2], [3, 4]])


def test_lists_that_are_cut_or_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pts"
    write_pts(path, np.zeros((68, 2)))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 4, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"a\.pts"):
            read_pts(path)
    for data in (b"\xff\xfe1\x00", "1 2 ä".encode("latin-1"), b"1 nan\n", b"1e999 2\n", b"\0\0"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"a\.pts"):
            read_pts(path, 1)
    with pytest.raises(DataError, match=r"nowhere\.npy does not exist"):
        read_array(tmp_path / "nowhere.npy")
