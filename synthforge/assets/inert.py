"""Inert stand-ins for what a foreign pickle would construct.

Reading builds only these and plain containers; nothing named by the file is imported or called. `resolve` turns
the finished graph into NumPy arrays, torch tensors and `Record`s, checking every length before it allocates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch


class Malformed(ValueError):
    """The bytes contradict themselves: a length, a shape or a type that cannot be."""


# One entry a numeric kind and width: the only element types that are ever read.
_NUMERIC = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
_MAX_DIMENSIONS = 8


def _as_text(value: object) -> str:
    """A pickled name: text, or bytes that Python 2 wrote for text."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    raise Malformed(f"expected a name, found {type(value).__name__}")


def _as_bytes(value: object) -> bytes:
    """Raw bytes; a Python 2 string arrives as latin-1 text."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("latin1")
    raise Malformed(f"expected raw bytes, found {type(value).__name__}")


def as_int(value: object) -> int:
    """A non-negative pickled integer below 2^63; a bool is not one."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise Malformed(f"expected a non-negative integer, found a {type(value).__name__}")
    return value


def as_shape(value: object) -> tuple[int, ...]:
    """A pickled shape or stride: a short tuple of non-negative integers."""
    if not isinstance(value, tuple | list) or len(value) > _MAX_DIMENSIONS:
        raise Malformed("expected a shape, a short tuple of integers")
    return tuple(as_int(item) for item in value)


class Node:
    """Base of everything that a BUILD instruction may give a state."""

    def set_state(self, state: Any) -> None:
        raise Malformed(f"{type(self).__name__} takes no state")


@dataclass(eq=False)
class Record(Node):
    """An object of a class that is not built: its dotted name, what it was made from, and its attributes."""

    class_name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    source: str | None = None  # program text the file carried; never compiled

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2:  # (attributes, slots)
            merged: dict[str, Any] = {}
            for part in state:
                if part is not None:
                    merged.update(_attributes(part))
            state = merged
        self.state.update(_attributes(state))


def _attributes(state: Any) -> dict[str, Any]:
    if not isinstance(state, Mapping):
        raise Malformed(f"the state of an object is a {type(state).__name__}, not a dictionary")
    return {_as_text(key): value for key, value in state.items()}


@dataclass(eq=False)
class DType(Node):
    """`numpy.dtype`: a number's kind and width, or the object dtype of a one-element container."""

    code: str
    order: str = "<"

    @classmethod
    def make(cls, code: Any, *flags: Any) -> DType:
        name = _as_text(code)
        name = {"b1": "b1", "?": "b1"}.get(name, name)
        if name not in _NUMERIC and name != "O8":
            raise Malformed(f"numpy dtype {name!r:.40} is not a plain number")
        return cls(name)

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5:
            raise Malformed("a numpy dtype with an unknown state")
        order, extras = _as_text(state[1]), state[2:5]
        if order not in ("<", ">", "|", "=") or any(item is not None for item in extras):
            raise Malformed("a numpy dtype with fields or sub-arrays")
        self.order = order

    def numpy(self) -> np.dtype:
        if self.code == "O8":
            raise Malformed("an array of objects where numbers are expected")
        return np.dtype((self.order if self.order in "<>" else "<") + self.code)


@dataclass(eq=False)
class Array(Node):
    """`numpy.ndarray` before and after its state has arrived."""

    value: Any = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Malformed("a numpy array with an unknown state")
        shape, dtype, fortran, raw = state[-4:]
        dims = as_shape(shape)
        if not isinstance(dtype, DType):
            raise Malformed("a numpy array without a dtype")
        if dtype.code == "O8":
            if not isinstance(raw, list) or len(raw) != 1 or prod(dims) != 1:
                raise Malformed("an object array of other than one element")
            self.value = raw[0]
        else:
            self.value = _from_bytes(_as_bytes(raw), dtype.numpy(), dims, "F" if fortran else "C")


def _from_bytes(raw: bytes, dtype: np.dtype, dims: tuple[int, ...], order: Any) -> np.ndarray:
    if prod(dims) * dtype.itemsize != len(raw):
        raise Malformed(f"an array of shape {dims} and type {dtype} over {len(raw)} bytes")
    native = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="), copy=True)
    return native.reshape(dims, order=order)


def scalar(dtype: Any, raw: Any = b"") -> Any:
    """`numpy.core.multiarray.scalar`: one number."""
    if not isinstance(dtype, DType):
        raise Malformed("a numpy scalar without a dtype")
    return _from_bytes(_as_bytes(raw), dtype.numpy(), (), "C")[()]


@dataclass(eq=False)
class Storage(Node):
    """Raw bytes of a torch storage, wherever it lived when it was saved."""

    dtype: torch.dtype
    count: int
    raw: bytes | memoryview | None = None
    _flat: torch.Tensor | None = None

    def flat(self) -> torch.Tensor:
        """All values, copied out of the file once."""
        if self.raw is None:
            raise Malformed("a tensor whose storage has no values")
        if self._flat is None:
            self._flat = torch.frombuffer(bytearray(self.raw), dtype=self.dtype)
        return self._flat


@dataclass(eq=False)
class Tensor(Node):
    """A strided view of a storage, bounds known to lie inside it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def make(cls, storage: Any, offset: Any, size: Any, stride: Any, *_unused: Any) -> Tensor:
        if not isinstance(storage, Storage):
            raise Malformed("a tensor without a storage")
        node = cls(storage, as_int(offset), as_shape(size), as_shape(stride))
        if len(node.size) != len(node.stride):
            raise Malformed(f"a tensor of size {node.size} and stride {node.stride}")
        if prod(node.size) > storage.count:  # also refuses zero strides that would expand on copying
            raise Malformed(f"a tensor of size {node.size} over a storage of {storage.count} values")
        if prod(node.size):
            last = node.offset + sum((n - 1) * s for n, s in zip(node.size, node.stride, strict=True))
            if last >= storage.count:
                raise Malformed(
                    f"a tensor that reaches value {last} of a storage of {storage.count} values "
                    f"(size {node.size}, stride {node.stride})"
                )
        return node

    @classmethod
    def parameter(cls, data: Any, *_unused: Any) -> Tensor:
        """`torch._utils._rebuild_parameter`: the same numbers; gradients are the reader's business."""
        if not isinstance(data, cls):
            raise Malformed("a parameter without a tensor")
        return data

    def torch(self) -> torch.Tensor:
        if not prod(self.size):
            return torch.empty(self.size, dtype=self.storage.dtype)
        view = self.storage.flat().as_strided(self.size, self.stride, self.offset)
        return view if view.numel() == self.storage.count and view.is_contiguous() else view.clone()


def resolve(value: Any, max_bytes: int) -> Any:
    """Replace nodes by what they hold; shared objects stay shared, `Record`s keep their names.

    Raises: Malformed for an unfinished array or dtype or for tensors of more than `max_bytes` together,
    RecursionError for absurd nesting.
    """
    return _Resolver(max_bytes)(value)


class _Resolver:
    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes
        self.done: dict[int, tuple[Any, Any]] = {}

    def _tensor(self, node: Tensor) -> torch.Tensor:
        self.left -= prod(node.size) * node.storage.dtype.itemsize
        if self.left < 0:
            raise Malformed("many tensors over the same values, together far larger than the file")
        return node.torch()

    def __call__(self, value: Any) -> Any:
        done = self.done
        if id(value) in done:
            return done[id(value)][1]  # the original is kept beside it, so that its id is not reused
        result: Any
        match value:
            case Record():
                done[id(value)] = (value, value)
                value.arguments = tuple(self(item) for item in value.arguments)
                value.state = {key: self(item) for key, item in value.state.items()}
                return value
            case Array():
                if value.value is None:
                    raise Malformed("a numpy array that never got its values")
                result = value.value if isinstance(value.value, np.ndarray) else self(value.value)
            case Tensor():
                result = self._tensor(value)
            case DType() | Storage():
                raise Malformed(f"a bare {type(value).__name__.lower()} among the data")
            case dict():
                result = {}
                done[id(value)] = (value, result)
                result.update({key: self(item) for key, item in value.items()})
            case list():
                result = []
                done[id(value)] = (value, result)
                result.extend(self(item) for item in value)
            case tuple():
                result = tuple(self(item) for item in value)
            case _:
                return value
        done[id(value)] = (value, result)
        return result
