"""The networks of `headpose`; loaded when one is built, so that listing plugins imports no torch."""

from __future__ import annotations

import torch
from torch import nn


def orthonormal(six: torch.Tensor) -> torch.Tensor:
    """Rotations (B,3,3) of two rows each, (B,6), by Gram and Schmidt (Zhou et al. 2019)."""
    a = nn.functional.normalize(six[:, :3], dim=-1)
    b = nn.functional.normalize(six[:, 3:] - (a * six[:, 3:]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=1)


class RotationHead(nn.Module):
    """Features (B,C,h,w) -> `rotation` (B,3,3); upright and facing the camera at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels, 6)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, -1.0, 0.0]))

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """{"rotation": (B,3,3)}."""
        return {"rotation": orthonormal(self.last(features.float().mean((2, 3))))}


class RotationAdapter(nn.Module):
    """A rotation corrected by a linear function of itself, which starts at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(9, 6)
        nn.init.zeros_(self.net.weight)
        nn.init.zeros_(self.net.bias)

    def forward(
        self, prediction: dict[str, torch.Tensor], features: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """{"rotation": (B,3,3)}."""
        flat = prediction["rotation"].flatten(1)
        return {"rotation": orthonormal(flat[:, :6] + self.net(flat))}
