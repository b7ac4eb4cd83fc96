"""A PNG encoder for what this project stores: 8-bit grey, 16-bit grey and 8-bit RGB, without a palette.

Pillow tries filters row by row and takes more than twice as long for the same size (see docs/datasets.md for the
measurement); here one filter a file is enough, because rendered maps are smooth. Reading is left to Pillow.
Format: W3C Portable Network Graphics Specification, third edition, sections 5 and 9.
"""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import numpy as np

Filter = Literal["none", "sub", "up"]
_FILTERS: dict[Filter, int] = {"none": 0, "sub": 1, "up": 2}
_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> grey, RGB


def encode_png(pixels: np.ndarray, *, filter: Filter = "up", runs: bool = False) -> bytes:
    """Pixels (H,W) uint8 or uint16, or (H,W,3) uint8, as a PNG file.

    The bytes depend on the pixels, the arguments and the zlib release alone. runs: look for runs of a byte only
    (zlib's RLE strategy), which is faster and no larger where matches further away are rare: photographs, flat maps.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    bits = 8 * pixels.dtype.itemsize
    raw = pixels.astype(">u2").view(np.uint8) if bits == 16 else pixels
    raw = np.ascontiguousarray(raw).reshape(height, -1)
    step = channels * bits // 8
    rows = np.empty((height, raw.shape[1] + 1), np.uint8)
    rows[:, 0] = _FILTERS[filter]
    if filter == "none":
        rows[:, 1:] = raw
    elif filter == "up":
        rows[0, 1:] = raw[0]
        np.subtract(raw[1:], raw[:-1], out=rows[1:, 1:])  # modulo 256, as the format wants it
    else:
        rows[:, 1 : 1 + step] = raw[:, :step]
        np.subtract(raw[:, step:], raw[:, :-step], out=rows[:, 1 + step :])
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE if runs else zlib.Z_DEFAULT_STRATEGY)
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", deflate.compress(rows.data) + deflate.flush()),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
