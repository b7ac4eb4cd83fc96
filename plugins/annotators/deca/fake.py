"""DECA's checkpoint with random weights, for tests and for trying the pipeline out without a licence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from .network import CoarseEncoder


def random_encoder() -> dict[str, torch.Tensor]:
    """The state of an encoder that sees a made-up head filling the crop."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = CoarseEncoder().state_dict()
    state["layers.2.weight"].mul_(0.1)  # or the made-up head would be torn apart
    state["layers.2.bias"][206] = 5.0  # the camera's scale: a face that fills the crop
    return state


def write_deca(path: str | Path, state: Mapping[str, torch.Tensor]) -> Path:
    """Write `deca_model.tar`: a torch checkpoint with the coarse encoder's state under `E_flame`."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"E_flame": dict(state)}, file)
    return file
