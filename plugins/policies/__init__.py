"""The augmentation policies that come with SynthForge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from synthforge.core.hookspecs import hookimpl
from synthforge.learning.policies import Policy

PAPER = Policy(
    "paper",
    rotation=18.0,
    scale=0.1,
    shift=0.05,
    perspective=0.05,
    flip=0.5,
    brightness=0.08,
    contrast=0.2,
    gamma=0.2,
    grey=0.1,
    blur=(0.3, 1.5),
    noise=(0.3, 0.05),
    erase=(0.3, 0.3),
    default=1,
)
LIGHT = Policy(
    "light",
    rotation=5.0,
    scale=0.04,
    shift=0.015,
    flip=0.5,
    brightness=0.05,
    contrast=0.1,
    gamma=0.1,
    saturation=0.1,
    default_finetune=1,
)
# For few photographs, when a whole network learns from them.
MEDIUM = dataclasses.replace(
    LIGHT,
    name="medium",
    default_finetune=0,
    rotation=12.0,
    scale=0.08,
    shift=0.03,
    perspective=0.02,
    brightness=0.08,
    contrast=0.2,
    gamma=0.2,
    saturation=0.25,
    colour=0.05,
    grey=0.1,
    blur=(0.2, 1.2),
    noise=(0.2, 0.04),
    lowres=(0.15, 0.4),
    jpeg=(0.15, 35.0),
    shade=(0.2, 0.5),
)
# For renderings that must stand in for any photograph: cameras, compression, colour casts, low resolution.
STRONG = dataclasses.replace(
    PAPER,
    name="strong",
    default=0,
    brightness=0.1,
    contrast=0.25,
    saturation=0.3,
    colour=0.07,
    gamma=0.25,
    grey=0.12,
    blur=(0.35, 1.8),
    noise=(0.6, 0.045),
    lowres=(0.25, 0.3),
    jpeg=(0.3, 25.0),
    shade=(0.25, 0.7),
)


@hookimpl
def register_policies(register: Callable[[Policy], None]) -> None:
    """Offer `none`, `light`, `medium`, `paper` and `strong`."""
    for policy in (Policy("none"), LIGHT, MEDIUM, PAPER, STRONG):
        register(policy)
