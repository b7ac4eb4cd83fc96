"""torch checkpoints read with `weights_only`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from synthforge.core.errors import AssetError


def read_torch_checkpoint(path: str | Path) -> dict[str, Any]:
    """A dictionary of tensors written by torch, on the CPU, without running anything in it.

    Raises: AssetError if it holds more than tensors and plain containers, is damaged or is no dictionary.
    """
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AssetError(
            f"{path}: refused: {reason}",
            hint="The file is damaged or holds code. Download it again from its official page.",
        ) from error
    if not isinstance(value, dict):
        raise AssetError(f"{path}: holds a {type(value).__name__}, not a dictionary of tensors")
    return value
