"""Reading foreign pickles without running them.

A pickle is a program: it names functions and calls them. The reader here knows a short table of names for each
kind of file, builds inert stand-ins for them (`inert.py`), and refuses every other name by name. It runs on the
pure-Python unpickler because the C one allocates what a length field claims before it looks whether the bytes are
there.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from synthforge.assets.inert import (
    Array,
    DType,
    Malformed,
    Node,
    Record,
    Storage,
    Tensor,
    as_int,
    resolve,
    scalar,
)
from synthforge.core.errors import AssetError

MAX_BYTES = 4 << 30  # the largest published checkpoint is below 1 GiB
_MAX_NODES = 5_000_000  # instructions; the largest real file takes about 60,000

Name = tuple[str, str]
Table = Mapping[Name, Callable[..., Any]]

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
        raise Malformed(f"text encoded as {encoding!r:.40}")
    return text.encode(encoding)


def _plain_dict(*arguments: Any) -> dict[Any, Any]:
    """An empty dictionary, or one from pairs (as OrderedDict and EasyDict are pickled)."""
    return dict(*arguments)


def _reconstruct_array(*_arguments: Any) -> Array:
    return Array()


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


class RecordType:
    """What a class name stands for when its objects are kept as records."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name

    def __call__(self, *arguments: Any) -> Record:
        return Record(self.class_name, arguments)


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
    ("numpy", "ndarray"): RecordType("numpy.ndarray"),
    ("numpy", "dtype"): DType.make,
    ("_codecs", "encode"): _encode,
}
_SETS: dict[Name, Callable[..., Any]] = {("builtins", "set"): set, ("__builtin__", "set"): set}
_TORCH: dict[Name, Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): Tensor.make,
    ("torch._utils", "_rebuild_parameter"): Tensor.parameter,
    ("torch.storage", "_load_from_bytes"): lambda raw: _read_storage(raw),
    ("collections", "OrderedDict"): _plain_dict,
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
    ("dnnlib.util", "EasyDict"): _plain_dict,
}
_STYLEGAN_RECORDS = ("training.", "torch.nn.modules.", "metrics.")

FLAME_NAMES: Table = _NUMPY | _SETS | _FLAME
EMBEDDING_NAMES: Table = _NUMPY | _SETS | _TORCH
STYLEGAN_NAMES: Table = _NUMPY | _SETS | _TORCH | _STYLEGAN
_STORAGE_NAMES: Table = {
    (module, name): StorageType(dtype) for module in ("torch", "torch.cuda") for name, dtype in _STORAGE_TYPES.items()
} | {("collections", "OrderedDict"): _plain_dict}


class RestrictedUnpickler(pickle._Unpickler):
    """The pure-Python unpickler, with only the names of `table` and of the classes under `record_prefixes`.

    Objects can be called only if the table gave them, and only `Node`s and dictionaries take a state.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]

    def __init__(self, stream: io.BytesIO, table: Table, record_prefixes: tuple[str, ...] = ()) -> None:
        super().__init__(stream, encoding="latin1")
        self._table = table
        self._prefixes = record_prefixes
        self._storages: dict[str, Storage] = {}
        self._calls = 0

    def find_class(self, module: str, name: str) -> Any:
        known = self._table.get((module, name))
        if known is not None:
            return known
        dotted = f"{module}.{name}"
        if any(dotted.startswith(prefix) for prefix in self._prefixes) and name.isidentifier():
            return RecordType(dotted)
        raise pickle.UnpicklingError(f"it names {dotted[:200]}, which is not on the list of what such a file needs")

    def get_extension(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"it uses extension code {code}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")

    def _make(self, target: Any, arguments: Any) -> Any:
        self._calls += 1
        if self._calls > _MAX_NODES:
            raise Malformed("more objects than any such file holds")
        known = isinstance(target, RecordType) or any(target is entry for entry in self._table.values())
        if not known or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError(f"it calls a {type(target).__name__}")
        return target(*arguments)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._make(self.stack[-1], arguments)

    load_newobj = load_reduce

    def load_newobj_ex(self) -> None:
        raise pickle.UnpicklingError("it builds an object with keyword arguments")

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(self._make(klass, tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Node):
            target.set_state(state)
        elif isinstance(target, dict) and isinstance(state, Mapping):
            return  # attributes of an OrderedDict: nothing we read
        else:
            raise pickle.UnpicklingError(f"it sets attributes of a {type(target).__name__}")

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build


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
            f"{where}: refused: {error or type(error).__name__}",
            hint="The file is damaged or not what it claims to be. Download it again from its official page.",
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """The whole file, up to `MAX_BYTES`. Raises: AssetError if it is missing or larger."""
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise AssetError(f"{file}: {size} bytes, more than the {MAX_BYTES} of any file we read")
        return file.read_bytes()
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
    except (ValueError, KeyError, SyntaxError) as error:
        raise AssetError(f"{path}: not a .npy file ({error})") from error
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
        return OrderedDict((key, _plain_arrays(item, f"{where}: {key}")) for key, item in value.items())
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
        data, indices, indptr = (np.asarray(state[name]) for name in ("data", "indices", "indptr"))
    except (KeyError, TypeError, ValueError) as error:
        raise AssetError(f"{where}: not a complete SciPy CSC matrix ({error})") from error
    sound = (
        rows * columns <= 100_000_000
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
