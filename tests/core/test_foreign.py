"""Readers of JSON, NPY and NPZ: the value, or our error within limits on time and memory, whatever the bytes are."""

from __future__ import annotations

import contextlib
import io
import json
import math
import resource
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.core.errors import AssetError, DataError
from synthforge.core.foreign import boundary, parse_json, read_array, read_arrays, read_bytes, read_json, read_text

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@contextlib.contextmanager
def cheap(seconds: float = 2.0, megabytes: int = 200) -> Iterator[None]:
    """Fail when the block takes longer, or more memory at its peak."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - started < seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < megabytes * 1024


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_json_comes_back_as_it_was(value: Any) -> None:
    with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair
        text = json.dumps(value, ensure_ascii=False)
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            assert parse_json(text.encode(encoding), "x") == value
        assert parse_json(json.dumps(value).encode(), "x") == value


HOSTILE_JSON = {
    "NaN": (b"[NaN]", "NaN is not a number in JSON"),
    "infinity": (b"[-Infinity]", "-Infinity is not a number in JSON"),
    "a float beyond the range": (b"[1e999]", "the number 1e999 is out of range"),
    "an integer beyond 64 bits": (b"[18446744073709551616]", "does not fit 64 bits"),
    "an integer of a million digits": (b"9" * 1_000_000, "does not fit 64 bits"),
    "a key that comes twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is in one object twice"),
    "deep lists": (b"[" * 65 + b"]" * 65, "nested more than 64 levels"),
    "deeper lists": (b"[" * 10**6 + b"]" * 10**6, "nested too deeply|more than the"),
    "deep objects": (b'{"a":' * 500 + b"1" + b"}" * 500, "nested more than 64 levels"),
    "depth behind brackets in text": (b'[" ]",' * 900 + b"1" + b"]" * 900, "nested"),
    "many values": (b"[" + b"[]," * 2_000_000 + b"1]", "more than the 1,500,000 values"),
    "half a surrogate pair": (b'["\\ud800"]', "surrogates not allowed"),
    "not UTF-8": (b'["\xff\xfe"]', "can't decode|invalid"),
    "cut off": (b'{"a": [1, 2', "Expecting"),
    "empty": (b"", "Expecting value"),
    "two values": (b"1 2", "Extra data"),
    "a control character": (b'["a\x01"]', "control character"),
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_is_answered_cheaply(name: str) -> None:
    data, words = HOSTILE_JSON[name]
    with cheap(), pytest.raises(DataError, match=rf"^x\.json is not valid JSON: .*({words})"):
        parse_json(data, "x.json")


def test_values_at_the_limits_are_read() -> None:
    assert parse_json(b"[18446744073709551615, -9223372036854775808, 1e308]", "x") == [2**64 - 1, -(2**63), 1e308]
    assert parse_json(b"[" * 64 + b"]" * 64, "x") is not None
    assert parse_json(b'["]]]]", "[[[["]', "x") == ["]]]]", "[[[["]
    assert parse_json(json.dumps(["😀"]).encode(), "x") == ["😀"]


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:0123456789eE+-.\\ untrflsaN', max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_json_or_our_error(data: bytes) -> None:
    with contextlib.suppress(DataError):
        value = parse_json(data, "x")
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # what came through can be written again


def test_files_that_are_none_and_files_too_large_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere: No such file"):
        read_bytes(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot read"):
        read_bytes(tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        read_bytes(Path("/dev/zero"))
    (tmp_path / "large").write_bytes(b"123456789")
    with pytest.raises(DataError, match=r"large has 9 bytes, more than the 8 allowed"):
        read_bytes(tmp_path / "large", 8)
    assert read_bytes(tmp_path / "large", 9) == b"123456789"


def test_texts_are_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for data in ("grün".encode(), "grün".encode("utf-8-sig")):
        path.write_bytes(data)
        assert read_text(path) == "grün"
    path.write_bytes("grün".encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.txt is not a text file in UTF-8"):
        read_text(path)
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.zeros((0, 4), bool),
        np.arange(3, dtype=">f4"),
    ],
    ids=["rows", "columns", "scalar", "empty", "big-endian"],
)
def test_arrays_come_back_as_they_were(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", first=array, second=array)
    found = [read_array(tmp_path / "a.npy"), *read_arrays(tmp_path / "a.npz").values()]
    assert list(read_arrays(tmp_path / "a.npz", ["second", "third"])) == ["second"]
    for each in found:
        assert each.dtype == array.dtype
        np.testing.assert_array_equal(each, array)
        assert each.flags.writeable


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def described(shape: object, dtype: str = "<f4") -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"


HOSTILE_NPY = {
    "a terabyte": npy(described((10**12,))),
    "more numbers than there are": npy(described((3,)), bytes(11)),
    "fewer numbers than there are": npy(described((3,)), bytes(13)),
    "32 dimensions": npy(described((1,) * 32), bytes(4)),
    "an endless side beside none": npy(described((0, 10**30))),
    "a negative side": npy(described((-1,)), bytes(4)),
    "objects": npy(described((1,), "|O"), b"\x80\x04N."),
    "bytes": npy(described((1,), "|S4"), bytes(4)),
    "numbers of no size": npy(described((10**9,), "|V0")),
    "a structure": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", bytes(4)),
    "a shape that is none": npy(described("'x'")),
    "sides that are true": npy(described((True,)), bytes(4)),
    "a header that is no dictionary": npy("[" * 60),
    "a header that asks for work": npy("{'a': 9**9**9}"),
    "a header that is cut": npy(described((1,)))[:40],
    "another version": b"\x93NUMPY\x09\x00" + bytes(20),
    "no array": b"PK\x03\x04",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE_NPY)
def test_hostile_arrays_are_answered_cheaply(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(HOSTILE_NPY[name])
    with cheap(), pytest.raises(DataError, match=r"a\.npy is not a NumPy array of numbers: "):
        read_array(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", HOSTILE_NPY[name])
    with cheap(), pytest.raises(AssetError, match=r"a\.npz is not an NPZ file of plain arrays: "):
        read_arrays(tmp_path / "a.npz", error=AssetError)


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    packed = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed as archive, archive.open("a.npy", "w") as member:
        member.write(npy(described((160 << 20,), "|u1")))
        for _ in range(160):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with cheap(), pytest.raises(DataError, match="unpacks to 167,772,288 bytes"):
        read_arrays(path)
    assert read_arrays(path, ["b"]) == {}  # what is not asked for costs nothing
    twice = tmp_path / "twice.npz"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a.npy", npy(described((1,)), bytes(4)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", npy(described((1,)), bytes(4)))
    with pytest.raises(DataError, match="of the same name"):
        read_arrays(twice)


@given(st.integers(0), st.binary(max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_the_bytes_are_the_answer_is_arrays_or_our_error(place: int, patch: bytes, packed: bool) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.save)(buffer, np.arange(5.0))  # type: ignore[operator]
    data = bytearray(buffer.getvalue())
    place %= len(data)
    data[place : place + len(patch)] = patch
    path = Path(_folder()) / "x"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        found = read_arrays(path) if packed else {"": read_array(path)}
        assert all(math.prod(array.shape) == array.size for array in found.values())


def _folder(made: list[str] = []) -> str:  # noqa: B006
    import tempfile

    if not made:
        made.append(tempfile.mkdtemp())
    return made[0]


@pytest.mark.parametrize(
    "problem",
    [RecursionError(), MemoryError(), OverflowError("big"), KeyError("a"), AttributeError("b"), struct.error("c")],
)
def test_whatever_a_parser_raises_becomes_our_error(problem: Exception) -> None:
    with pytest.raises(AssetError, match=r"^x is not a y: "), boundary("x", "a y", hint="h", error=AssetError):
        raise problem
