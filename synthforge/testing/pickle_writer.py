"""Writing pickles that name classes which are not installed, for tests of the readers.

`dumps` lays out the instructions itself, so that a file with FLAME's or StyleGAN's exact structure can be made without
chumpy, SciPy's old module names or any foreign code.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Global:
    """A name to look up when read."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """`function(*arguments)`, then the state, as most objects are pickled; `new` makes it `__new__`."""

    function: Global
    arguments: tuple[Any, ...] = ()
    state: Any = None
    new: bool = False


def dumps(value: Any, python2: bool = False) -> bytes:
    """A pickle of protocol 2, with text and bytes both as Python 2 strings, or of protocol 3.

    Raises: TypeError for a type outside the few that asset files hold.
    """
    out = io.BytesIO()
    out.write(pickle.PROTO + (b"\x02" if python2 else b"\x03"))
    _Writer(out, python2).save(value)
    out.write(pickle.STOP)
    return out.getvalue()


class _Writer:
    def __init__(self, out: io.BytesIO, python2: bool) -> None:
        self.out, self.python2 = out, python2

    def save(self, value: Any) -> None:
        match value:
            case None:
                self.out.write(pickle.NONE)
            case bool():
                self.out.write(pickle.NEWTRUE if value else pickle.NEWFALSE)
            case int():
                raw = pickle.encode_long(value)
                self.out.write(pickle.LONG1 + bytes([len(raw)]) + raw)
            case float():
                self.out.write(pickle.BINFLOAT + struct.pack(">d", value))
            case str():
                self._text(value)
            case bytes() | bytearray():
                opcode = pickle.BINSTRING if self.python2 else pickle.BINBYTES
                self.out.write(opcode + struct.pack("<I", len(value)))
                self.out.write(value)
            case tuple():
                self.out.write(pickle.MARK)
                self._each(value)
                self.out.write(pickle.TUPLE)
            case list():
                self.out.write(pickle.EMPTY_LIST + pickle.MARK)
                self._each(value)
                self.out.write(pickle.APPENDS)
            case Mapping():
                self.out.write(pickle.EMPTY_DICT + pickle.MARK)
                for key, item in value.items():
                    self.save(key)
                    self.save(item)
                self.out.write(pickle.SETITEMS)
            case Global():
                self.out.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            case Call():
                self._call(value)
            case np.ndarray():
                self._call(array(value))
            case torch.Tensor():
                self._call(tensor(value))
            case _:
                raise TypeError(f"cannot write a {type(value).__name__}")

    def _each(self, values: Any) -> None:
        for value in values:
            self.save(value)

    def _text(self, value: str) -> None:
        raw = value.encode("latin1" if self.python2 else "utf-8")
        opcode = pickle.BINSTRING if self.python2 else pickle.BINUNICODE
        self.out.write(opcode + struct.pack("<I", len(raw)) + raw)

    def _call(self, call: Call) -> None:
        self.save(call.function)
        self.save(call.arguments)
        self.out.write(pickle.NEWOBJ if call.new else pickle.REDUCE)
        if call.state is not None:
            self.save(call.state)
            self.out.write(pickle.BUILD)


def array(value: np.ndarray) -> Call:
    """A NumPy array as NumPy before 2.0 pickled it."""
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    code = little.dtype.str[1:]
    dtype = Call(Global("numpy", "dtype"), (code, 0, 1), (3, "<", None, None, None, -1, -1, 0))
    blank = (Global("numpy", "ndarray"), (0,), b"b")
    state = (1, little.shape, dtype, False, little.tobytes())
    return Call(Global("numpy.core.multiarray", "_reconstruct"), blank, state)


def object_array(value: Any) -> Call:
    """One object inside an array without dimensions, as `numpy.save` stores a dictionary."""
    dtype = Call(Global("numpy", "dtype"), ("O8", 0, 1), (3, "|", None, None, None, -1, -1, 63))
    blank = (Global("numpy", "ndarray"), (0,), b"b")
    return Call(Global("numpy.core.multiarray", "_reconstruct"), blank, (1, (), dtype, False, [value]))


def csc_matrix(dense: np.ndarray) -> Call:
    """A compressed-sparse-column matrix as SciPy before 1.8 pickled it."""
    columns, rows = np.nonzero(dense.T)
    state = {
        "_shape": tuple(int(n) for n in dense.shape),
        "maxprint": 50,
        "data": dense[rows, columns],
        "indices": rows.astype(np.int32),
        "indptr": np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32),
    }
    return Call(Global("scipy.sparse.csc", "csc_matrix"), (), state, new=True)


def chumpy_array(value: np.ndarray) -> Call:
    """A chumpy array: its value is the entry `x` of its state."""
    state = {"_dirty_vars": Call(Global("__builtin__", "set"), ([],)), "_itr": None, "x": np.asarray(value)}
    return Call(Global("chumpy.ch", "Ch"), (), state, new=True)


def tensor(value: torch.Tensor) -> Call:
    """A torch tensor over its own storage, which is nested in torch's legacy format."""
    own = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    nested = io.BytesIO()
    torch.save(
        torch.storage.TypedStorage(wrap_storage=own.untyped_storage(), dtype=own.dtype, _internal=True),
        nested,
        _use_new_zipfile_serialization=False,
    )
    storage = Call(Global("torch.storage", "_load_from_bytes"), (nested.getvalue(),))
    hooks = Call(Global("collections", "OrderedDict"))
    arguments = (storage, 0, tuple(own.shape), tuple(own.stride()), False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def persistent(class_name: str, source: str, state: Mapping[str, Any]) -> Call:
    """A StyleGAN persistent object: its class is to be rebuilt from the module source it carries."""
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": dict(state)}
    return Call(Global("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))
