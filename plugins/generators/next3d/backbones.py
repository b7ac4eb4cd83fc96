"""The named parts of the published networks: a mapping beside a synthesis network, and super-resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import TriplaneConfig
from .synthesis import Mapping, Synthesis, SynthesisBlock

_CLAMP = 256.0


class StyleBackbone(nn.Module):
    """`synthesis` and its `mapping`; only one mapping of the whole generator is ever run."""

    def __init__(self, synthesis: Synthesis, config: TriplaneConfig) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.mapping = Mapping(config.z, config.c, config.w)


class SuperResolution(nn.Module):
    """Two upsampling blocks without noise: features (B,32,n,n) -> image (B,3,4m,4m), m the input size of the blocks."""

    def __init__(self, config: TriplaneConfig) -> None:
        super().__init__()
        self.size = config.superres_input
        first, second = config.superres
        self.block0 = SynthesisBlock(32, first, config.w, 2 * self.size, 3)
        self.block1 = SynthesisBlock(first, second, config.w, 4 * self.size, 3)

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """features (B,32,n,n), their first three channels being the image so far; w (B,W)."""
        x = features
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
        ws = w[:, None].expand(-1, 3, -1)
        x, image = self.block0(x, x[:, :3], ws, noise=False, clamp=_CLAMP)
        return self.block1(x, image, ws, noise=False, clamp=_CLAMP, last=True)[1]


def truncate(ws: torch.Tensor, mean: torch.Tensor, psi: float, cutoff: int) -> torch.Tensor:
    """The first `cutoff` of ws (B,N,W) drawn towards the mean w (W,) by psi (1 leaves them)."""
    head = mean + psi * (ws[:, :cutoff] - mean)
    return torch.cat([head, ws[:, cutoff:]], 1)
