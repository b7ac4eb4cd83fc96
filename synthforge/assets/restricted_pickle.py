"""The unpickler for foreign files: it builds what a table of names allows, within limits on work."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, ClassVar

from synthforge.assets.inert import Malformed, Node, Record, Storage

_MAX_INSTRUCTIONS = 300_000  # the largest real file takes about 60,000
# Bytes and items that constructors may be handed, together, beyond four times the file's size.
_MAX_ARGUMENTS = 1_000_000
_KEYS = (str, bytes, int, float, type(None))
Name = tuple[str, str]
Table = Mapping[Name, Callable[..., Any]]


class RecordType:
    """What a class name stands for when its objects are kept as records."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name

    def __call__(self, *arguments: Any) -> Record:
        return Record(self.class_name, arguments)


def plain_dict(*arguments: Any) -> dict[Any, Any]:
    """An empty dictionary, or one from pairs (as OrderedDict and EasyDict are pickled)."""
    return dict(*arguments)


class _Counted(dict[int, Any]):
    """Instructions by code. Raises Malformed after `_MAX_INSTRUCTIONS` look-ups."""

    given = 0

    def __getitem__(self, code: int) -> Any:
        self.given += 1
        if self.given > _MAX_INSTRUCTIONS:
            raise Malformed(f"more than {_MAX_INSTRUCTIONS:,} instructions")
        return super().__getitem__(code)


def _check_keys(keys: Iterable[Any]) -> None:
    if not all(isinstance(key, _KEYS) for key in keys):
        raise Malformed("a key that is neither a number nor text")


def _keyed(code: bytes, keys: slice) -> Callable[[Any], None]:
    """An instruction that puts keys of the stack into a dictionary or set, after a look at them."""
    plain = pickle._Unpickler.dispatch[code[0]]

    def load(reader: Any) -> None:
        _check_keys(reader.stack[keys])
        plain(reader)

    return load


class RestrictedUnpickler(pickle._Unpickler):
    """The pure-Python unpickler, with only the names of `table` and of the classes under `record_prefixes`.

    Objects can be called only if the table gave them, and only `Node`s and dictionaries take a state. Work is bounded:
    instructions, what constructors are handed, and keys, which must be numbers or text. (Hashing tuples that share
    tuples takes time exponential in the file's size.)
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, stream: io.BytesIO, table: Table, record_prefixes: tuple[str, ...] = ()) -> None:
        super().__init__(stream, encoding="latin1")
        self._table = table
        self._prefixes = record_prefixes
        self._storages: dict[str, Storage] = {}
        self._size = stream.getbuffer().nbytes
        self._left = _MAX_ARGUMENTS + 4 * self._size
        self.dispatch = _Counted(type(self).dispatch)  # type: ignore[misc]

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

    def _charge(self, values: Any) -> None:
        """Count what a constructor is handed; the same large value may be handed over many times."""
        self._left -= sum(len(value) if isinstance(value, Sized) else 1 for value in values)
        if self._left < 0:
            raise Malformed("its constructors are handed far more than the file holds")

    def _make(self, target: Any, arguments: Any) -> Any:
        known = isinstance(target, RecordType) or any(target is entry for entry in self._table.values())
        if not known or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError(f"it calls a {type(target).__name__}")
        self._charge(arguments)
        if target in (plain_dict, set):
            for items in arguments:
                if not isinstance(items, Mapping):  # whose own keys were looked at when they were set
                    _check_keys(item[0] if target is plain_dict else item for item in items)
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
        self._charge(state if isinstance(state, tuple) else (state,))
        if isinstance(target, Node):
            target.set_state(state)
        elif isinstance(target, dict) and isinstance(state, Mapping):
            return  # attributes of an OrderedDict: nothing we read
        else:
            raise pickle.UnpicklingError(f"it sets attributes of a {type(target).__name__}")

    def load_bytearray8(self) -> None:
        length = int.from_bytes(self.read(8), "little")
        if length > self._size:
            raise Malformed(f"an array of {length} bytes in a file of {self._size}")
        self.append(bytearray(self.read(length)))

    dispatch |= {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.SETITEM[0]: _keyed(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _keyed(pickle.SETITEMS, slice(None, None, 2)),
        pickle.DICT[0]: _keyed(pickle.DICT, slice(None, None, 2)),
        pickle.ADDITEMS[0]: _keyed(pickle.ADDITEMS, slice(None)),
        pickle.FROZENSET[0]: _keyed(pickle.FROZENSET, slice(None)),
    }
