"""A trained model made ready to hand out: half the bytes, and no trace of research-only data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from ..core.errors import DataError
from ..core.plugins import Plugins
from ..core.storage import place
from .model import WEIGHTS, load_model

DTYPES = {"float16": torch.float16, "float32": torch.float32}


def export_model(
    model_dir: Path | str,
    out: Path | str,
    *,
    dtype: str = "float16",
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Write `model.safetensors` and `model.json` to `out`; `evaluation.card` writes the card beside them.

    dtype: `float16` or `float32`, of the weights on disk; a model is always computed in float32. Returns
    {"parameters", "bytes", "sha256"}. Raises DataError for a model that has seen real photographs, whose weights may be
    bound to the terms of their owners, and for weights that the smaller type cannot hold.
    """
    model = load_model(model_dir, plugins=plugins)
    if model.adapter_info or model.info.get("real_data"):
        seen = ", ".join(str(item.get("benchmark", "?")) for item in model.info.get("real_data", [])) or "unknown data"
        raise DataError(
            f"{model_dir} has seen real photographs ({seen}) and is not exported",
            hint="Export the model that was trained on synthetic samples alone, before label fine-tuning.",
        )
    weights = model.state_dict()
    kept = {name: _as(value, DTYPES[dtype], name, place(model_dir)) for name, value in weights.items()}
    folder = place(out)
    model.save(folder, weights=kept)
    data = (folder / WEIGHTS).read_bytes()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _as(value: torch.Tensor, dtype: torch.dtype, name: str, folder: Path) -> torch.Tensor:
    if not torch.is_floating_point(value):
        return value
    small = value.to(dtype)
    if bool(torch.isfinite(value).all()) and not bool(torch.isfinite(small).all()):
        raise DataError(f"{folder}: {name} holds numbers that {dtype} cannot", hint="Export with dtype float32.")
    return small
