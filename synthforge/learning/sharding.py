"""Weights that are spread over processes: each keeps a part of weights, gradients and optimiser state (FSDP).

Checkpoints and models hold whole tensors, so that any number of processes goes on from them, spread or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


class Spread(ModelParallelStrategy):
    """Fully sharded data parallelism of `world` processes, by torch's `fully_shard`.

    start: how processes start where no launcher did (`fork`, `spawn`).
    """

    def __init__(self, world: int, start: str) -> None:
        super().__init__(self.spread, data_parallel_size=world, tensor_parallel_size=1)
        self._start_method = start

    def spread(self, module: nn.Module, mesh: Any = None) -> Any:
        """A module whose parameters are spread; those of `parts_to_spread`, where it has them, come together alone."""
        mesh = self.device_mesh["data_parallel"]
        for part in getattr(module, "parts_to_spread", list)():
            fully_shard(part, mesh=mesh)
        return fully_shard(module, mesh=mesh)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self._launcher = _MultiProcessingLauncher(self, start_method=self._start_method)  # type: ignore[arg-type]


def whole(value: Any) -> Any:
    """Nested plain data with every tensor whole and none spread. All processes must take part."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def like(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor spread as another is."""
    if not isinstance(other, DTensor) or value.shape != other.shape:
        return value
    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements)


def load_weights(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """`load_state_dict` of whole tensors into a module that may be spread."""
    own = module.state_dict()
    module.load_state_dict({name: like(value, own[name]) if name in own else value for name, value in state.items()})


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """`load_state_dict` of whole tensors into an optimiser whose parameters may be spread."""
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    kept = {
        number: {k: like(v, parameters[number]) if isinstance(v, torch.Tensor) else v for k, v in each.items()}
        for number, each in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": kept})


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that lies here."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
