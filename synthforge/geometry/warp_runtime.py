"""Running warp kernels on torch tensors: no copies, torch's stream, no banner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import warp as wp

from ..core.errors import DataError
from ..core.files import cache_dir


@cache
def start() -> None:
    """Initialise warp once. Silent: a library does not print to its caller's terminal.

    Raises DataError where its cache cannot be written.
    """
    # Older releases of warp have a flag where newer ones have a level.
    name, value = ("log_level", wp.LOG_WARNING) if hasattr(wp.config, "log_level") else ("quiet", True)
    setattr(wp.config, name, value)
    if "SYNTHFORGE_CACHE" in os.environ and "WARP_CACHE_PATH" not in os.environ:
        wp.config.kernel_cache_dir = str(cache_dir() / "warp")
    try:
        with contextlib.nullcontext() if torch.cuda.is_available() else _without_stderr():
            wp.init()
    except OSError as error:
        raise DataError(
            f"warp cannot keep its compiled kernels: {error}",
            hint="Set SYNTHFORGE_CACHE to a folder that you may write to.",
        ) from error


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Mute file descriptor 2: warp's C++ code warns of a missing GPU driver there, whatever the log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@cache
def struct_type(struct: Any) -> np.dtype:
    """Memory layout of a warp struct; warp works it out anew at every call."""
    return np.dtype(struct.numpy_dtype())


def stacked(records: Sequence[np.ndarray]) -> np.ndarray:
    """Records of one struct as one array. `np.stack` compares their fields by name, which takes its time."""
    out = np.empty((len(records), *records[0].shape), records[0].dtype)
    for i, record in enumerate(records):
        out[i] = record
    return out


def as_structs(records: np.ndarray, struct: Any, device: torch.device) -> Any:
    """Records of the layout `struct_type` as a warp array."""
    start()
    data = torch.from_numpy(np.ascontiguousarray(records).view(np.uint8)).to(device)
    array: Any = wp.array(ptr=data.data_ptr(), dtype=struct, shape=records.shape, device=wp.device_from_torch(device))
    array._tensor = data  # owns the memory
    return array


def devices() -> list[str]:
    """Names of the devices kernels can run on."""
    start()
    return [str(device) for device in wp.get_devices()]


def as_warp(tensor: torch.Tensor, dtype: Any = None) -> Any:
    """`tensor` seen by warp, sharing its memory; `dtype` for vectors, for example `wp.vec3`."""
    start()
    return wp.from_torch(tensor, dtype=dtype)


def launch(kernel: Any, dim: tuple[int, ...], inputs: list[Any], device: torch.device) -> None:
    """Run `kernel` on `device`; on CUDA in order with torch's own work on its current stream."""
    start()
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None
    wp.launch(kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device), stream=stream)


def span(count: int, device: torch.device) -> int:
    """How many neighbouring items one thread handles: see `warp_kernels`."""
    return 1 if device.type == "cuda" else max(count, 1)


def chunks(count: int, size: int) -> int:
    """Threads needed for `count` items, `size` a thread."""
    return -(-count // size)
