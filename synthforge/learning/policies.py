"""Augmentation policies by name: plugins register them as data (`hookspecs.register_policies`). Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.config import unknown_key
from ..core.errors import ConfigError, did_you_mean
from ..core.keys import Key, key, key_of
from ..core.tables import Table

_P = "[probability, strongest]: "


@dataclass(frozen=True)
class Policy:
    """What is drawn for each crop. Plain numbers are sigmas or probabilities, pairs are [probability, strongest].

    default, default_finetune: 1 for the one that training or label fine-tuning uses where none is named, else 0.
    """

    name: str = field(default="", compare=False)
    rotation: float = key(0.0, "Sigma of the rotation.", unit="degrees", low=0, high=180)
    scale: float = key(0.0, "Sigma of the logarithm of the size.", low=0, high=2)
    shift: float = key(0.0, "Sigma of the shift to both sides.", unit="image sizes", low=0, high=1)
    perspective: float = key(0.0, "Sigma of the projective terms, in the frame from -1 to 1.", low=0, high=1)
    flip: float = key(0.0, "Probability of the mirrored crop.", low=0, high=1)
    brightness: float = key(0.0, "Sigma of what is added, in units of the range.", low=0, high=1)
    contrast: float = key(0.0, "Sigma of the logarithm of the contrast.", low=0, high=3)
    saturation: float = key(0.0, "Sigma of the logarithm of the saturation.", low=0, high=3)
    colour: float = key(0.0, "Sigma of the logarithm of each channel's factor.", low=0, high=3)
    gamma: float = key(0.0, "Sigma of the logarithm of gamma.", low=0, high=3)
    grey: float = key(0.0, "Probability of a grey picture.", low=0, high=1)
    blur: tuple[float, float] = key((0.0, 0.0), f"{_P}sigma of a blur.", unit="px", low=0, high=100)
    noise: tuple[float, float] = key((0.0, 0.0), f"{_P}sigma of noise, in units of the range.", low=0, high=1)
    erase: tuple[float, float] = key(
        (0.0, 0.0), f"{_P}side of a patch that hides the picture.", unit="image sizes", low=0, high=1
    )
    lowres: tuple[float, float] = key((0.0, 1.0), f"{_P}smallest factor of resolution.", above=0, high=1)
    jpeg: tuple[float, float] = key((0.0, 100.0), f"{_P}lowest quality of JPEG.", low=0, high=100)
    shade: tuple[float, float] = key(
        (0.0, 0.0), f"{_P}sigma of the logarithm of light that changes over the picture.", low=0, high=3
    )
    default: int = field(default=0, compare=False)
    default_finetune: int = field(default=0, compare=False)


_CHANCE = Key(low=0, high=1)
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
    known = {item.name: item for item in dataclasses.fields(Policy) if item.compare}
    for name, value in values.items():
        if name not in known:
            raise unknown_key(name, list(known), "augmentation")
        about, pair = key_of(known[name]), isinstance(known[name].default, tuple)
        numbers = list(value) if isinstance(value, (list, tuple)) else [value]
        plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
        if len(numbers) != (2 if pair else 1) or not plain:
            wanted = "a pair [probability, strongest]" if pair else "a number"
            raise ConfigError(f"augmentation.{name}: this is {wanted}, got {value!r}", hint=about.doc)
        problem = (pair and _CHANCE.problem(numbers[0])) or about.problem(numbers[-1])
        if problem:
            raise ConfigError(f"augmentation.{name}: {problem}", hint=about.doc)
        values[name] = tuple(map(float, numbers)) if pair else float(numbers[0])
    return dataclasses.replace(policy, **values)
