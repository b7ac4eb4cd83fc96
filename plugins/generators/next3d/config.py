"""Sizes of a Next3D network, read off its state dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from synthforge.core.errors import AssetError

from .volume import VolumeOptions

# Buffers of FLAME's mesh inside the checkpoint: shape and type.
MESH_BUFFERS: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
    "dense_faces": ((1, 122990, 3), torch.int64),
    "faces": ((1, 9976, 3), torch.int64),
    "raw_uvcoords": ((1, 5118, 2), torch.float32),
    "uvcoords": ((1, 5118, 3), torch.float32),
    "uvfaces": ((1, 9976, 3), torch.int64),
    "face_uvcoords": ((1, 9976, 3, 3), torch.float32),
}
PLANE_SIZE = 256
# Planes as the published network samples them: (X,Y), (X,Z), (Z,Y).
PLANE_AXES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
)


@dataclass(frozen=True)
class TriplaneConfig:
    """Sizes of the network; the defaults are the published ones.

    channel_base / resolution, at most channel_max, features at each resolution. neural: side of the volume-rendered
    image. superres_input: side of what super-resolution starts from (its output is four times that).
    superres: its two widths.
    """

    z: int = 512
    w: int = 512
    c: int = 25
    channel_base: int = 32768
    channel_max: int = 512
    neural: int = 64
    superres_input: int = 128
    superres: tuple[int, int] = (256, 128)
    volume: VolumeOptions = field(default_factory=VolumeOptions)

    @property
    def resolution(self) -> int:
        """Side of the final image in pixels."""
        return 4 * self.superres_input


TINY = TriplaneConfig(
    z=16,
    w=16,
    channel_base=1024,
    channel_max=16,
    neural=16,
    superres_input=32,
    superres=(8, 6),
    volume=VolumeOptions(coarse=12, fine=12),
)


def config_from_state(
    state: Mapping[str, torch.Tensor], rendering: Mapping[str, Any], neural: int | None, synthesis: str = "backbone"
) -> TriplaneConfig:
    """The sizes of a checkpoint from its tensors' shapes and its `rendering_kwargs`.

    Raises: AssetError naming the tensor that is missing or of an impossible shape.
    """
    try:
        w, joined = state[f"{synthesis}.mapping.fc0.weight"].shape
        c = state[f"{synthesis}.mapping.embed.weight"].shape[1]
        narrow = state[f"{synthesis}.synthesis.b256.conv1.weight"].shape[0]
        widest = state[f"{synthesis}.synthesis.b4.conv1.weight"].shape[0]
        first, second = (state[f"superresolution.block{i}.conv1.weight"].shape[0] for i in (0, 1))
        superres_input = state["superresolution.block0.conv0.noise_const"].shape[0] // 2
    except (KeyError, ValueError, IndexError) as error:
        raise AssetError(
            f"the checkpoint lacks or misshapes {error}: it is not a Next3D or EG3D generator",
            hint="Give the generator's pickle (its `G_ema`), not a discriminator or another StyleGAN.",
        ) from error
    number = {
        "near": float(rendering.get("ray_start", 2.25)),
        "far": float(rendering.get("ray_end", 3.3)),
        "box_warp": float(rendering.get("box_warp", 1.0)),
    }
    volume = VolumeOptions(
        **number,
        coarse=int(rendering.get("depth_resolution", 48)),
        fine=int(rendering.get("depth_resolution_importance", 48)),
    )
    return TriplaneConfig(
        z=joined - w,
        w=w,
        c=c,
        channel_base=narrow * 256,
        channel_max=widest,
        neural=neural or 64,
        superres_input=superres_input,
        superres=(first, second),
        volume=volume,
    )
