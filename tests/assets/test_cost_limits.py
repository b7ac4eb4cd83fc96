"""Small foreign files that would take all time or memory are refused quickly, by name, within little memory."""

from __future__ import annotations

import io
import pickle
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthforge_plugins.heads.flame.formats import read_masks

from synthforge.assets.stylegan_pickle import read_stylegan_pickle
from synthforge.assets.torch_checkpoint import read_torch_checkpoint
from synthforge.assets.unpickle import load_flame_pickle, load_object_npy
from synthforge.core.errors import AssetError

SECONDS, BYTES = 4.0, 200 << 20  # the promise is 2 s; a shared machine may be slow
START, STOP = b"\x80\x02", b"."


def doubled(first: bytes, join: bytes, times: int = 40) -> bytes:
    """`first`, then `times` containers, each of the one before twice: 2^times items in a few hundred bytes."""
    code = START + first + b"q\x00"
    for number in range(times):
        slot = bytes([number])
        code += b"0" + join.replace(b"<", b"h" + slot) + b"q" + bytes([number + 1])
    return code


TUPLES = doubled(b"K\x01\x85", b"<<\x86")
LISTS = doubled(b"](K\x01K\x01e", b"](<<e")
SCIPY = b"cscipy.sparse._csc\ncsc_matrix\n)\x81}("


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def sparse(rows: int, columns: int) -> bytes:
    """A FLAME file whose one entry is an empty sparse matrix that would be large if made dense."""

    class Matrix:
        def __reduce__(self) -> Any:
            shape = {"_shape": (rows, columns), "data": np.zeros(0), "indices": np.zeros(0, "i4")}
            return (object, (), {**shape, "indptr": np.zeros(columns + 1, "i4")})

    plain = pickle.dumps({"J_regressor": Matrix()}, 2)
    return plain.replace(b"c__builtin__\nobject\n", b"cscipy.sparse._csc\ncsc_matrix\n")


PICKLES: dict[str, bytes] = {
    "a key of shared tuples": TUPLES + b"q\xff0}h\xffK\x01s" + STOP,
    "keys of shared tuples": TUPLES + b"q\xff0}(h\xffK\x01u" + STOP,
    "a dictionary of shared tuples": TUPLES + b"q\xff0(h\xffK\x01d" + STOP,
    "a set of shared tuples": b"\x80\x04" + TUPLES[2:] + b"q\xff0\x8f(h\xff\x90" + STOP,
    "a frozen set of shared tuples": b"\x80\x04" + TUPLES[2:] + b"q\xff0(h\xff\x91" + STOP,
    "a set made by a call": TUPLES + b"q\xff0c__builtin__\nset\n](h\xffe\x85R" + STOP,
    "a length made of lists": LISTS + b"q\xff0cnumpy\ndtype\nh\xff\x85R" + STOP,
    "a shape of shared lists": LISTS
    + b"q\xff0cnumpy.core.multiarray\n_reconstruct\n)R(h\xffcnumpy\ndtype\n"
    + text("f4")
    + b"\x85R\x89"
    + text("")
    + b"tb"
    + STOP,
    "32 dimensions": START
    + b"cnumpy.core.multiarray\n_reconstruct\n)R((" * 1
    + b"K\x01" * 32
    + b"tcnumpy\ndtype\n"
    + text("f4")
    + b"\x85R\x89"
    + text("abcd")
    + b"tb"
    + STOP,
    "a byte array of a terabyte": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + STOP,
    "millions of instructions": START + b"N0" * 3_000_000 + b"N" + STOP,
    "dictionaries copied again and again": START
    + b"}("
    + b"".join(b"J" + n.to_bytes(4, "little") + b"N" for n in range(30_000))
    + b"uq\x000"
    + b"ccollections\nOrderedDict\nh\x00\x85R0" * 3_000
    + b"N"
    + STOP,
    "a million nested lists": START + b"]" * 400_000 + b"a" * 399_999 + STOP,
    "a sparse matrix of a gigabyte": sparse(5, 20_000_000)[:0] or sparse(200_000_000, 2),
}


def refused(read: Callable[[Path], Any], path: Path) -> str:
    tracemalloc.start()
    begin = time.monotonic()
    try:
        with pytest.raises(AssetError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begin < SECONDS * 5  # tracing alone is several times slower
    assert peak < BYTES + path.stat().st_size * 8
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1_000
    return str(caught.value)


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("read", [load_flame_pickle, read_stylegan_pickle])
def test_pickles_that_cost_far_more_than_their_size(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(PICKLES[name])
    refused(read, path)


def test_masks_of_nested_lists_that_share_their_items(tmp_path: Path) -> None:
    path = tmp_path / "masks.pkl"
    path.write_bytes(LISTS + b"q\xff0}" + text("face") + b"h\xffs" + STOP)
    assert "face" in refused(lambda file: read_masks(file, 5023), path)


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    path = tmp_path / "masks.pkl"
    path.write_bytes(START + b"}q\x00" + text("face") + b"h\x00s" + STOP)
    refused(lambda file: read_masks(file, 5023), path)


@pytest.mark.parametrize("header", ["{" * 5_000, "'''", "{'descr': 'O', 'fortran_order': False, 'shape': ()", "0x"])
def test_npy_headers_that_no_parser_likes(tmp_path: Path, header: str) -> None:
    path = tmp_path / "embedding.npy"
    raw = header.encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw)
    refused(load_object_npy, path)


def _zipped(members: dict[str, bytes], how: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


CHECKPOINTS = {
    "a deflated gigabyte": _zipped({"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(50 << 20)}, zipfile.ZIP_DEFLATED),
    "a key of shared tuples": _zipped({"a/data.pkl": PICKLES["a key of shared tuples"]}, zipfile.ZIP_STORED),
    "the same in the old format": PICKLES["a key of shared tuples"],
    "a cut zip file": _zipped({"a/data.pkl": b"\x80\x02}."}, zipfile.ZIP_STORED)[:-30],
    "nothing": b"",
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_torch_checkpoints_that_cost_far_more_than_their_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(CHECKPOINTS[name])
    refused(read_torch_checkpoint, path)


@pytest.mark.parametrize("zipped", [True, False])
def test_real_torch_checkpoints_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.tar"
    state = {"a": {"weight": torch.randn(3, 4)}, "epoch": 3, "b": torch.nn.Parameter(torch.randn(2))}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    found = read_torch_checkpoint(path)
    assert torch.equal(found["a"]["weight"], state["a"]["weight"])  # type: ignore[index]
    assert torch.equal(found["b"], state["b"])  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_arrays_of_every_protocol_are_the_same(tmp_path: Path, protocol: int) -> None:
    arrays = {
        "c": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12, dtype=np.uint32).reshape(3, 4)),
        "big": np.arange(5, dtype=">i4"),
        "empty": np.zeros((0, 3)),
    }
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol))
    found = load_flame_pickle(path)
    for name, wanted in arrays.items():
        np.testing.assert_array_equal(found[name], wanted)
