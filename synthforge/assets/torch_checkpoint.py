"""torch checkpoints read with `weights_only`, after a look at what reading them would cost."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from synthforge.assets.inert import Node
from synthforge.assets.restricted_pickle import RestrictedUnpickler
from synthforge.assets.unpickle import read_bytes
from synthforge.core.errors import AssetError

_STRUCTURE = "data.pkl"  # the pickle inside of torch's zip files; tensors lie beside it
_LEGACY_PARTS = 5  # pickles in a row before the tensors: magic, protocol, system, the object, keys


class _Anything(Node):
    """What every name and call of a checkpoint stands for while its cost is counted."""

    def __call__(self, *_arguments: Any) -> _Anything:
        return _Anything()

    def set_state(self, state: Any) -> None:
        return


class _Costs(RestrictedUnpickler):
    """Follows a pickle within the limits on work, and builds nothing of it. What it may name, torch decides."""

    def find_class(self, module: str, name: str) -> Any:
        return _Anything()

    def persistent_load(self, pid: Any) -> Any:
        return _Anything()

    def _make(self, target: Any, arguments: Any) -> Any:
        self._charge(arguments)
        return _Anything()


def read_torch_checkpoint(path: str | Path) -> dict[str, Any]:
    """A dictionary of tensors written by torch, on the CPU, without running anything in it.

    Raises: AssetError if it holds more than tensors and plain containers, is damaged, would take far more time or
    memory than its size, or is no dictionary.
    """
    data = read_bytes(path)
    try:
        _check_costs(data)
        value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise whatever hostile bytes lead them to
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise AssetError(
            f"{path}: refused: {reason}",
            hint="The file is damaged or holds code. Download it again from its official page.",
        ) from error
    if not isinstance(value, dict):
        raise AssetError(f"{path}: holds a {type(value).__name__}, not a dictionary of tensors")
    return value


def _check_costs(data: bytes) -> None:
    """Raise for a checkpoint that unpacks to more than it is, or whose pickle would take excessive work."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        stream = io.BytesIO(data)
        for _ in range(_LEGACY_PARTS):
            _Costs(stream, {}).load()
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > len(data):
            raise AssetError("its members unpack to more than the file; torch stores them uncompressed")
        for member in members:
            if member.filename.endswith("/" + _STRUCTURE):
                _Costs(io.BytesIO(archive.read(member)), {}).load()
