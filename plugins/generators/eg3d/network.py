"""EG3D (Chan et al. 2022) on the layers of Next3D: one backbone, three planes, the same volume and super-resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from synthforge.core.errors import AssetError

from ..next3d.backbones import StyleBackbone, SuperResolution, truncate
from ..next3d.config import PLANE_SIZE, TriplaneConfig, config_from_state
from ..next3d.network import load_strictly
from ..next3d.synthesis import Synthesis
from ..next3d.volume import Decoder, Jitter, Volume, pinhole_rays, projections

LAYERS = 14
NEURAL = 128  # side of the volume-rendered image of the published FFHQ network
# Planes as the published FFHQ weights were trained with: (X,Y), (X,Z), (Z,X). Later networks use (Z,Y) for the last.
PUBLISHED_AXES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
)


class EG3DNetwork(nn.Module):
    """The published generator. plane_axes (3,3,3): how its planes lie, from the checkpoint."""

    def __init__(self, config: TriplaneConfig, plane_axes: torch.Tensor) -> None:
        super().__init__()
        self.config = config
        self.backbone = StyleBackbone(
            Synthesis(config.w, PLANE_SIZE, 96, config.channel_base, config.channel_max), config
        )
        self.superresolution = SuperResolution(config)
        self.decoder = Decoder()
        self._projection = projections(plane_axes)
        self.eval()
        self.requires_grad_(False)

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, torch.Tensor],
        plane_axes: torch.Tensor | None,
        *,
        rendering: Mapping[str, Any] | None = None,
        neural: int | None = None,
    ) -> EG3DNetwork:
        """A network with the weights of a published state dict.

        Raises: AssetError naming tensors that do not fit, or when the planes' axes are not known: releases differ, and
        guessing would render a face with one plane turned.
        """
        if plane_axes is None:
            raise AssetError(
                "the checkpoint does not say how its planes lie (renderer.plane_axes)",
                hint="Use the official pickle, or a .safetensors converted from it by synthforge.",
            )
        network = cls(config_from_state(state, rendering or {}, neural or NEURAL), plane_axes)
        load_strictly(network, state)
        return network

    def map(self, z: torch.Tensor, condition: torch.Tensor, *, psi: float = 1.0, cutoff: int = LAYERS) -> torch.Tensor:
        """z (B,Z) and the conditioning camera (B,25) -> ws (B,14,W), truncated."""
        mapping = self.backbone.mapping
        ws = mapping(z, condition)[:, None].repeat(1, LAYERS, 1)
        return truncate(ws, mapping.w_avg, psi, cutoff)

    def volume(self, ws: torch.Tensor) -> Volume:
        """The density and colour field of ws (B,14,W)."""
        planes = self.backbone.synthesis(ws).unflatten(1, (3, 32))
        return Volume(planes, self.decoder, self._projection, self.config.volume)

    def render(self, volume: Volume, ws: torch.Tensor, camera: torch.Tensor, jitter: Jitter) -> torch.Tensor:
        """The image (B,3,N,N) in [-1,1] seen from camera (B,25)."""
        n = self.config.neural
        features = volume.march(pinhole_rays(camera, n), jitter).features
        assert features is not None
        return self.superresolution(features.mT.unflatten(2, (n, n)), ws[:, LAYERS - 1])
