"""How each kind of field becomes bytes and comes back: one table, `CODECS`.

Images and maps are members of their own (`<field>.png`); everything small shares one JSON member a sample. Labels,
points, directions, flags and PNG images come back exactly; depth within half a depth unit (`Encoding.depth_scale`);
normals within 0.4 degrees; texture coordinates within 1/65535; flow within 1/128 pixel; opacity within
1/510.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from synthforge.core.environment import hidden
from synthforge.core.errors import DataError, SynthForgeError
from synthforge.core.foreign import LIMITS
from synthforge.core.handover import are_unit, stray_ids
from synthforge.core.images import decode_map, decode_photograph
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS

from .png import decode_png, encode_png

JSON_MEMBER = "json"
LARGEST = 4096 * 4096  # pixels of the largest images that `generate` makes; their maps may be tiny files
IMAGE = Field("image", "image", unit="sRGB", description="the picture")


@dataclass(frozen=True)
class Encoding:
    """How a dataset is stored, as its manifest has it.

    depth_scale: metres per unit of the 16-bit depth maps. The range ends at 65,535 units (6.5 m by default); depth
    beyond it is an error, because a clipped value would look like a true one. jpeg_quality: None for PNG images.
    """

    depth_scale: float = 1e-4
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        if not self.depth_scale > 0:
            raise ValueError(f"depth_scale must be positive metres per unit, got {self.depth_scale}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must lie in 1..100 or be none, got {self.jpeg_quality}")


@dataclass(frozen=True)
class Codec:
    """Both ways of one kind. Members encode to bytes and decode from them; others to and from what JSON holds.

    Both raise ValueError, saying what is wrong with the value; callers know where it came from.
    """

    member: bool
    encode: Callable[[Any, Field, Encoding], Any]
    decode: Callable[[Any, Field, Encoding], Any]


def open_image(data: bytes, mode: str | None = None) -> np.ndarray:
    """Decode a picture: with `RGB` a PNG or JPEG as a photograph, else the values of a PNG (`core.images.decode_map`).

    Raises ValueError for another format, for more pixels than `foreign.LIMITS` allow and for damaged data.
    """
    plain = decode_png(data, max(LARGEST, LIMITS.pixels(len(data))))
    if plain is not None and (mode is None or plain.ndim == 3):
        return plain
    if mode == "RGB":
        return decode_photograph(data, "the image", error=_Unreadable)
    return decode_map(data, "the image", indices=True, error=_Unreadable)


class _Unreadable(SynthForgeError, ValueError):
    """As codecs raise: their callers know which file and sample it is."""


def _array(value: Any, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    array = np.asarray(value)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(
            f"expected {np.dtype(dtype).name} of shape ({wanted}), got {array.dtype.name} of {array.shape}"
        )
    return array


def _encode_image(value: Any, field: Field, encoding: Encoding) -> bytes:
    pixels = _array(value, np.uint8, (None, None, 3))
    if encoding.jpeg_quality is None:
        return encode_png(pixels, filter="up", runs=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=encoding.jpeg_quality, subsampling=0)
    return buffer.getvalue()


def _decode_image(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    return open_image(data, "RGB")


def check_label(labels: np.ndarray, schema: str) -> None:
    """Raise ValueError when a map holds an id that its schema does not have (IGNORE is always allowed)."""
    stray = stray_ids(labels, schema)
    if stray:
        raise ValueError(
            f"class ids {stray} do not belong to schema '{schema}' of {len(CLASS_SCHEMAS[schema])} classes"
        )


def _encode_label(value: Any, field: Field, encoding: Encoding) -> bytes:
    labels = _array(value, np.uint8, (None, None))
    check_label(labels, field.schema)
    return encode_png(labels, filter="none", runs=True)


def _decode_label(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    labels = open_image(data)
    check_label(_array(labels, np.uint8, (None, None)), field.schema)
    return labels


def _encode_depth(value: Any, field: Field, encoding: Encoding) -> bytes:
    depth = _array(value, np.float32, (None, None))
    low, high = (float(depth.min()), float(depth.max())) if depth.size else (0.0, 0.0)
    limit = 65535 * encoding.depth_scale
    if not (low >= 0 and high <= limit):  # written so that NaN fails too
        raise ValueError(
            f"depth lies in {low:.4g}..{high:.4g} m, but this dataset holds 0..{limit:.4g} m "
            f"(depth_scale {encoding.depth_scale:g} m per unit)"
        )
    units = np.rint(depth / np.float32(encoding.depth_scale)).clip(0, 65535)
    # 0 means "none": a surface nearer than half a unit keeps one unit.
    return encode_png(np.maximum(units, depth > 0).astype(np.uint16), filter="up")


def _decode_depth(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    units = open_image(data)
    return _array(units, np.uint16, (None, None)).astype(np.float32) * np.float32(encoding.depth_scale)


def _encode_normals(value: Any, field: Field, encoding: Encoding) -> bytes:
    normals = _array(value, np.float32, (None, None, 3))
    scaled = normals * np.float32(127)
    scaled += np.float32(128.5)
    if normals.size and not (scaled.min() >= 1 and scaled.max() < 256):
        raise ValueError("normals must be unit vectors, or zero where there is none")
    # Truncation after + 0.5 rounds. Zero becomes 128 exactly, and no unit vector comes near (128, 128, 128).
    return encode_png(scaled.astype(np.uint8), filter="up")


def _decode_normals(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    normals = _array(open_image(data), np.uint8, (None, None, 3)).astype(np.float32)
    normals -= np.float32(128)
    x, y, z = np.moveaxis(normals, -1, 0)
    length = np.sqrt(x * x + y * y + z * z)
    normals /= np.maximum(length, 1)[..., None]
    return normals


def _encode_uv(value: Any, field: Field, encoding: Encoding) -> bytes:
    uv = _array(value, np.float32, (None, None, 2))
    if uv.size and not (uv.min() >= 0 and uv.max() <= 1):
        raise ValueError("texture coordinates must lie in 0..1, and be (0, 0) where there are none")
    # (0, 0) means "none": a place on the edge of the texture keeps one unit.
    units = np.maximum(np.rint(uv * np.float32(65535)), uv.any(-1, keepdims=True)).astype(np.uint16)
    return encode_png(np.concatenate([units[..., 0], units[..., 1]]), filter="up")


def _decode_uv(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    units = _array(open_image(data), np.uint16, (None, None))
    if len(units) % 2:
        raise ValueError("a map of u above v has an even number of rows")
    return np.stack(np.split(units.astype(np.float32) / np.float32(65535), 2), -1)


_FLOW_SCALE, _FLOW_ZERO = np.float32(64), 32768  # as KITTI's maps of flow: 1/64 pixel, +-511 pixels


def _encode_flow(value: Any, field: Field, encoding: Encoding) -> bytes:
    flow = _array(value, np.float32, (None, None, 2))
    there = np.isfinite(flow).all(-1)
    known = np.where(there[..., None], flow, 0)
    if known.size and np.abs(known).max() > 511:
        raise ValueError(f"flow reaches {np.abs(known).max():.0f} pixels; a dataset holds up to 511")
    units = np.where(there[..., None], np.rint(known * _FLOW_SCALE) + _FLOW_ZERO, 0).astype(np.uint16)
    return encode_png(np.concatenate([units[..., 0], units[..., 1]]), filter="up")


def _decode_flow(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    units = _array(open_image(data), np.uint16, (None, None))
    if len(units) % 2:
        raise ValueError("a map of x above y has an even number of rows")
    both = np.stack(np.split(units, 2), -1)
    flow = (both.astype(np.float32) - _FLOW_ZERO) / _FLOW_SCALE
    return np.where((both > 0).all(-1, keepdims=True), flow, np.float32(np.nan))


def _encode_matte(value: Any, field: Field, encoding: Encoding) -> bytes:
    matte = _array(value, np.float32, (None, None))
    if matte.size and not (matte.min() >= 0 and matte.max() <= 1):
        raise ValueError("opacity lies between 0 and 1")
    return encode_png(np.rint(matte * 255).astype(np.uint8), filter="up")


def _decode_matte(data: bytes, field: Field, encoding: Encoding) -> np.ndarray:
    return _array(open_image(data), np.uint8, (None, None)).astype(np.float32) / np.float32(255)


def _points(columns: int) -> Codec:
    def encode(value: Any, field: Field, encoding: Encoding) -> list:
        points = _array(value, np.float32, (None, columns))
        if np.isinf(points).any():
            raise ValueError("points must be finite, or NaN where there is none")
        unknown = np.isnan(points)
        # Nine digits tell any two float32 apart, so that reading gives the same bits. JSON has no NaN: null is it.
        exact = nine_digits(points)
        return np.where(unknown, np.array(None), exact).tolist() if unknown.any() else exact.tolist()

    def decode(value: Any, field: Field, encoding: Encoding) -> np.ndarray:
        points = np.array(value, dtype=np.float32)
        return _array(points.reshape(0, columns) if points.size == 0 else points, np.float32, (None, columns))

    return Codec(False, encode, decode)


def _directions() -> Codec:
    points = _points(3)

    def unit(value: np.ndarray) -> np.ndarray:
        if not are_unit(value):
            raise ValueError("directions must be unit vectors")
        return value

    def encode(value: Any, field: Field, encoding: Encoding) -> Any:
        return points.encode(unit(_array(value, np.float32, (None, 3))), field, encoding)

    return Codec(False, encode, lambda value, field, encoding: unit(points.decode(value, field, encoding)))


def _encode_flags(value: Any, field: Field, encoding: Encoding) -> list:
    return _array(value, np.bool_, (None,)).tolist()


def _decode_flags(value: Any, field: Field, encoding: Encoding) -> np.ndarray:
    if not isinstance(value, list) or any(type(flag) is not bool for flag in value):
        raise ValueError("flags must be a list of true and false")
    return np.array(value, dtype=np.bool_)


def _same(value: Any, field: Field, encoding: Encoding) -> Any:
    return value


CODECS: dict[str, Codec] = {
    "image": Codec(True, _encode_image, _decode_image),
    "label": Codec(True, _encode_label, _decode_label),
    "depth": Codec(True, _encode_depth, _decode_depth),
    "normals": Codec(True, _encode_normals, _decode_normals),
    "uv": Codec(True, _encode_uv, _decode_uv),
    "flow": Codec(True, _encode_flow, _decode_flow),
    "matte": Codec(True, _encode_matte, _decode_matte),
    "points2d": _points(2),
    "points3d": _points(3),
    "directions": _directions(),
    "flags": Codec(False, _encode_flags, _decode_flags),
    "json": Codec(False, _same, _same),
}


def member_of(field: Field, encoding: Encoding) -> str:
    """The tar member (without the key) a field lies in: `depth.png`, `image.jpg`, `json`."""
    if not CODECS[field.kind].member:
        return JSON_MEMBER
    jpeg = field.kind == "image" and encoding.jpeg_quality is not None
    return f"{field.name}.{'jpg' if jpeg else 'png'}"


def members_of(fields: Sequence[Field], encoding: Encoding) -> list[str]:
    """All members of a sample in file order; the JSON member, which every sample has, comes last."""
    return [m for m in (member_of(f, encoding) for f in fields) if m != JSON_MEMBER] + [JSON_MEMBER]


def encode_sample(sample: Mapping[str, Any], fields: Sequence[Field], encoding: Encoding) -> dict[str, bytes]:
    """A sample as tar members: bytes by member name, in file order.

    sample: the fields by name, and optionally `scene` and `camera`, both as JSON holds them (arrays are allowed; theirs
    are kept to nine digits, as (seed, index) makes the scene again).
    Raises DataError naming the field. Pure, and zlib lets go of the GIL: threads may encode side by side.
    """
    members: dict[str, bytes] = {}
    small: dict[str, Any] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for field in fields:
        if field.name not in sample:
            raise DataError(f"the field '{field.name}' is missing", hint=f"The sample has: {', '.join(sample)}.")
        codec = CODECS[field.kind]
        try:
            coded = codec.encode(sample[field.name], field, encoding)
        except ValueError as error:
            hint = "Raise depth_scale, or clip in the generator." if field.kind == "depth" else None
            raise DataError(f"field '{field.name}' ({field.kind}): {error}", hint=hint) from error
        if codec.member:
            members[member_of(field, encoding)] = coded
            sizes[field.name] = np.asarray(sample[field.name]).shape[:2]
        else:
            small[field.name] = coded
    if len(set(sizes.values())) > 1:
        raise DataError(f"the images and maps of a sample must have one size, got {sizes}")
    record = {"scene": sample.get("scene"), "camera": sample.get("camera"), "annotations": small}
    try:
        text = json.dumps(record, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise DataError(f"scene, camera or a small field cannot be written as JSON: {error}") from error
    members[JSON_MEMBER] = hidden(text).encode()
    return members


def nine_digits(values: np.ndarray) -> np.ndarray:
    """float64 closest to the values at nine significant digits, which print as no more than those. NaN stays."""
    exact = values.astype(np.float64)
    size = np.abs(exact)
    known = (size > 1e-200) & (size < 1e200)
    power = 8 - np.floor(np.log10(np.where(known, size, 1.0)))
    # powers of ten up to 22 are exact, and a division of exact numbers rounds to the nearest float64
    up, down = 10.0 ** np.clip(power, 0, 22), 10.0 ** np.clip(-power, 0, 22)
    return np.where(known & (power <= 22) & (power >= -22), np.rint(exact * up / down) * down / up, exact)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return (nine_digits(value) if value.dtype.kind == "f" else value).tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
