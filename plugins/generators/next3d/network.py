"""Next3D (Sun et al. 2023): a neural texture on FLAME's mesh, blended into the triplanes of an EG3D generator.

Written from the papers and from the published network's behaviour; parameter names are the published checkpoint's.
Frames: mesh in FLAME space (metres, y up, face towards +z); cameras and volume in volume units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from synthforge.core.errors import AssetError

from .backbones import StyleBackbone, SuperResolution, truncate
from .config import MESH_BUFFERS, PLANE_AXES, PLANE_SIZE, TriplaneConfig, config_from_state
from .dynamic import MeshTexture, View, covered_box, crop_mouth, mouth_box, paste_mouth
from .raster import FRONT, TOP
from .synthesis import ConditionalSynthesis, Synthesis
from .volume import Decoder, Jitter, Volume, middle_jitter, pinhole_rays, projections

Variant = Literal["official", "synthforge"]
VERTICES, LANDMARKS = 5023, 68
LAYERS = 14  # w entries of the static planes, mouth, blending and super-resolution; as many again for the texture
_EXTRA = frozenset({"dataset_label_std"})


@dataclass(frozen=True)
class Planes:
    """The triplanes (B,3,32,256,256) and the views they were blended from: front, or front, sides and top."""

    blended: torch.Tensor
    views: tuple[View, ...]
    boxes: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class Output:
    """image (B,3,N,N) and image_raw (B,3,n,n) in [-1,1]; distance (B,m,m): expected ray distance, volume units."""

    image: torch.Tensor
    image_raw: torch.Tensor
    distance: torch.Tensor


class Next3DNetwork(nn.Module):
    """The published generator; also holds, unrun, what its checkpoint carries and evaluation never reaches.

    mask: the UV mask (S,S) in [0,1] of the face and eyes. variant: `official`, or `synthforge` for the paper's script
    (only the front plane is dynamic, and depth is rendered at twice the neural resolution).
    """

    def __init__(
        self,
        config: TriplaneConfig,
        mask: torch.Tensor,
        *,
        variant: Variant = "official",
        plane_axes: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.config, self.variant = config, variant
        sizes = (config.channel_base, config.channel_max)
        for name, (shape, dtype) in MESH_BUFFERS.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self.texture_backbone = StyleBackbone(Synthesis(config.w, PLANE_SIZE, 32, *sizes), config)
        self.mouth_backbone = StyleBackbone(
            ConditionalSynthesis(config.w, PLANE_SIZE, 32, *sizes, condition=32, condition_size=64, first=8), config
        )
        self.backbone = StyleBackbone(Synthesis(config.w, PLANE_SIZE, 96, *sizes), config)
        self.superresolution = SuperResolution(config)
        self.decoder = Decoder()
        self.neural_blending = StyleBackbone(
            ConditionalSynthesis(config.w, PLANE_SIZE, 32, *sizes, condition=32, condition_size=256, first=64), config
        )
        self._mask = mask.float()
        axes = torch.tensor(PLANE_AXES) if plane_axes is None else plane_axes
        self._projection = projections(axes)
        self.eval()
        self.requires_grad_(False)

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, torch.Tensor],
        mask: torch.Tensor,
        *,
        rendering: Mapping[str, Any] | None = None,
        neural: int | None = None,
        variant: Variant = "official",
        plane_axes: torch.Tensor | None = None,
    ) -> Next3DNetwork:
        """A network with the weights of a published state dict, its sizes read off the tensors.

        Raises: AssetError naming missing, unexpected or misshapen tensors.
        """
        config = config_from_state(state, rendering or {}, neural)
        network = cls(config, mask, variant=variant, plane_axes=plane_axes)
        load_strictly(network, state)
        return network

    def map(self, z: torch.Tensor, condition: torch.Tensor, *, psi: float = 1.0, cutoff: int = LAYERS) -> torch.Tensor:
        """z (B,Z) and the conditioning camera (B,25) -> ws (B,28,W), the first `cutoff` truncated by psi."""
        mapping = self.backbone.mapping
        ws = mapping(z, condition)[:, None].repeat(1, 2 * LAYERS, 1)
        return truncate(ws, mapping.w_avg, psi, min(cutoff, LAYERS))

    def planes(self, ws: torch.Tensor, mesh: torch.Tensor) -> Planes:
        """ws (B,28,W) and mesh (B,5023+68,3), vertices then 3-D landmarks in FLAME space -> triplanes."""
        vertices, landmarks = mesh[:, :VERTICES], mesh[:, VERTICES:]
        main, textural = ws[:, :LAYERS], ws[:, LAYERS:]
        texture = self.texture_backbone.synthesis(textural)
        faces, face_uv = self.get_buffer("faces")[0], self.get_buffer("face_uvcoords")[0]
        mesh_texture = MeshTexture(faces, face_uv, self._mask.to(texture))
        front = mesh_texture.view(texture, vertices, FRONT)
        boxes = [mouth_box(points) for points in landmarks]
        mouth = self.mouth_backbone.synthesis(main, crop_mouth(front.features, boxes))
        stitched = paste_mouth(front.features, mouth, boxes)
        blended = self.neural_blending.synthesis(main, stitched, covered_box(front.alpha))
        static = self.backbone.synthesis(main).unflatten(1, (3, 32))
        views = [front]
        layers = [_over(static[:, 0], blended, front.alpha), static[:, 1], static[:, 2]]
        if self.variant == "official":
            views += [mesh_texture.sides(texture, vertices), mesh_texture.view(texture, vertices, TOP)]
            for i, view in enumerate(views[1:], start=1):
                layers[i] = _over(layers[i], view.features, view.alpha)
        return Planes(torch.stack(layers, 1), tuple(views), boxes)

    def volume(self, planes: torch.Tensor) -> Volume:
        """The density and colour field of triplanes (B,3,32,256,256)."""
        return Volume(planes, self.decoder, self._projection, self.config.volume)

    def depth_resolution(self) -> int:
        """Side of the depth map that `synthesise` returns."""
        return self.config.neural * (2 if self.variant == "synthforge" else 1)

    def synthesise(
        self,
        ws: torch.Tensor,
        planes: torch.Tensor,
        camera: torch.Tensor,
        jitter: Jitter | None = None,
        depth_jitter: Jitter | None = None,
    ) -> Output:
        """Render triplanes from camera (B,25); jitter (see `volume.Jitter`) defaults to none.

        depth_jitter: that of the second, finer march of the `synthforge` variant.
        """
        volume, n, options = self.volume(planes), self.config.neural, self.config.volume
        if jitter is None:
            jitter = middle_jitter(len(ws), n * n, options, ws.device)
        marched = volume.march(pinhole_rays(camera, n), jitter, together=True)
        assert marched.features is not None
        features = marched.features.mT.unflatten(2, (n, n))
        distance = marched.distance.view(-1, n, n)
        if self.depth_resolution() != n:
            m = self.depth_resolution()
            if depth_jitter is None:
                depth_jitter = middle_jitter(len(ws), m * m, options, ws.device)
            finer = volume.march(pinhole_rays(camera, m), depth_jitter, colour=False, together=True)
            distance = finer.distance.view(-1, m, m)
        image = self.superresolution(features, ws[:, LAYERS - 1])
        return Output(image, features[:, :3], distance)

    def render(self, volume: Volume, ws: torch.Tensor, camera: torch.Tensor, jitter: Jitter) -> torch.Tensor:
        """The image (B,3,N,N) in [-1,1] alone, of a volume that may be marched again for depth."""
        n = self.config.neural
        features = volume.march(pinhole_rays(camera, n), jitter).features
        assert features is not None
        return self.superresolution(features.mT.unflatten(2, (n, n)), ws[:, LAYERS - 1])


def _over(below: torch.Tensor, above: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    return above * alpha + below * (1 - alpha)


def load_strictly(network: nn.Module, state: Mapping[str, torch.Tensor], extra: Sequence[str] = ()) -> None:
    """Give a network the tensors of a checkpoint, every name and shape checked.

    Raises: AssetError naming the first few that are missing, unexpected or of another shape.
    """
    own = network.state_dict()
    given = {name: value for name, value in state.items() if name not in _EXTRA and name not in extra}
    faults = [f"{name} is missing" for name in own if name not in given]
    faults += [f"{name} is not part of this network" for name in given if name not in own]
    faults += [
        f"{name} has shape {tuple(given[name].shape)}, expected {tuple(value.shape)}"
        for name, value in own.items()
        if name in given and given[name].shape != value.shape
    ]
    if faults:
        raise AssetError(
            f"the checkpoint does not fit: {'; '.join(faults[:4])}{'; ...' if len(faults) > 4 else ''}",
            hint="It comes from another network or another release than the one this plugin reads.",
        )
    typed = {name: value.to(own[name].dtype) for name, value in given.items()}
    network.load_state_dict(typed, strict=True, assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.requires_grad_(False)
