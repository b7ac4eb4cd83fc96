"""The image decoder: photographs as RGB, and maps as their stored values.

Every image from outside is read here: by benchmarks, datasets, heads and predictions. The caller names the formats,
`foreign.LIMITS` are checked before decoding, and invalid metadata never prevents reading. PNG: W3C Portable Network
Graphics Specification, third edition, section 5 (chunks and their checksums).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import DataError, SynthForgeError, UserError
from .foreign import LIMITS, Where, boundary, read_bytes

PHOTOGRAPHS = ("JPEG", "PNG")
MAPS = ("PNG",)  # lossy formats change values
# Transparent pixels become white, as most viewers and web pages show them.
BEHIND = (255, 255, 255)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# By EXIF orientation: the transposition that makes the stored picture upright.
_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
# Rows converted at a time, so that no third copy of the picture is in memory.
_STRIP = 256
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC = 258, 262  # TIFF tags
_TO_8_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def read_photograph(path: Path, formats: Sequence[str] = PHOTOGRAPHS, *, upright: bool = False) -> np.ndarray:
    """The photograph in a file, as `decode_photograph` gives it. Raises DataError."""
    return decode_photograph(read_bytes(path, LIMITS.image_bytes), path, formats, upright=upright)


def decode_photograph(
    data: bytes,
    where: Where,
    formats: Sequence[str] = PHOTOGRAPHS,
    *,
    upright: bool = False,
    error: type[SynthForgeError] = DataError,
) -> np.ndarray:
    """A picture (H,W,3) uint8 sRGB; 16 bits become 8 by value / 257, grey is repeated, transparent pixels are white.

    formats: Pillow's names of those allowed. upright: turn it by its EXIF orientation; unreadable EXIF turns nothing.
    where: what messages call it. Raises `error` for anything but a whole picture within `LIMITS`.
    """

    def pixels(image: Image.Image) -> np.ndarray:
        orientation = _orientation(image) if upright else 1
        width, height = image.size if orientation < 5 else image.size[::-1]
        found = np.empty((height, width, 3), np.uint8)
        stored, scale = _STORED.get(orientation, np.asarray)(found), _full_scale(image)
        for top in range(0, image.height, _STRIP):
            bottom = min(top + _STRIP, image.height)
            stored[top:bottom] = _rgb8(image.crop((0, top, image.width, bottom)), scale)
        return found

    return _decoded(data, where, formats, pixels, error)


def read_radiance(path: Path) -> np.ndarray:
    """Linear light (H,W,3) float32 of a Radiance picture (.hdr, RGBE), rows from top to bottom.

    Ward, "Real Pixels", Graphics Gems II (1991), and the run lengths of Radiance 2. Raises DataError for anything but a
    whole picture within `LIMITS`.
    """
    data = read_bytes(path, LIMITS.image_bytes)
    hint = "Radiance pictures (.hdr) of the layout -Y H +X W in RGBE can be read; save it anew as such."
    with boundary(path, "a whole Radiance picture", hint=hint):
        end = data.find(b"\n\n")
        line = data.find(b"\n", end + 2)
        if not data.startswith(b"#?") or end < 0 or line < 0:
            raise ValueError("it has no header of this format")
        if b"FORMAT=32-bit_rle_rgbe" not in data[:end]:
            raise ValueError("its pixels are not 32-bit_rle_rgbe")
        words = data[end + 2 : line].split()
        if len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X":
            raise ValueError("its rows do not run from top to bottom and left to right")
        height, width = int(words[1]), int(words[3])
        if not (height > 0 and width > 0):
            raise ValueError("it has no pixels")
        _check_size(width, height, len(data), path, DataError)
        pixels = _rgbe(memoryview(data)[line + 1 :], height, width)
        scale = np.where(pixels[..., 3] > 0, np.exp2(pixels[..., 3].astype(np.float32) - 136), 0)
        return np.asarray(pixels[..., :3] * scale[..., None], np.float32)


def read_exr(path: Path) -> np.ndarray:
    """Linear light (H,W,3) float32 of an OpenEXR picture (channels R, G, B or Y), rows from top to bottom.

    Negative light is 0; alpha is left out. Raises DataError for anything but a whole picture of finite numbers within
    `LIMITS`, UserError where the package OpenEXR is missing.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise UserError(f"{path} needs the package OpenEXR", hint="pip install 'synthforge[exr]'") from error
    hint = "OpenEXR pictures of one part with channels R, G, B can be read; save it anew as such, or as .hdr."
    with boundary(path, "a whole OpenEXR picture", hint=hint):
        size = path.stat().st_size
        with OpenEXR.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
        width, height = (int(length) for length in high - low + 1)
        _check_size(width, height, size, path, DataError)
        with OpenEXR.File(str(path)) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
        found = next((channels[name] for name in ("RGB", "RGBA", "Y") if name in channels), None)
        if found is None:
            raise ValueError(f"it has no channels R, G, B, but {', '.join(channels)}")
        light = np.asarray(found, np.float32).reshape(height, width, -1)[..., :3]
        if not np.isfinite(light).all():
            raise ValueError("some of its light is no finite number")
        return np.repeat(np.maximum(light, 0), 3 // light.shape[-1], -1)


def _rgbe(view: memoryview, height: int, width: int) -> np.ndarray:
    """Bytes (H,W,4): runs of each channel by row, or all pixels as they are."""
    if not (8 <= width < 32768 and bytes(view[:2]) == b"\2\2" and len(view) > 3 and view[2] < 128):
        if len(view) != 4 * height * width:
            raise ValueError("it is truncated, or has runs of an old kind")
        return np.frombuffer(view, np.uint8).reshape(height, width, 4)
    found, place = np.empty((height, 4, width), np.uint8), 0
    for y in range(height):
        if bytes(view[place : place + 4]) != bytes((2, 2, width >> 8, width & 255)):
            raise ValueError(f"row {y} does not begin as it should")
        place += 4
        for channel in found[y]:
            x = 0
            while x < width:
                count = view[place]
                run = count - 128 if count > 128 else count
                if not 0 < run <= width - x:
                    raise ValueError(f"a run in row {y} is too long")
                if count > 128:
                    channel[x : x + run] = view[place + 1]
                    place += 2
                else:
                    channel[x : x + run] = np.frombuffer(view[place + 1 : place + 1 + run], np.uint8)
                    place += 1 + run
                x += run
    return found.swapaxes(1, 2)


def read_map(path: Path, *, indices: bool = False, grey: bool = False) -> np.ndarray:
    """The map in a PNG file, as `decode_map` gives it. Raises DataError."""
    return decode_map(read_bytes(path, LIMITS.image_bytes), path, indices=indices, grey=grey)


def decode_map(
    data: bytes, where: Where, *, indices: bool = False, grey: bool = False, error: type[SynthForgeError] = DataError
) -> np.ndarray:
    """The values of a PNG: (H,W) uint8 or uint16 of grey and of palettes of greys, (H,W,3) uint8 of colours.

    1, 2 and 4 bits are scaled to 0..255, as PNG defines them. indices: of a palette with any colour in it (as VOC's
    label maps have), give the indices instead of the colours. grey: three equal channels count as grey, and colours are
    an error. Also raises `error` where values would be lost: transparent pixels, 16 bits in colour.
    """

    def values(image: Image.Image) -> np.ndarray:
        if data[24] == 16 and data[25] != 0:  # Pillow would keep the upper byte alone
            raise ValueError("16 bits a channel are supported for grey images only")
        pixels = _values(image, indices)
        if not grey or pixels.ndim == 2:
            return pixels
        if not _is_grey(pixels):
            raise ValueError("it is in colour, and its values have to be grey")
        return pixels[..., 0].copy()

    return _decoded(data, where, MAPS, values, error)


def _decoded(
    data: bytes,
    where: Where,
    formats: Sequence[str],
    pixels: Callable[[Image.Image], np.ndarray],
    error: type[SynthForgeError],
) -> np.ndarray:
    names = f"{', '.join(formats[:-1])} or {formats[-1]}" if len(formats) > 1 else formats[0]
    hint = f"The file is truncated, damaged or of another format; {names} can be read."
    with boundary(where, f"a whole {names} image", hint=hint, error=error):
        if data.startswith(_SIGNATURE):
            _check_png(data)
        if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > LIMITS.jpeg_scans + len(data) // 10_000:
            raise ValueError(f"it has more than {LIMITS.jpeg_scans} scans")
        with Image.open(io.BytesIO(data), formats=tuple(formats)) as image:
            _check_size(image.width, image.height, len(data), where, error)
            image.load()
            return pixels(image)


def _check_size(width: int, height: int, size: int, where: Where, error: type[SynthForgeError]) -> None:
    count = width * height
    if count > LIMITS.image_pixels:
        raise error(f"{where} has {width} x {height} pixels, more than the {LIMITS.image_pixels:,} allowed")
    if count > LIMITS.pixels(size):
        raise error(f"{where} declares {width} x {height} pixels in {size:,} bytes: too small for a photograph")


def _check_png(data: bytes) -> None:
    """Raise ValueError unless every chunk up to the last is there and has its checksum; Pillow checks only some."""
    view, place = memoryview(data), len(_SIGNATURE)
    for _ in range(LIMITS.png_chunks):
        end = place + 8 + int.from_bytes(view[place : place + 4], "big")
        if end + 4 > len(data):
            raise ValueError("it is truncated")
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError("a checksum in it is wrong")
        if view[place + 4 : place + 8] == b"IEND":
            return
        place = end + 4
    raise ValueError(f"it has more than {LIMITS.png_chunks:,} chunks")


def _orientation(image: Image.Image) -> int:
    with suppress(Exception):  # EXIF is often invalid, and its errors are of any type
        found = int(image.getexif().get(_ORIENTATION, 1))
        return found if found in _STORED else 1
    return 1


def _full_scale(image: Image.Image) -> tuple[int, bool]:
    """Largest value and whether it is black, for grey of more than 8 bits."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))
    if image.mode == "I" and image.format != "PNG":
        raise ValueError("its pixels are 32-bit integers of unknown range")
    return 2 ** int(bits[0] if isinstance(bits, tuple) else bits) - 1, tags.get(_PHOTOMETRIC) == 0


def _rgb8(image: Image.Image, scale: tuple[int, bool]) -> np.ndarray:
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers of unknown range")
    if image.mode.startswith("I"):
        values = _grey16(image)
        full, inverted = scale
        table = _TO_8_BITS if full == 65535 else np.rint(np.arange(65536) * (255 / full)).clip(0, 255).astype(np.uint8)
        grey = table[values]
        if inverted:
            grey = 255 - grey
        if isinstance(clear := image.info.get("transparency"), int):  # the one value that a PNG calls transparent
            grey = np.where(values == clear, np.uint8(BEHIND[0]), grey)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        above = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", above.size, BEHIND)
        image.paste(above, mask=above.getchannel("A"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _grey16(image: Image.Image) -> np.ndarray:
    """16-bit grey, which Pillow opens as `I;16`, `I;16B` or the wider `I`: (H,W) uint16."""
    return np.asarray(image).astype(np.uint16)


def _values(image: Image.Image, indices: bool) -> np.ndarray:
    if image.mode.startswith("I"):
        values = _grey16(image)
        _refuse_clear(bool((values == image.info.get("transparency", -1)).any()))
        return values
    if image.has_transparency_data and not (indices and image.mode == "P"):
        _refuse_clear(image.convert("RGBA").getchannel("A").getextrema() != (255, 255))
    if image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1])
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        places = np.array(image)
        if places.max(initial=0) >= len(palette):
            raise ValueError("it has indices beyond its palette")
        if indices and not _is_grey(palette):
            return places
        pixels = palette[places]
        return pixels[..., 0].copy() if _is_grey(pixels) else pixels
    if image.mode not in ("1", "L", "RGB"):
        raise ValueError(f"the mode '{image.mode}' is neither grey nor RGB")
    return np.array(image.convert("L") if image.mode == "1" else image)


def _refuse_clear(found: bool) -> None:
    if found:
        raise ValueError("it has transparent pixels, whose values are undefined")


def _is_grey(colours: np.ndarray) -> bool:
    return bool((colours == colours[..., :1]).all())


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0,1] as bytes of sRGB."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def from_srgb(encoded: np.ndarray) -> np.ndarray:
    """sRGB in [0,1] as linear light."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
