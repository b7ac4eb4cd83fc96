"""Reading foreign pickles without running them.

A pickle is a program: it names functions and calls them. The reader here knows a short table of names for each
kind of file, builds inert stand-ins for them (`inert.py`), and refuses every other name by name. It runs on the
pure-Python unpickler because the C one allocates what a length field claims before it looks whether the bytes are
there.
"""

from __future__ import annotations

import io
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.assets.inert import (
    Array,
    DType,
    Malformed,
    Record,
    Storage,
    Tensor,
    as_int,
    resolve,
    scalar,
)
from synthforge.assets.restricted_pickle import Name, RecordType, RestrictedUnpickler, Table, plain_dict
from synthforge.core.errors import AssetError
from synthforge.core.foreign import boundary, opened

MAX_BYTES = 4 << 30  # the largest published checkpoint is below 1 GiB
_MAX_DENSE = 1_000_000  # values of a sparse matrix made dense; FLAME's joint regressor has 25,115

_TORCH_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_LEGACY_PROTOCOL = 1001
_STORAGE_TYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _encode(text: Any, encoding: Any = "utf-8", *_errors: Any) -> bytes:
    """`_codecs.encode` as Python 3 uses it for bytes in old protocols; no other codec is reachable."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Malformed("text in an unknown encoding")
    return text.encode(encoding)


def _reconstruct_array(*_arguments: Any) -> Array:
    return Array()


def _array_from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """`numpy._core.numeric._frombuffer`, which pickle protocol 5 calls: `order` is C or F."""
    array = Array()
    array.set_state((shape, dtype, order == "F", raw))
    return array


def _reconstruct_object(record: Any, *_base: Any) -> Record:
    """`copy_reg._reconstructor`: an object of a class that we keep as a record."""
    if not isinstance(record, RecordType):
        raise Malformed("an object of a class that is not a record")
    return record()


def _reconstruct_persistent(meta: Any) -> Record:
    """StyleGAN's persistent object: the module source it carries is kept as text and never compiled."""
    if not isinstance(meta, Mapping) or meta.get("type") != "class":
        raise Malformed("a persistent object of an unknown kind")
    name, source, state = meta.get("class_name"), meta.get("module_src"), meta.get("state")
    if not isinstance(name, str) or not isinstance(source, str):
        raise Malformed("a persistent object without a class name and its source")
    record = Record(name, source=source)
    if state is not None:
        record.set_state(state)
    return record


class StorageType:
    """`torch.FloatStorage` and its kin, on any device."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, *_arguments: Any) -> Any:
        raise Malformed("a torch storage built by a call")


_NUMPY: dict[Name, Callable[..., Any]] = {
    (f"numpy.{core}.multiarray", name): make
    for core in ("core", "_core")
    for name, make in {"_reconstruct": _reconstruct_array, "scalar": scalar}.items()
} | {
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
    ("numpy", "ndarray"): RecordType("numpy.ndarray"),
    ("numpy", "dtype"): DType.make,
    ("_codecs", "encode"): _encode,
}
_SETS: dict[Name, Callable[..., Any]] = {("builtins", "set"): set, ("__builtin__", "set"): set}
_EMPTY_BYTES: dict[Name, Callable[..., Any]] = {(name, "bytes"): lambda: b"" for name in ("builtins", "__builtin__")}
_TORCH: dict[Name, Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): Tensor.make,
    ("torch._utils", "_rebuild_parameter"): Tensor.parameter,
    ("torch.storage", "_load_from_bytes"): lambda raw: _read_storage(raw),
    ("collections", "OrderedDict"): plain_dict,
}
# scipy moved its classes from scipy.sparse.csc to scipy.sparse._csc
_FLAME: dict[Name, Callable[..., Any]] = {
    ("chumpy.ch", "Ch"): RecordType("chumpy.ch.Ch"),
    ("chumpy", "Ch"): RecordType("chumpy.ch.Ch"),
    ("scipy.sparse.csc", "csc_matrix"): RecordType("scipy.sparse.csc_matrix"),
    ("scipy.sparse._csc", "csc_matrix"): RecordType("scipy.sparse.csc_matrix"),
    ("copy_reg", "_reconstructor"): _reconstruct_object,
    ("copyreg", "_reconstructor"): _reconstruct_object,
    ("__builtin__", "object"): RecordType("object"),
    ("builtins", "object"): RecordType("object"),
}
_STYLEGAN: dict[Name, Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_persistent,
    ("dnnlib.util", "EasyDict"): plain_dict,
}
_STYLEGAN_RECORDS = ("training.", "torch.nn.modules.", "metrics.")

FLAME_NAMES: Table = _NUMPY | _EMPTY_BYTES | _SETS | _FLAME
EMBEDDING_NAMES: Table = _NUMPY | _EMPTY_BYTES | _SETS | _TORCH
STYLEGAN_NAMES: Table = _NUMPY | _EMPTY_BYTES | _SETS | _TORCH | _STYLEGAN
_STORAGE_NAMES: Table = {
    (module, name): StorageType(dtype) for module in ("torch", "torch.cuda") for name, dtype in _STORAGE_TYPES.items()
} | {("collections", "OrderedDict"): plain_dict}


class _StorageUnpickler(RestrictedUnpickler):
    """Reads the nested stream torch wrote for one storage; its persistent ids declare the storage."""

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Malformed("an unknown persistent id in a torch storage")
        _, kind, key, _location, count = pid[:5]  # a location such as cuda:0 is where it lived, not where we read
        if not isinstance(kind, StorageType) or not isinstance(key, str):
            raise Malformed("a torch storage of an unknown type")
        if len(pid) > 5 and pid[5] is not None:
            raise Malformed("a torch storage that is a view of another")
        return self._storages.setdefault(key, Storage(kind.dtype, as_int(count)))


def _read_storage(raw: Any) -> Storage:
    """One storage in torch's legacy (pre-zip) stream: magic, protocol, system, storage, keys, count, values."""
    if not isinstance(raw, bytes):
        raise Malformed("a torch storage that is not bytes")
    stream = io.BytesIO(raw)
    reader = _StorageUnpickler(stream, _STORAGE_NAMES)
    if reader.load() != _TORCH_LEGACY_MAGIC:
        raise Malformed("a torch storage without its magic number")
    if reader.load() != _TORCH_LEGACY_PROTOCOL:
        raise Malformed("a torch storage of an unknown protocol")
    system = reader.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Malformed("a torch storage from a big-endian machine")
    storage, keys = reader.load(), reader.load()
    if not isinstance(storage, Storage) or not isinstance(keys, list) or len(keys) != 1:
        raise Malformed("a torch storage stream with other than one storage")
    if reader._storages.get(keys[0]) is not storage:
        raise Malformed("a torch storage under another key")
    header = stream.read(8)
    width = storage.dtype.itemsize
    if len(header) != 8 or struct.unpack("<q", header)[0] != storage.count:
        raise Malformed("a torch storage whose two counts differ")
    if len(raw) - stream.tell() != storage.count * width:
        raise Malformed(
            f"a truncated torch storage: {storage.count} values of {width} bytes are announced, "
            f"{len(raw) - stream.tell()} bytes follow"
        )
    storage.raw = memoryview(raw)[stream.tell() :]
    return storage


def unpickle(
    data: bytes, table: Table, *, where: str, record_prefixes: tuple[str, ...] = (), key: str | None = None
) -> Any:
    """The value of a pickle, as plain containers, NumPy arrays, torch tensors and `Record`s.

    `key`: of a dictionary, only this entry is turned into arrays (the others cost no memory).
    Raises: AssetError naming `where` and the offending name or length; nothing in the file is ever run.
    """
    stream = io.BytesIO(data)
    try:
        value = RestrictedUnpickler(stream, table, record_prefixes).load()
        if key is not None:
            if not isinstance(value, dict) or key not in value:
                found = ", ".join(map(str, list(value)[:8])) if isinstance(value, dict) else type(value).__name__
                raise AssetError(f"{where}: has no entry {key!r}; it holds {found}")
            value = value[key]
        return resolve(value, max_bytes=4 * len(data))
    except AssetError:
        raise
    except Exception as error:  # any failure on hostile bytes is the file's, and must read as a refusal
        raise AssetError(
            f"{where}: refused: {str(error)[:300] or type(error).__name__}",
            hint="The file is damaged or not what it claims to be. Download it again from its official page.",
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """The whole file, up to `MAX_BYTES`. Raises: AssetError if it is missing or larger."""
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise AssetError(f"{file}: {size} bytes, more than the {MAX_BYTES} of any file we read")
        with boundary(file, "a licensed file", error=AssetError), opened(file) as stream:
            return stream.read()
    except OSError as error:
        raise AssetError(f"{file}: {error.strerror or error}", hint="Check the path.") from error


def load_flame_pickle(path: str | Path) -> Any:
    """A FLAME `.pkl` (protocol 2, Python 2): arrays; SciPy matrices made dense; chumpy arrays as their values.

    Raises: AssetError for anything the format does not need.
    """
    return _plain_arrays(unpickle(read_bytes(path), FLAME_NAMES, where=str(path)), str(path))


def load_object_npy(path: str | Path) -> Any:
    """The one object in an object-dtype `.npy`, as `landmark_embedding.npy` has it. Raises: AssetError."""
    data = read_bytes(path)
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _fortran, dtype = read_header[version](stream)
    except Exception as error:  # NumPy evaluates the header, and its parsers raise whatever they like
        raise AssetError(f"{path}: not a .npy file ({error!s:.200})") from error
    if shape != () or not dtype.hasobject:
        raise AssetError(f"{path}: holds an array of shape {shape} and type {dtype}, not one dictionary")
    value = unpickle(data[stream.tell() :], EMBEDDING_NAMES, where=str(path))
    return _plain_arrays(value, str(path))


def load_persistence_pickle(path: str | Path, key: str | None = None) -> Any:
    """A StyleGAN-family network pickle (or one of its entries) as records; its source code stays text.

    Raises: AssetError.
    """
    prefixes = _STYLEGAN_RECORDS
    return unpickle(read_bytes(path), STYLEGAN_NAMES, where=str(path), record_prefixes=prefixes, key=key)


def _plain_arrays(value: Any, where: str) -> Any:
    """Records of known classes, at the top level or one dictionary deep, become arrays."""
    if isinstance(value, dict):
        return OrderedDict((key, _plain_array(item, f"{where}: {key!s:.80}")) for key, item in value.items())
    return _plain_array(value, where)


def _plain_array(value: Any, where: str) -> Any:
    if not isinstance(value, Record):
        return value
    if value.class_name == "chumpy.ch.Ch":
        if not isinstance(inner := value.state.get("x"), np.ndarray):
            raise AssetError(f"{where}: a chumpy array without its value `x`")
        return inner
    if value.class_name == "scipy.sparse.csc_matrix":
        return _dense_csc(value.state, where)
    raise AssetError(f"{where}: an object of class {value.class_name} where numbers are expected")


def _dense_csc(state: Mapping[str, Any], where: str) -> np.ndarray:
    """A dense array from a compressed-sparse-column matrix, indices checked."""
    try:
        rows, columns = (as_int(int(n)) for n in state.get("_shape", state.get("shape", ())))
        data, indices, indptr = (state[name] for name in ("data", "indices", "indptr"))
    except (KeyError, TypeError, ValueError) as error:
        raise AssetError(f"{where}: not a complete SciPy CSC matrix ({error})") from error
    sound = (
        all(isinstance(part, np.ndarray) for part in (data, indices, indptr))
        and rows * columns <= _MAX_DENSE
        and data.ndim == indices.ndim == indptr.ndim == 1
        and indices.dtype.kind == indptr.dtype.kind == "i"
        and len(data) == len(indices)
        and len(indptr) == columns + 1
        and indptr[0] == 0
        and indptr[-1] == len(data)
        and bool((np.diff(indptr) >= 0).all())
        and (not len(indices) or (indices.min() >= 0 and indices.max() < rows))
    )
    if not sound:
        raise AssetError(f"{where}: a SciPy CSC matrix whose parts contradict each other")
    dense = np.zeros((rows, columns), data.dtype)
    np.add.at(dense, (indices, np.repeat(np.arange(columns), np.diff(indptr))), data)
    return dense
