"""The one decoder: the same picture gives the same values however it is stored, and what is no picture is an error."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthforge.core.errors import DataError
from synthforge.core.images import decode_map, decode_photograph

ALL = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
GREY = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (24, 32, 3)).astype(np.uint8)


def saved(picture: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: np.ndarray, bits: int, colour: int, width: int, *before: bytes) -> bytes:
    """A PNG of packed rows (H,bytes) uint8."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def palette_png(values: np.ndarray, entries: list[tuple[int, int, int]]) -> bytes:
    return png(values, 8, 3, values.shape[1], chunk(b"PLTE", bytes(v for entry in entries for v in entry)))


def palette_of_greys(values: np.ndarray) -> bytes:
    """As optimisers write it: only the greys that occur, in the order they occur."""
    order = list(dict.fromkeys(values.ravel().tolist()))
    indices = np.vectorize(order.index)(values).astype(np.uint8)
    return palette_png(indices, [(v, v, v) for v in order])


def test_sixteen_bits_are_read_as_their_eight_bit_copy() -> None:
    wide = GREY.astype(np.uint16) * 257
    wanted = np.repeat(GREY[..., None], 3, axis=2)
    stored = {
        "PNG": saved(wide),
        "TIFF": saved(wide, "TIFF"),
        "big-endian TIFF": saved(Image.frombytes("I;16B", GREY.shape[::-1], wide.astype(">u2").tobytes()), "TIFF"),
    }
    for name, data in stored.items():
        np.testing.assert_array_equal(decode_photograph(data, name, ALL), wanted, err_msg=name)
    np.testing.assert_array_equal(decode_map(stored["PNG"], "map"), wide)
    colours = (COLOUR.astype(np.uint16) * 257).astype(">u2").view(np.uint8).reshape(24, -1)
    found = decode_photograph(png(colours, 16, 2, 32), "RGB")
    np.testing.assert_array_equal(found, COLOUR)
    with pytest.raises(DataError, match="16 bits a channel"):
        decode_map(png(colours, 16, 2, 32), "map")


def test_greys_are_the_same_values_however_they_are_stored() -> None:
    rgba = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])
    stored = {
        "grey": saved(GREY),
        "palette of greys": palette_of_greys(GREY),
        "three channels": saved(np.repeat(GREY[..., None], 3, axis=2)),
        "opaque RGBA": saved(rgba),
        "opaque LA": saved(np.ascontiguousarray(rgba[..., 2:])),
    }
    for name, data in stored.items():
        np.testing.assert_array_equal(decode_map(data, name, grey=True), GREY, err_msg=name)
        np.testing.assert_array_equal(decode_photograph(data, name)[..., 0], GREY, err_msg=name)
    mask = np.where(GREY > 100, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(decode_map(png(np.packbits(mask > 0, axis=1), 1, 0, 32), "1 bit"), mask)
    four = GREY // 16
    packed = four[:, ::2] * 16 + four[:, 1::2]
    np.testing.assert_array_equal(decode_map(png(packed, 4, 0, 32), "4 bits"), four * 17)


def test_palettes_with_colours_are_indices_where_asked_for_and_never_values() -> None:
    places = GREY % 3
    data = palette_png(places, [(0, 0, 0), (128, 0, 0), (128, 128, 128)])
    np.testing.assert_array_equal(decode_map(data, "labels", indices=True), places)
    np.testing.assert_array_equal(decode_map(data, "colours")[..., 0], np.array([0, 128, 128])[places])
    with pytest.raises(DataError, match="it is in colour"):
        decode_map(data, "depth", grey=True)
    with pytest.raises(DataError, match="indices beyond its palette"):
        decode_map(palette_png(places, [(0, 0, 0), (9, 9, 9)]), "labels", indices=True)


def test_transparent_pixels_are_white_in_photographs_and_refused_in_maps() -> None:
    rgba = np.dstack([COLOUR, np.full_like(GREY, 255)])
    rgba[:4, :, 3] = 0
    found = decode_photograph(saved(rgba), "x")
    assert (found[:4] == 255).all()
    np.testing.assert_array_equal(found[4:], COLOUR[4:])
    with pytest.raises(DataError, match="transparent pixels"):
        decode_map(saved(rgba), "x")


@pytest.mark.parametrize("wide", [False, True])
def test_a_value_that_stands_for_transparent_is_white_in_photographs_and_refused_in_maps(wide: bool) -> None:
    values = GREY.astype(np.uint16) * 257 if wide else GREY
    bits, rows = (16, values.astype(">u2").view(np.uint8)) if wide else (8, values)
    clear, other = int(values[0, 0]), next(v for v in range(256) if v not in GREY) if not wide else 1
    data = png(rows, bits, 0, 32, chunk(b"tRNS", struct.pack(">H", clear)))
    found = decode_photograph(data, "x")[..., 0]
    np.testing.assert_array_equal(found, np.where(GREY[0, 0] == GREY, 255, GREY))
    with pytest.raises(DataError, match="transparent pixels"):
        decode_map(data, "x")
    unused = png(rows, bits, 0, 32, chunk(b"tRNS", struct.pack(">H", other)))
    np.testing.assert_array_equal(decode_map(unused, "x"), values)


def test_pictures_of_many_rows_are_converted_as_a_whole_one_is() -> None:
    tall = np.random.default_rng(2).integers(0, 256, (700, 9, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode_photograph(saved(tall, exif=exif.tobytes()), "x", upright=True)
    white = Image.new("RGB", (9, 700), "white")
    white.paste(Image.fromarray(tall), mask=Image.fromarray(tall).getchannel("A"))
    np.testing.assert_array_equal(found, np.rot90(np.array(white), -1))


def test_print_colours_and_floats() -> None:
    red = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    assert (decode_photograph(saved(red, "TIFF"), "x", ALL) == (255, 0, 0)).all()
    for mode in ("F", "I"):
        with pytest.raises(DataError, match="of unknown range"):
            decode_photograph(saved(Image.new(mode, (4, 4)), "TIFF"), "x", ALL)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_only_where_asked_for(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(COLOUR, exif=exif.tobytes())
    flips = {2: COLOUR[:, ::-1], 3: COLOUR[::-1, ::-1], 4: COLOUR[::-1]}
    turned = {5: COLOUR, 6: COLOUR[::-1], 7: COLOUR[::-1, ::-1], 8: COLOUR[:, ::-1]}
    wanted = flips.get(orientation, COLOUR)
    if orientation in turned:
        wanted = turned[orientation].transpose(1, 0, 2)
    np.testing.assert_array_equal(decode_photograph(data, "x", upright=True), wanted)
    np.testing.assert_array_equal(decode_photograph(data, "x"), COLOUR)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif"])
def test_broken_exif_is_no_reason_to_refuse_whole_pixels(exif: bytes) -> None:
    np.testing.assert_array_equal(decode_photograph(saved(COLOUR, exif=exif), "x", upright=True), COLOUR)
    webp = saved(COLOUR, "WEBP", lossless=True, exif=exif)
    np.testing.assert_array_equal(decode_photograph(webp, "x", ALL, upright=True), COLOUR)


def test_no_flipped_bit_of_a_png_is_read() -> None:
    for data in (saved(COLOUR[:6, :5]), palette_of_greys(GREY[:6, :5])):
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DataError):
                decode_photograph(bytes(damaged), "x")
        for size in range(len(data)):
            with pytest.raises(DataError):
                decode_photograph(data[:size], "x")


def _flat_jpeg(side: int) -> bytes:
    return saved(Image.new("L", (side, side)), "JPEG", quality=5, optimize=True)


def test_small_files_do_not_cost_much() -> None:
    jpeg = bytearray(_flat_jpeg(16))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 9999, 9999)
    wide = bytearray(saved(GREY))
    wide[16:24] = struct.pack(">II", 9999, 9999)
    wide[29:33] = struct.pack(">I", zlib.crc32(wide[12:29]))
    huge = bytearray(wide)
    huge[16:24] = struct.pack(">II", 10_001, 10_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    scans = saved(COLOUR, "JPEG", progressive=True)
    scans = scans[:-2] + scans[scans.index(b"\xff\xda") : -2] * 200 + b"\xff\xd9"
    chunks = saved(GREY)[:33] + chunk(b"tEXt", b"a\0b") * 60_000
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for data, words in (
        (jpeg, "too small for a photograph"),
        (_flat_jpeg(5500), "too small for a photograph"),
        (wide, "too small for a photograph"),
        (huge, "more than the 100,000,000 allowed"),
        (scans, "scans"),
        (chunks, "chunks"),
    ):
        with pytest.raises(DataError, match=words):
            decode_photograph(bytes(data), "x")
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


SCRIPT = """
import resource, sys
from synthforge.core.images import decode_photograph
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(decode_photograph(data, "x", upright=True).shape)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("turned", [False, True])
def test_a_photograph_of_24_megapixels_takes_less_than_200_mb(tmp_path: Path, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    Image.effect_noise((750, 500), 60).convert("RGB").resize((6000, 4000)).save(tmp_path / "a.jpg", exif=exif)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "a.jpg")]
    shape, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shape == ("(6000, 4000, 3)" if turned else "(4000, 6000, 3)")
    assert int(kilobytes) < 200_000


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF"]), st.integers(0), st.binary(max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_the_bytes_are_the_answer_is_a_picture_or_our_error(
    kind: str, place: int, patch: bytes, upright: bool
) -> None:
    data = bytearray(saved(COLOUR[:9, :7], kind))
    place %= len(data)
    data[place : place + len(patch)] = patch
    for decode in (
        lambda: decode_photograph(bytes(data), "x", ALL, upright=upright),
        lambda: decode_map(bytes(data), "x", indices=upright),
    ):
        with contextlib.suppress(DataError):
            assert decode().dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"<svg/>"])
def test_what_is_no_picture_is_named(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^photo.png is not a whole JPEG or PNG image") as caught:
        decode_photograph(data, "photo.png")
    assert caught.value.hint == "The file is truncated, damaged or of another format; JPEG or PNG can be read."
