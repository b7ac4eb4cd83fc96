"""StyleGAN-family network pickles as flat state dicts, and their safe form, safetensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from synthforge.assets.inert import Record
from synthforge.assets.unpickle import load_persistence_pickle
from synthforge.core.errors import AssetError
from synthforge.core.foreign import boundary, parse_json

_PLANE_AXES = "renderer.plane_axes"  # beside the state dict: a plain attribute in the published networks
_MAX_DEPTH = 16
_MAX_PARTS = 20_000  # modules, and entries of settings; shared ones count each time they are met


@dataclass(frozen=True)
class StyleGANCheckpoint:
    """A network without its code.

    state: tensors by their published names. init_kwargs, rendering_kwargs: what it was made and is rendered with, as
    far as it is plain data. plane_axes: (3,3,3) axes of the triplanes, or None for a network without.
    """

    class_name: str
    state: dict[str, torch.Tensor]
    init_kwargs: dict[str, Any] = field(default_factory=dict)
    rendering_kwargs: dict[str, Any] = field(default_factory=dict)
    plane_axes: torch.Tensor | None = None


def read_checkpoint(path: str | Path, network: str = "G_ema") -> StyleGANCheckpoint:
    """Read an official `.pkl` (its entry `network`) or a `.safetensors` made by `write_safetensors`.

    Raises: AssetError for a refused, damaged or unknown file.
    """
    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    return read_stylegan_pickle(path, network)


def read_stylegan_pickle(path: str | Path, network: str = "G_ema") -> StyleGANCheckpoint:
    """Read one network of an official StyleGAN, EG3D or Next3D pickle; the code inside is never run.

    Raises: AssetError for a refused or damaged file or one without that network.
    """
    record = load_persistence_pickle(path, key=network)
    if not isinstance(record, Record):
        raise AssetError(f"{path}: its entry {network!r} is a {type(record).__name__}, not a network")
    state: dict[str, torch.Tensor] = {}
    parts = iter(range(_MAX_PARTS))
    _flatten(record, "", state, str(path), 0, parts)
    init = record.state.get("_init_kwargs")
    rendering = record.state.get("rendering_kwargs") or (init or {}).get("rendering_kwargs")
    return StyleGANCheckpoint(
        class_name=record.class_name,
        state=state,
        init_kwargs=_plain(init, str(path), parts),
        rendering_kwargs=_plain(rendering, str(path), parts),
        plane_axes=_plane_axes(record),
    )


def _count(parts: Iterator[int], where: str) -> None:
    if next(parts, None) is None:
        raise AssetError(f"{where}: more than {_MAX_PARTS:,} modules and settings")


def _flatten(
    record: Record, prefix: str, state: dict[str, torch.Tensor], where: str, depth: int, parts: Iterator[int]
) -> None:
    """Collect parameters and buffers below a module under their dotted names."""
    if depth > _MAX_DEPTH:
        raise AssetError(f"{where}: modules nested deeper than {_MAX_DEPTH}")
    _count(parts, where)
    for group in ("_parameters", "_buffers"):
        for name, value in _members(record, group, where).items():
            if isinstance(value, torch.Tensor):
                state[prefix + name] = value
            elif value is not None:
                raise AssetError(f"{where}: {prefix}{name} is a {type(value).__name__}, not a tensor")
    for name, child in _members(record, "_modules", where).items():
        if isinstance(child, Record):
            _flatten(child, f"{prefix}{name}.", state, where, depth + 1, parts)


def _members(record: Record, group: str, where: str) -> Mapping[str, Any]:
    members = record.state.get(group, {})
    if not isinstance(members, Mapping) or not all(isinstance(name, str) for name in members):
        raise AssetError(f"{where}: {group} of a {record.class_name} is not a dictionary of names")
    return members


def _plane_axes(record: Record) -> torch.Tensor | None:
    modules = record.state.get("_modules", {})
    renderer = modules.get("renderer") if isinstance(modules, Mapping) else None
    axes = renderer.state.get("plane_axes") if isinstance(renderer, Record) else None
    if not isinstance(axes, torch.Tensor):
        return None
    if axes.shape != (3, 3, 3) or not bool((torch.linalg.det(axes.double()).abs() > 1e-6).all()):
        raise AssetError(f"renderer.plane_axes is no set of three bases: shape {tuple(axes.shape)}")
    return axes.float()


def _plain(value: Any, where: str, parts: Iterator[int], depth: int = 0) -> dict[str, Any]:
    """The part of a mapping that JSON can hold."""
    if not isinstance(value, Mapping):
        return {}
    if depth > _MAX_DEPTH:
        raise AssetError(f"{where}: settings nested deeper than {_MAX_DEPTH}")
    kept: dict[str, Any] = {}
    for key, item in value.items():
        _count(parts, where)
        if isinstance(item, Mapping):
            kept[str(key)] = _plain(item, where, parts, depth + 1)
        elif isinstance(item, np.generic):
            kept[str(key)] = item.item()
        elif item is None or isinstance(item, str | int | float | bool):
            kept[str(key)] = item
        elif isinstance(item, list | tuple) and all(isinstance(x, str | int | float | bool) for x in item):
            kept[str(key)] = list(item)
    return kept


def write_safetensors(checkpoint: StyleGANCheckpoint, path: str | Path) -> Path:
    """Write a checkpoint as safetensors, its settings as JSON in the metadata; atomically. Returns the path."""
    tensors = {name: value.contiguous().clone() for name, value in checkpoint.state.items()}
    if checkpoint.plane_axes is not None:
        tensors[_PLANE_AXES] = checkpoint.plane_axes.contiguous()
    metadata = {
        "class_name": checkpoint.class_name,
        "init_kwargs": json.dumps(checkpoint.init_kwargs),
        "rendering_kwargs": json.dumps(checkpoint.rendering_kwargs),
    }
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.part")
    try:
        save_file(tensors, temporary, metadata=metadata)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file


def _read_safetensors(path: str | Path) -> StyleGANCheckpoint:
    with boundary(path, "a readable safetensors file", error=AssetError):
        with safe_open(path, framework="pt") as archive:
            metadata = archive.metadata() or {}
            state = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
        settings = {
            key: parse_json(metadata.get(key, "{}").encode(), key) for key in ("init_kwargs", "rendering_kwargs")
        }
    axes = state.pop(_PLANE_AXES, None)
    return StyleGANCheckpoint(metadata.get("class_name", ""), state, plane_axes=axes, **settings)
