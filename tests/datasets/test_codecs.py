"""Every codec gives back what it was given, to the precision it promises, and refuses the rest."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from synthforge.core.errors import DataError
from synthforge.core.records import Field
from synthforge.datasets import codecs
from synthforge.datasets.codecs import CODECS, Encoding, encode_sample, member_of, members_of, open_image
from synthforge.datasets.png import encode_png

SIDE = st.integers(1, 9)
FIELDS = {kind: Field("thing", kind) for kind in CODECS}


def there_and_back(kind: str, value: object, encoding: Encoding | None = None) -> object:
    encoding = encoding or Encoding()
    codec = CODECS[kind]
    coded = codec.encode(value, FIELDS[kind], encoding)
    if not codec.member:
        coded = json.loads(json.dumps(coded, allow_nan=False))
    return codec.decode(coded, FIELDS[kind], encoding)


@given(hnp.arrays(np.uint8, st.tuples(SIDE, SIDE, st.just(3))))
def test_images_are_lossless(pixels: np.ndarray) -> None:
    assert np.array_equal(there_and_back("image", pixels), pixels)


@given(hnp.arrays(np.uint8, st.tuples(SIDE, SIDE)))
def test_labels_are_lossless(labels: np.ndarray) -> None:
    back = there_and_back("label", labels)
    assert back.dtype == np.uint8
    assert np.array_equal(back, labels)


@given(
    hnp.arrays(np.float32, st.tuples(SIDE, SIDE), elements=st.floats(0, 6.5, width=32)), st.sampled_from([1e-4, 1e-3])
)
def test_depth_keeps_half_a_unit_and_where_there_is_none(depth: np.ndarray, scale: float) -> None:
    back = there_and_back("depth", depth, Encoding(depth_scale=scale))
    near = depth < scale  # closer than a unit is stored as one unit, not as "none"
    assert np.array_equal(back > 0, depth > 0)
    assert np.abs(back - depth)[~near].max(initial=0) <= scale * 0.5 + 1e-6
    assert np.abs(back - depth)[near].max(initial=0) <= scale


@pytest.mark.parametrize("wrong", [6.6, -0.1, np.nan, np.inf])
def test_depth_beyond_its_range_is_an_error(wrong: float) -> None:
    depth = np.ones((4, 4), np.float32)
    depth[1, 2] = wrong
    with pytest.raises(ValueError, match="depth lies in"):
        there_and_back("depth", depth)


@given(hnp.arrays(np.float64, st.tuples(SIDE, SIDE, st.just(3)), elements=st.floats(-1, 1)))
def test_normals_keep_less_than_half_a_degree_and_where_there_are_none(raw: np.ndarray) -> None:
    length = np.linalg.norm(raw, axis=-1, keepdims=True)
    there = length[..., 0] > 0.01
    normals = np.where(there[..., None], raw / np.maximum(length, 0.01), 0).astype(np.float32)
    back = there_and_back("normals", normals)
    assert (back[~there] == 0).all()
    sine = np.linalg.norm(np.cross(back[there].astype(float), normals[there].astype(float)), axis=-1)
    assert np.rad2deg(sine).max(initial=0) < 0.4
    assert np.allclose(np.linalg.norm(back[there], axis=-1), 1, atol=1e-5)
    assert ((back[there] * normals[there]).sum(-1) > 0).all()


@pytest.mark.parametrize("columns", [2, 3])
@given(data=st.data())
def test_points_are_exact_and_may_be_unknown(columns: int, data: st.DataObject) -> None:
    values = st.floats(width=32, allow_infinity=False)
    points = data.draw(hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(columns)), elements=values))
    back = there_and_back(f"points{columns}d", points)
    assert back.dtype == np.float32
    assert back.shape == points.shape
    assert np.array_equal(back, points, equal_nan=True)


@given(hnp.arrays(np.bool_, st.integers(0, 70)))
def test_flags_are_exact(flags: np.ndarray) -> None:
    back = there_and_back("flags", flags)
    assert back.dtype == np.bool_
    assert np.array_equal(back, flags)


@pytest.mark.parametrize("filter_name", ["none", "sub", "up"])
@pytest.mark.parametrize("runs", [False, True])
@given(
    pixels=st.one_of(
        hnp.arrays(np.uint8, st.tuples(SIDE, SIDE)),
        hnp.arrays(np.uint16, st.tuples(SIDE, SIDE)),
        hnp.arrays(np.uint8, st.tuples(SIDE, SIDE, st.just(3))),
    )
)
@settings(max_examples=30)
def test_pillow_reads_what_the_encoder_writes(filter_name: str, runs: bool, pixels: np.ndarray) -> None:
    data = encode_png(pixels, filter=filter_name, runs=runs)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    assert np.array_equal(open_image(data), pixels)


def test_jpeg_images_are_near_and_named_so() -> None:
    y, x = np.mgrid[:32, :32]
    pixels = np.stack([4 * x, 4 * y, 2 * x + 2 * y], axis=-1).astype(np.uint8)
    encoding = Encoding(jpeg_quality=95)
    assert member_of(codecs.IMAGE, encoding) == "image.jpg"
    back = there_and_back("image", pixels, encoding)
    assert np.abs(back.astype(int) - pixels).max() < 8


@pytest.mark.parametrize("wrong", [{"depth_scale": 0.0}, {"jpeg_quality": 0}, {"jpeg_quality": 101}])
def test_encodings_are_checked(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        Encoding(**wrong)


def test_images_above_the_cap_and_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="more than the 100,000,000 allowed"):
        open_image(encode_png(np.zeros((10_001, 10_000), np.uint8)))
    flat = encode_png(np.zeros((4096, 4096), np.uint8), filter="none", runs=True)
    assert len(flat) < 20_000
    assert open_image(flat).shape == (4096, 4096)  # the largest that is generated
    other = io.BytesIO()
    Image.new("RGB", (4, 4)).save(other, "BMP")
    for mode in ("RGB", None):
        with pytest.raises(ValueError, match=r"is not a whole .*PNG image"):
            open_image(other.getvalue(), mode)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=60)
def test_a_damaged_image_is_an_error_or_reads_in_full(position: int, value: int) -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    data = bytearray(encode_png(pixels))
    data[position % len(data)] = value
    try:
        back = open_image(bytes(data))
    except ValueError:
        return
    assert back.size > 0  # never a half-read array or another exception


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("image", np.zeros((4, 4, 3), np.float32)),
        ("image", np.zeros((4, 4), np.uint8)),
        ("label", np.zeros((4, 4), np.int64)),
        ("depth", np.zeros((4, 4), np.float64)),
        ("normals", np.full((4, 4, 3), 2, np.float32)),
        ("normals", np.full((4, 4, 3), np.nan, np.float32)),
        ("points2d", np.zeros((4, 3), np.float32)),
        ("points3d", np.full((4, 3), np.inf, np.float32)),
        ("flags", np.zeros(4, np.uint8)),
    ],
)
def test_wrong_values_are_refused(kind: str, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|must be"):
        there_and_back(kind, value)


def test_class_ids_outside_the_schema_are_refused_both_ways() -> None:
    field = Field("segmentation", "label", schema="lapa11")
    labels = np.full((4, 4), 255, np.uint8)
    coded = CODECS["label"].encode(labels, field, Encoding())
    assert (CODECS["label"].decode(coded, field, Encoding()) == 255).all()
    labels[0, 0] = 11
    with pytest.raises(ValueError, match=r"class ids \[11\]"):
        CODECS["label"].encode(labels, field, Encoding())
    with pytest.raises(ValueError, match=r"class ids \[11\]"):
        CODECS["label"].decode(encode_png(labels), field, Encoding())


def test_samples_name_the_field_that_is_wrong() -> None:
    fields = (codecs.IMAGE, Field("depth", "depth"))
    sample = {"image": np.zeros((4, 4, 3), np.uint8), "depth": np.full((4, 4), 9, np.float32)}
    with pytest.raises(DataError, match=r"field 'depth' .* 9") as caught:
        encode_sample(sample, fields, Encoding())
    assert "depth_scale" in str(caught.value.hint)
    with pytest.raises(DataError, match="'depth' is missing"):
        encode_sample({"image": sample["image"]}, fields, Encoding())
    sample["depth"] = np.ones((5, 4), np.float32)
    with pytest.raises(DataError, match="one size"):
        encode_sample(sample, fields, Encoding())
    sample |= {"depth": np.ones((4, 4), np.float32), "scene": {"parameters": {"x": float("nan")}}}
    with pytest.raises(DataError, match="cannot be written as JSON"):
        encode_sample(sample, fields, Encoding())


def test_members_come_in_the_order_of_the_fields_with_json_last() -> None:
    fields = (codecs.IMAGE, Field("points", "points2d"), Field("depth", "depth"))
    sample = {
        "image": np.zeros((2, 2, 3), np.uint8),
        "points": np.zeros((1, 2), np.float32),
        "depth": np.ones((2, 2), np.float32),
        "scene": {"parameters": {"shape": np.arange(2), "scale": np.float32(0.5)}},
    }
    coded = encode_sample(sample, fields, Encoding())
    assert list(coded) == members_of(fields, Encoding()) == ["image.png", "depth.png", "json"]
    assert json.loads(coded["json"]) == {
        "scene": {"parameters": {"shape": [0, 1], "scale": 0.5}},
        "camera": None,
        "annotations": {"points": [[0.0, 0.0]]},
    }
