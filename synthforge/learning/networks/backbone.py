"""Feature encoders by name: plugins register them as data (`hookspecs.register_backbones`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.boundary import call
from ...core.tables import Table

if TYPE_CHECKING:
    from torch import nn

    from ..config import NetworkConfig


@dataclass(frozen=True)
class Backbone:
    """A feature encoder, chosen by `network.backbone`.

    build: normalised images (B,3,H,W) -> features (B,config.channels,h,w), full resolution or a whole stride. options:
    keys of its own in `network.options`, with the values allowed (`core.foreign.check_arguments`); model folders of
    anyone hold them, so no path and no name of code. on_meta: whether it can be built on torch's device `meta`, where
    the weights of a model folder are counted before memory is asked for.
    default: 1 for the one that is used where none is named, else 0.
    """

    name: str
    build: Callable[[NetworkConfig], nn.Module]
    summary: str = ""
    options: Mapping[str, type | tuple[Any, ...]] = field(default_factory=dict)
    on_meta: bool = True
    default: int = 0


BACKBONES = Table("backbones", "backbone", Backbone)


def build_backbone(config: NetworkConfig) -> nn.Module:
    """The encoder of a configuration. Raises PluginError with the nearest name for one that no plugin registers."""
    return call(f"building the backbone '{config.backbone}'", BACKBONES[config.backbone].build, config)
