"""The backbone of a configuration."""

from __future__ import annotations

from torch import nn

from ..config import NetworkConfig
from .pyramid import Pyramid, ResidualEncoder, timm_encoder
from .unet import UNet, scaled


def build_backbone(config: NetworkConfig) -> nn.Module:
    """Normalised images (B,3,H,W) -> features (B,config.channels,h,w): full resolution for `unet`, else stride 4."""
    if config.backbone == "unet":
        return UNet(3, config.channels, scaled(config.width))
    if config.backbone == "residual":
        encoder = ResidualEncoder(config.width)
        return Pyramid(encoder, encoder.channels, config.channels)
    chosen, below = timm_encoder(config.model, config.input_size, dict(config.options))
    return Pyramid(chosen, below, config.channels)
