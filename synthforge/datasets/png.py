"""PNG as this project stores it: 8-bit grey, 16-bit grey and 8-bit RGB, without a palette.

Pillow tries filters row by row and takes more than twice as long for the same size (measured in docs/datasets.md). Here
one filter per file is enough, because rendered maps are smooth. Files of that kind are read here as
well, without Pillow's copies; every other PNG is left to Pillow.
Format: W3C Portable Network Graphics Specification, third edition, sections 5 and 9.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Literal

import numpy as np

RowFilter = Literal["none", "sub", "up"]
_FILTERS: dict[RowFilter, int] = {"none": 0, "sub": 1, "up": 2}
_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> grey, RGB
_CHANNELS = {kind: channels for channels, kind in _COLOUR_TYPES.items()}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AROUND = 12  # bytes of a chunk besides its data: length, kind and checksum


def encode_png(pixels: np.ndarray, *, filter: RowFilter = "up", runs: bool = False) -> bytes:
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
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", deflate.compress(rows.data) + deflate.flush()),
            _chunk(b"IEND", b""),
        )
    )


def decode_png(data: bytes, cap: int) -> np.ndarray | None:
    """The pixels of a file that `encode_png` wrote, as it was given them; None for any other file, damaged ones too.

    None means that Pillow should look at it: this function judges nothing. cap: most pixels that are read here.
    """
    start = len(_SIGNATURE)
    header = _data_of(data, start, b"IHDR")
    if data[:start] != _SIGNATURE or header is None or len(header) != 13:
        return None
    width, height, bits, colour, method, adaptive, interlace = struct.unpack(">IIBBBBB", header)
    channels = _CHANNELS.get(colour, 0)
    if not (channels and width and height and width * height <= cap) or (method, adaptive, interlace) != (0, 0, 0):
        return None
    if (bits, channels) not in ((8, 1), (8, 3), (16, 1)):
        return None
    place = start + _AROUND + len(header)
    packed = _data_of(data, place, b"IDAT")
    if packed is None or _data_of(data, place + _AROUND + len(packed), b"IEND") != b"":
        return None
    size = height * (width * channels * bits // 8 + 1)
    try:
        unpacked = zlib.decompressobj()
        raw = unpacked.decompress(packed, size + 1)
    except zlib.error:
        return None
    if len(raw) != size or not unpacked.eof:
        return None
    rows = np.frombuffer(raw, np.uint8).reshape(height, -1)
    kind = int(rows[0, 0])
    if kind not in (_FILTERS["none"], _FILTERS["up"]) or (rows[:, 0] != kind).any():
        return None
    values = rows[:, 1:].copy()
    if kind == _FILTERS["up"]:
        _add_up(values)
    if bits == 16:
        return values.view(">u2").astype(np.uint16)
    return values.reshape(height, width, channels) if channels > 1 else values


def _add_up(rows: np.ndarray) -> None:
    """Each row (H,W) uint8 becomes the sum of itself and all above, modulo 256, in place.

    Within blocks first, all blocks at once, then block after block: 2 sqrt(H) steps instead of H.
    """
    block = max(1, math.isqrt(len(rows)))
    for row in range(1, block):
        lower = rows[row::block]
        lower += rows[row - 1 :: block][: len(lower)]
    for start in range(block, len(rows), block):
        rows[start : start + block] += rows[start - 1]


def _data_of(data: bytes, place: int, kind: bytes) -> bytes | None:
    """The data of the chunk at `place` when it is of that kind and sound, else None."""
    if len(data) < place + _AROUND or data[place + 4 : place + 8] != kind:
        return None
    end = place + 8 + int.from_bytes(data[place : place + 4], "big")
    if len(data) < end + 4 or zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
        return None
    return data[place + 8 : end]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
