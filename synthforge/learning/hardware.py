"""Devices: what this machine is good at, and the Lightning Fabric that spreads training over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core import events
from ..core.cores import available_cores
from ..core.ranks import launched
from .config import HardwareConfig

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def native_bf16(accelerator: str) -> bool:
    """Whether the device multiplies bf16 in hardware; emulated, it is two to three times slower than 32 bit."""
    if accelerator == "cpu":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


def processor_kind() -> str:
    """How fast this processor multiplies, as one of AMX, AVX512_BF16, AVX512, AVX2, or torch's name for another."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX512_BF16" if torch.cpu._is_avx512_bf16_supported() else torch.backends.cpu.get_cpu_capability()


def resolve_accelerator(config: HardwareConfig) -> str:
    """`cuda`, `cpu` or `mps`. Raises ConfigError for devices that are not there."""
    config.check()
    if config.accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if config.accelerator == "gpu" else config.accelerator


def make_fabric(config: HardwareConfig, precision: str) -> Fabric:
    """The Fabric of a configuration, not launched yet."""
    from lightning.fabric import Fabric

    events.take_logging()
    accelerator = resolve_accelerator(config)
    if precision == "auto":
        precision = "bf16-mixed" if native_bf16(accelerator) else "32-true"
    world, start = config.processes, "fork" if accelerator == "cpu" else "spawn"
    strategy: Any = "auto" if world == 1 else config.strategy
    if strategy == "fsdp":
        from .sharding import Spread

        strategy = Spread(world, start)
    elif strategy == "auto" and world > 1:
        strategy = "ddp" if launched() else f"ddp_{start}"
    return Fabric(
        accelerator=accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
    )


def is_forked(fabric: Fabric) -> bool:
    """Whether the processes of this Fabric are forks of the one that started them."""
    return fabric.world_size > 1 and getattr(fabric.strategy, "_start_method", "") == "fork"


def groups_of(parts: Sequence[tuple[nn.Module, float]], weight_decay: float) -> list[dict[str, Any]]:
    """What is learned of each part, at its learning rate; only matrices decay, biases and norms do not."""
    return [
        {"params": some, "lr": rate, "weight_decay": decay}
        for part, rate in parts
        for decay, matrices in ((weight_decay, True), (0.0, False))
        if (some := [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == matrices])
    ]


def adamw(groups: list[dict[str, Any]], fabric: Fabric) -> torch.optim.AdamW:
    """AdamW in one kernel a step where that works: not with the gradient scaling of fp16."""
    return torch.optim.AdamW(groups, fused=getattr(fabric.strategy.precision, "scaler", None) is None)


def worker_count(config: HardwareConfig) -> int:
    """Loader processes of one device: the cores, shared by the devices of this machine, less the trainer's own."""
    if config.workers >= 0:
        return config.workers
    share = available_cores() // config.devices
    return max(1, min(share - 1, 8)) if share > 1 else 0


@contextmanager
def numerics(config: HardwareConfig, *, forked: bool = False) -> Iterator[None]:
    """Thread count and deterministic kernels for the time of a training run; global random state is put back.

    forked: this process is a fork of one that has run torch; OpenMP's threads do not survive that.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if forked or config.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1 if forked else config.threads or 1)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Some CUDA kernels have no deterministic form (the backward pass of grid_sample): those only warn.
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
