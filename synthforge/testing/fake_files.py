"""Official network pickles with made-up weights, for tests and for trying the pipeline out without a licence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synthforge.testing import pickle_writer as writer

_SOURCE = "raise RuntimeError('the source inside a checkpoint must never run')\n"


def write_stylegan_pickle(
    path: str | Path,
    state: Mapping[str, torch.Tensor],
    *,
    class_name: str,
    init_kwargs: Mapping[str, Any],
    plane_axes: torch.Tensor,
    source: str = _SOURCE,
) -> Path:
    """Write a flat state dict as an official network pickle: nested modules, each with the source that made it.

    `init_kwargs` may hold `rendering_kwargs`. The source is text that would raise an error if anyone ran it.
    """
    tree: dict[str, Any] = {}
    for name, value in state.items():
        *modules, leaf = name.split(".")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[leaf] = value
    tree.setdefault("renderer", {})
    root = _module(tree, source, class_name, plane_axes)
    root["_init_args"], root["_init_kwargs"] = (), dict(init_kwargs)
    root["rendering_kwargs"] = dict(init_kwargs.get("rendering_kwargs", {}))
    network = writer.persistent(class_name, source, root)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    contents = {"G": None, "D": None, "G_ema": network, "training_set_kwargs": None, "augment_pipe": None}
    file.write_bytes(writer.dumps(contents))
    return file


def _module(tree: Mapping[str, Any], source: str, class_name: str, plane_axes: torch.Tensor) -> dict[str, Any]:
    tensors = {name: value for name, value in tree.items() if isinstance(value, torch.Tensor)}
    modules = {
        name: writer.persistent(f"{name}_class", source, _module(child, source, name, plane_axes))
        for name, child in tree.items()
        if not isinstance(child, torch.Tensor)
    }
    kinds = {name: name in ("weight", "bias", "const", "noise_strength") for name in tensors}
    state: dict[str, Any] = {
        "training": False,
        "_parameters": {name: value for name, value in tensors.items() if kinds[name]},
        "_buffers": {name: value for name, value in tensors.items() if not kinds[name]},
        "_modules": modules,
    }
    if class_name == "renderer":
        state["plane_axes"] = plane_axes
    return state
