"""Augmentation policies by name: plugins register them as data (`hookspecs.register_policies`). Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.config import unknown_key
from ..core.errors import ConfigError, did_you_mean
from ..core.tables import Table


@dataclass(frozen=True)
class Policy:
    """What is drawn. Plain numbers are sigmas, pairs are (probability, strongest).

    rotation: degrees. scale: of the log. shift: in sides of the image. perspective: the projective terms in the unit
    frame. flip: probability. brightness adds, contrast, saturation, colour (per channel) and gamma multiply (of the
    log). blur: sigma in pixels. noise: sigma in units of the range. erase: side of a patch in sides of the image.
    grey: probability. lowres: smallest factor of resolution. jpeg: lowest quality (these two come first, in `degrade`).
    shade: light that changes over the picture, slowly or as suddenly as a shadow's edge: sigma of the log.
    default, default_finetune: 1 for the one that training or label fine-tuning uses where none is named, else 0.
    """

    name: str = field(default="", compare=False)
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    colour: float = 0.0
    gamma: float = 0.0
    grey: float = 0.0
    blur: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)
    erase: tuple[float, float] = (0.0, 0.0)
    lowres: tuple[float, float] = (0.0, 1.0)
    jpeg: tuple[float, float] = (0.0, 100.0)
    shade: tuple[float, float] = (0.0, 0.0)
    default: int = field(default=0, compare=False)
    default_finetune: int = field(default=0, compare=False)


_HIGHEST = {"rotation": 180.0, "flip": 1.0, "grey": 1.0, "erase": 1.0, "lowres": 1.0, "jpeg": 100.0}
POLICIES = Table("policies", "augmentation policy", Policy)


def policy_of(reference: str | Mapping[str, Any]) -> Policy:
    """A policy by name, or `{policy: strong, rotation: 7}` to change some of its numbers. Raises ConfigError."""
    if not isinstance(reference, (str, Mapping)):
        raise ConfigError(f"augmentation: a policy's name or a mapping is wanted, got {reference!r}")
    values = {} if isinstance(reference, str) else {str(k): v for k, v in reference.items()}
    name = reference if isinstance(reference, str) else values.pop("policy", None)
    policy = Policy() if name is None else POLICIES.get(str(name))
    if policy is None:
        raise ConfigError(f"augmentation: there is no policy '{name}'", hint=did_you_mean(name, POLICIES))
    known = [item.name for item in dataclasses.fields(Policy) if item.compare]
    for key, value in values.items():
        if key not in known:
            raise unknown_key(key, known, "augmentation")
        pair = isinstance(getattr(Policy, key), tuple)
        numbers = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(numbers) != (2 if pair else 1) or not all(isinstance(n, (int, float)) for n in numbers):
            wanted = "a pair [probability, strongest]" if pair else "a number"
            raise ConfigError(f"augmentation.{key}: this is {wanted}, got {value!r}")
        highest = (1.0, _HIGHEST.get(key, math.inf)) if pair else (_HIGHEST.get(key, math.inf),)
        if not all(0 <= n <= high and n < math.inf for n, high in zip(numbers, highest, strict=True)):
            ends = " and ".join("from 0 on" if high == math.inf else f"0 to {high:g}" for high in highest)
            raise ConfigError(f"augmentation.{key}: {value} is out of range, which is {ends}")
        values[key] = tuple(map(float, numbers)) if pair else float(numbers[0])
    return dataclasses.replace(policy, **values)
