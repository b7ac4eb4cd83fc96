"""What a parametric head returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class HeadMesh:
    """A batch of posed heads on the model's own topology.

    vertices (B,V,3): metres, world frame (y up, the head faces +z, the subject's left is +x).
    joints (B,J,3): posed joint positions, same frame.
    """

    vertices: torch.Tensor
    joints: torch.Tensor
