"""Foreign pickles: the formats we need are read exactly, everything else is refused and nothing is ever run."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.assets.unpickle import (
    EMBEDDING_NAMES,
    FLAME_NAMES,
    STYLEGAN_NAMES,
    load_flame_pickle,
    load_object_npy,
    unpickle,
)
from synthforge.core.errors import AssetError
from synthforge.testing import pickle_writer as writer
from synthforge.testing.pickle_writer import Call, Global


def read(value: Any, table: Any = STYLEGAN_NAMES) -> Any:
    return unpickle(writer.dumps(value), table, where="file.pkl")


class Runs:
    """Pickles to a call, as an attack does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("table", [FLAME_NAMES, EMBEDDING_NAMES, STYLEGAN_NAMES])
def test_calls_are_refused_by_name_and_not_made(tmp_path: Path, protocol: int, table: Any) -> None:
    mark = tmp_path / "ran"
    for function, argument, name in (
        (os.system, f"touch {mark}", "system"),
        (eval, f"open({str(mark)!r}, 'w')", "eval"),
        (exec, f"open({str(mark)!r}, 'w')", "exec"),
        (os.mkdir, str(mark), "mkdir"),
        (getattr, object, "getattr"),
    ):
        data = pickle.dumps({"x": Runs(function, argument)}, protocol)
        with pytest.raises(AssetError, match=name):
            unpickle(data, table, where="file.pkl")
    assert not mark.exists()


def test_dotted_names_extensions_and_outside_objects_are_refused() -> None:
    dotted = b"\x80\x04\x8c\x08builtins\x8c\x0cset.__init__\x93."
    extension = b"\x80\x02\x82\x01."
    outside = b"\x80\x02X\x01\x00\x00\x00aQ."
    for data, reason in ((dotted, "set.__init__"), (extension, "extension code 1"), (outside, "outside itself")):
        with pytest.raises(AssetError, match=reason):
            unpickle(data, STYLEGAN_NAMES, where="file.pkl")


def test_attributes_can_only_be_set_on_records() -> None:
    attack = Call(Global("builtins", "set"), ([],), {"x": 1})
    with pytest.raises(AssetError, match="sets attributes of a set"):
        read(attack)
    # the function itself, not what it returns
    data = b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb."
    with pytest.raises(AssetError, match="sets attributes of a function"):
        unpickle(data, STYLEGAN_NAMES, where="file.pkl")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_tensors_of_every_type_come_back(dtype: torch.dtype) -> None:
    value = torch.arange(24).reshape(2, 3, 4).to(dtype)
    found = read({"a": value})["a"]
    assert found.dtype == dtype
    assert torch.equal(found, value)


def test_a_real_torch_pickle_is_read_and_gpu_storages_come_to_the_cpu() -> None:
    value = {"weight": torch.randn(4, 5).t(), "part": torch.arange(10)[3:7], "p": torch.nn.Parameter(torch.ones(2))}
    data = pickle.dumps(value)
    found = unpickle(data, STYLEGAN_NAMES, where="file.pkl")
    for name, tensor in value.items():
        assert torch.equal(found[name], tensor)
        assert not found[name].requires_grad
    raw = bytes(writer.tensor(torch.arange(6.0)).arguments[0].arguments[0])
    moved = raw.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage").replace(
        b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    )
    assert moved.count(b"cuda") == 2
    storage = Call(Global("torch.storage", "_load_from_bytes"), (moved,))
    tensor = Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, (2, 3), (3, 1), False, {}))
    assert torch.equal(read(tensor), torch.arange(6.0).view(2, 3))


def tensor_call(raw: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Call:
    storage = Call(Global("torch.storage", "_load_from_bytes"), (raw,))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, offset, size, stride, False, {}))


@pytest.fixture(scope="module")
def raw_storage() -> bytes:
    call = writer.tensor(torch.arange(12.0))
    return bytes(call.arguments[0].arguments[0])


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (13,), (1,)),
        (1, (12,), (1,)),
        (0, (2,), (12,)),
        (0, (1 << 40,), (1,)),
        (0, (1 << 20, 1 << 20), (0, 0)),
        (0, (13,), (0,)),
        (0, (2,), (1 << 62,)),
        (1 << 62, (1,), (1,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (1,) * 40, (1,) * 40),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(
    raw_storage: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    with pytest.raises(AssetError, match="refused"):
        read(tensor_call(raw_storage, offset, size, stride))


def test_truncated_and_lying_storages_are_refused(raw_storage: bytes) -> None:
    assert torch.equal(read(tensor_call(raw_storage, 2, (2, 2), (4, 1))), torch.tensor([[2.0, 3.0], [6.0, 7.0]]))
    for cut in (1, 4, 48, 56, 60, len(raw_storage) - 1):
        with pytest.raises(AssetError, match="refused"):
            read(tensor_call(raw_storage[:-cut], 0, (1,), (1,)))
    with pytest.raises(AssetError, match="truncated torch storage"):
        read(tensor_call(raw_storage + b"1234", 0, (1,), (1,)))
    count = struct.pack("<q", 12)
    for lie in (struct.pack("<q", 1 << 50), struct.pack("<q", -1)):
        assert raw_storage.count(count) == 1
        with pytest.raises(AssetError, match="two counts differ"):
            read(tensor_call(raw_storage.replace(count, lie), 0, (1,), (1,)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",  # bytes of a terabyte
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"abc.",  # text of a terabyte
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",  # bytearray of a terabyte
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N",  # a frame of a terabyte
        b"\x80\x02Nr\xff\xff\xff\x7fX.",  # a memo slot of two milliards
    ],
)
def test_lengths_beyond_the_file_cost_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(AssetError, match="refused"):
            unpickle(data, STYLEGAN_NAMES, where="file.pkl")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def body(value: Any) -> bytes:
    """The instructions that build a value, without header and stop."""
    return writer.dumps(value)[2:-1]


def test_shared_values_cannot_be_multiplied() -> None:
    out = pickle.PROTO + b"\x02" + pickle.EMPTY_LIST + pickle.MARK
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK
    # one storage in the memo, two hundred tensors over it
    storage = body(writer.tensor(torch.zeros(50_000)).arguments[0]) + pickle.BINPUT + b"\x01"
    rest = b"".join(body(item) for item in (0, (50_000,), (1,), False, {})) + pickle.TUPLE + pickle.REDUCE
    first, again = rebuild + storage + rest, rebuild + pickle.BINGET + b"\x01" + rest
    with pytest.raises(AssetError, match="far larger than the file"):
        unpickle(out + first + again * 200 + pickle.APPENDS + pickle.STOP, STYLEGAN_NAMES, where="file.pkl")


def test_absurd_nesting_is_refused() -> None:
    data = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    with pytest.raises(AssetError, match="refused"):
        unpickle(data, STYLEGAN_NAMES, where="file.pkl")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    """Whatever bytes are flipped, the answer is a value or an AssetError."""
    whole = bytearray(writer.dumps({"a": torch.arange(4.0), "b": np.arange(3), "c": {"d": 1.5, "e": "text"}}))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(whole)))
    for raw in (bytes(whole), bytes(whole[:end])):
        with contextlib.suppress(AssetError):
            unpickle(raw, STYLEGAN_NAMES, where="file.pkl")


def test_flame_pickle_with_chumpy_and_scipy(tmp_path: Path) -> None:
    dense = np.where(np.random.default_rng(0).random((5, 40)) > 0.8, 1.25, 0.0)
    values = np.arange(12.0).reshape(3, 4)
    file = tmp_path / "flame.pkl"
    content = {
        "v": writer.chumpy_array(values),
        "J_regressor": writer.csc_matrix(dense),
        "f": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "bs_type": "lrotmin",
    }
    file.write_bytes(writer.dumps(content, python2=True))
    found = load_flame_pickle(file)
    np.testing.assert_array_equal(found["v"], values)
    np.testing.assert_array_equal(found["J_regressor"], dense)
    np.testing.assert_array_equal(found["f"], content["f"])
    assert found["f"].dtype == np.uint32
    assert found["bs_type"] == "lrotmin"


@pytest.mark.parametrize("change", [{"indices": np.array([7], np.int32)}, {"indptr": np.array([0, 2], np.int32)}])
def test_sparse_matrices_with_wild_indices_are_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    state = {
        "_shape": (3, 1),
        "data": np.ones(1),
        "indices": np.zeros(1, np.int32),
        "indptr": np.array([0, 1], np.int32),
    }
    matrix = Call(Global("scipy.sparse.csc", "csc_matrix"), (), state | change, new=True)
    (tmp_path / "m.pkl").write_bytes(writer.dumps({"m": matrix}, python2=True))
    with pytest.raises(AssetError, match="contradict"):
        load_flame_pickle(tmp_path / "m.pkl")


def test_arrays_of_objects_and_of_false_length_are_refused() -> None:
    good = writer.array(np.arange(6.0))
    assert isinstance(good.state, tuple)
    for state in (
        (1, (7,), *good.state[2:]),
        (1, (1 << 60,), *good.state[2:]),
        (1, (6,), Call(Global("numpy", "dtype"), ("O8", 0, 1)), False, [1, 2, 3, 4, 5, 6]),
        (1, (6,), Call(Global("numpy", "dtype"), ("V8", 0, 1)), False, good.state[4]),
    ):
        with pytest.raises(AssetError, match="refused"):
            read(Call(good.function, good.arguments, state))


def test_object_npy(tmp_path: Path) -> None:
    values = {"a": np.arange(3), "b": np.ones((2, 2), np.float32)}
    np.save(tmp_path / "e.npy", np.array(values, dtype=object), allow_pickle=True)
    found = load_object_npy(tmp_path / "e.npy")
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)
    np.save(tmp_path / "evil.npy", np.array(Runs(os.system, "true"), dtype=object), allow_pickle=True)
    with pytest.raises(AssetError, match="system"):
        load_object_npy(tmp_path / "evil.npy")
    np.save(tmp_path / "plain.npy", np.arange(3))
    with pytest.raises(AssetError, match="not one dictionary"):
        load_object_npy(tmp_path / "plain.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(AssetError, match=r"not a \.npy file"):
        load_object_npy(tmp_path / "text.npy")


def test_ordered_dictionaries_survive() -> None:
    value = OrderedDict([("b", 1), ("a", OrderedDict(c=2))])
    assert list(unpickle(pickle.dumps(value), STYLEGAN_NAMES, where="f")) == ["b", "a"]
