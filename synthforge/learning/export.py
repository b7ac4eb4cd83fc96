"""A trained model made ready to hand out: half the bytes, and no trace of research-only data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.errors import DataError
from ..core.plugins import Plugins
from ..core.storage import place
from .looks import looks_of
from .model import FaceModel, load_model
from .weights import WEIGHTS

DTYPES = {"float16": torch.float16, "float32": torch.float32}


def export_model(
    model_dir: Path | str,
    out: Path | str,
    *,
    dtype: str = "float16",
    heads: Sequence[Path | str] = (),
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Write `model.safetensors` and `model.json` to `out`; `evaluation.card` writes the card beside them.

    dtype: `float16` or `float32`, of the weights on disk; a model is always computed in float32. heads: models whose
    output heads are added, see `with_heads`. Returns {"parameters", "bytes", "sha256"}. Raises DataError for a model
    that has seen real photographs, whose weights may be bound to the terms of their owners, and for weights that the
    smaller type cannot hold.
    """
    model = _synthetic(model_dir, plugins)
    for folder in heads:
        model = with_heads(model, _synthetic(folder, plugins), str(folder))
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


def with_heads(model: FaceModel, other: FaceModel, name: str) -> FaceModel:
    """The model with all output heads of another one on the same encoder; where both have one, the other's.

    So other tasks can be learned on a frozen encoder (`optimiser.encoder_factor: 0`). Weights and answers of the first
    model's other tasks stay as they are. name: of the other model, for the DataError where encoder or crops differ.
    """
    base, added = model.backbone.state_dict(), other.backbone.state_dict()
    same = base.keys() == added.keys() and all(torch.equal(base[key], added[key]) for key in base)
    if not same or other.crop_scale != model.crop_scale:
        raise DataError(
            f"{name} has another encoder or crop scale: its output heads do not fit",
            hint="Train them with `initial` the model they are added to, its framing.crop_scale, and "
            "optimiser.encoder_factor 0.",
        )
    sources = {**dict.fromkeys(model.tasks, model), **dict.fromkeys(other.tasks, other)}
    training = {key: value for key, value in other.info.get("training", {}).items() if key != "initial"}
    info = {
        **model.info,
        "task_sizes": {task: source.size_of(task) for task, source in sources.items()},
        "mirrored": [task for task, source in sources.items() if task in source.mirrored],
        "licences": {**other.info.get("licences", {}), **model.info.get("licences", {})},
        "heads": [
            *(each for each in model.info.get("heads", []) if set(each["tasks"]) - set(other.tasks)),
            {"tasks": list(other.tasks), "training": training},
        ],
    }
    whole = FaceModel(
        model.network,
        {**model.tasks, **other.tasks},
        {**model.references, **other.references},
        info=info,
    )
    whole.looks = nn.ModuleList(look for look in looks_of(model) if look.info.task not in other.tasks)
    whole.load_state_dict({**model.state_dict(), **other.state_dict()}, strict=False)
    return whole.eval()


def _synthetic(folder: Path | str, plugins: Plugins | None) -> FaceModel:
    """A model folder opened, if it has seen rendered faces alone."""
    model = load_model(folder, plugins=plugins)
    if model.adapter_info or model.info.get("real_data"):
        seen = ", ".join(str(item.get("benchmark", "?")) for item in model.info.get("real_data", [])) or "unknown data"
        raise DataError(
            f"{folder} has seen real photographs ({seen}) and is not exported",
            hint="Export the model that was trained on synthetic samples alone, before label fine-tuning.",
        )
    return model


def _as(value: torch.Tensor, dtype: torch.dtype, name: str, folder: Path) -> torch.Tensor:
    if not torch.is_floating_point(value):
        return value
    small = value.to(dtype)
    if bool(torch.isfinite(value).all()) and not bool(torch.isfinite(small).all()):
        raise DataError(f"{folder}: {name} holds numbers that {dtype} cannot", hint="Export with dtype float32.")
    return small
