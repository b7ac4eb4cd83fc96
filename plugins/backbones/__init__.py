"""The feature encoders that come with SynthForge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synthforge.core.hookspecs import hookimpl
from synthforge.learning.networks.backbone import Backbone

if TYPE_CHECKING:
    from torch import nn

    from synthforge.learning.config import NetworkConfig

#: arguments of `timm.create_model` that may be given: none reads a file or loads code
TIMM_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("drop_rate", "drop_path_rate", "mlp_ratio"), float),
    **dict.fromkeys(("out_indices", "output_stride", "patch_size", "window_size", "embed_dim", "num_heads"), int),
    **dict.fromkeys(("depth", "depths"), int),
    **dict.fromkeys(("act_layer",), ("relu", "gelu", "silu", "hard_swish")),
    "norm_layer": ("batchnorm2d", "layernorm", "groupnorm"),
    "pretrained": (False,),
}


def unet(config: NetworkConfig) -> nn.Module:
    """The paper's: three channels to `channels` at full resolution, `width` times as wide."""
    from synthforge.learning.networks.unet import UNet, scaled

    return UNet(3, config.channels, scaled(config.width))


def residual(config: NetworkConfig) -> nn.Module:
    """A dense residual encoder, ResNet-18 at width 1, and a feature pyramid."""
    from synthforge.learning.networks.pyramid import Pyramid, ResidualEncoder

    encoder = ResidualEncoder(config.width)
    return Pyramid(encoder, encoder.channels, config.channels)


def timm(config: NetworkConfig) -> nn.Module:
    """The timm model called `model`, with `options`, and a feature pyramid. ConfigError for one that timm lacks."""
    from synthforge.learning.networks.pyramid import Pyramid, timm_encoder

    encoder, below = timm_encoder(config.model, config.input_size, dict(config.options))
    return Pyramid(encoder, below, config.channels)


@hookimpl
def register_backbones(register: Callable[[Backbone], None]) -> None:
    """Offer `unet`, `residual` and `timm`."""
    register(Backbone("unet", unet, "the paper's: features at full resolution", default=1))
    register(Backbone("residual", residual, "a dense residual encoder with a feature pyramid; ResNet-18 at width 1"))
    summary = "any timm model that gives features, with the same pyramid and random weights"
    # Some count their channels with numbers, which `meta` has not.
    register(Backbone("timm", timm, summary, TIMM_OPTIONS, on_meta=False))
