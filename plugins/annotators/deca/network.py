"""DECA's coarse encoder (Feng et al. 2021): a face crop to FLAME parameters, written from the paper's description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import timm
import torch
from torch import nn

from synthforge.core.errors import AssetError

from ...heads.flame.head import FlameHead

INPUT = 224  # side of the crop in pixels


@dataclass(frozen=True)
class Code:
    """What the encoder says of a face.

    shape (B,100), albedo (B,50), expression (B,50): FLAME's; pose (B,6): global and jaw axis-angle, radians;
    camera (B,3): scale and shift of a scaled orthographic view, crop units; light (B,27).
    """

    shape: torch.Tensor
    albedo: torch.Tensor
    expression: torch.Tensor
    pose: torch.Tensor
    camera: torch.Tensor
    light: torch.Tensor


_SIZES = {"shape": 100, "albedo": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}


class CoarseEncoder(nn.Module):
    """ResNet-50 and two linear layers; names of the second part are DECA's (`layers.0`, `layers.2`)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = timm.create_model("resnet50", pretrained=False, num_classes=0)
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, sum(_SIZES.values())))
        self.eval()
        self.requires_grad_(False)

    def forward(self, crops: torch.Tensor) -> Code:
        """Crops (B,3,224,224), RGB in [0,1]."""
        numbers = self.layers(self.encoder(crops))
        return Code(*numbers.split([_SIZES[field.name] for field in fields(Code)], dim=1))

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> CoarseEncoder:
        """The encoder with the weights under `E_flame` of `deca_model.tar`.

        Raises: AssetError naming tensors that are missing, unexpected or of another shape.
        """
        encoder = cls()
        own = encoder.state_dict()
        given = {name: value for name, value in state.items() if not name.startswith("encoder.fc.")}
        faults = [f"{name} is missing" for name in own if name not in given and "num_batches" not in name]
        faults += [f"{name} is not part of the encoder" for name in given if name not in own]
        faults += [
            f"{name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            for name, value in given.items()
            if name in own and value.shape != own[name].shape
        ]
        if faults:
            raise AssetError(f"the DECA checkpoint does not fit: {'; '.join(faults[:4])}")
        encoder.load_state_dict(given, strict=False)
        return encoder


def decode(head: FlameHead, code: Code) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (B,V,3) and 68 landmarks (B,68,3) of a code, FLAME space; the jaw line is that seen from the front."""
    from ...heads.flame.head import head_yaw

    batch = len(code.pose)
    pose = code.pose.new_zeros(batch, 5, 3)
    pose[:, 0], pose[:, 2] = code.pose[:, :3], code.pose[:, 3:]
    vertices, _ = head(code.shape, code.expression, pose)
    return vertices, head.landmarks_by_yaw(vertices, head_yaw(pose))


def project(points: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Points (B,N,3) in FLAME space to pixels (B,N,2) of the crop, centres at i + 0.5.

    camera (B,3) = (s, tx, ty): scaled orthographic, x' = s (x + tx), y' = -s (y + ty), in [-1,1] over the crop.
    """
    flat = (points[..., :2] + camera[:, None, 1:]) * camera[:, None, :1]
    flat = flat * flat.new_tensor([1.0, -1.0])
    return (flat + 1) * (INPUT / 2)
