"""The fast way of reading our own PNG files gives what Pillow gives, or leaves the file to Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from synthforge.datasets.codecs import open_image
from synthforge.datasets.png import decode_png, encode_png

CAP = 10**6


def pixels(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize(("shape", "dtype"), [((41, 37, 3), np.uint8), ((41, 37), np.uint8), ((33, 70), np.uint16)])
@pytest.mark.parametrize("filter", ["none", "up"])
def test_pixels_and_type_are_pillows(shape: tuple[int, ...], dtype: type, filter: str) -> None:
    wanted = pixels(shape, dtype)
    data = encode_png(wanted, filter=filter)  # type: ignore[arg-type]
    found = decode_png(data, CAP)
    by_pillow = np.asarray(Image.open(io.BytesIO(data)))
    assert found is not None
    assert found.dtype == by_pillow.dtype == dtype
    np.testing.assert_array_equal(found, by_pillow)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(open_image(data), wanted)


def test_every_other_file_is_left_to_pillow() -> None:
    wanted = pixels((20, 24, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(wanted).convert("P").save(buffer, "PNG")
    assert decode_png(buffer.getvalue(), CAP) is None
    assert open_image(buffer.getvalue(), "RGB").shape == (20, 24, 3)
    assert decode_png(encode_png(wanted, filter="sub"), CAP) is None
    grey = encode_png(wanted[..., 0])
    assert open_image(grey, "RGB").shape == (20, 24, 3)  # another mode is asked for
    assert decode_png(grey, cap=20 * 24 - 1) is None


def test_no_damage_gets_through() -> None:
    data = encode_png(pixels((12, 9, 3), np.uint8))
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1
        assert decode_png(bytes(broken), CAP) is None, f"byte {place}"
        assert decode_png(data[:place], CAP) is None
    with pytest.raises(ValueError, match="it is truncated"):
        open_image(data[:-30])
