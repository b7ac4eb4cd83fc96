"""The filter `scene`: scenes whose factors, as their pictures would show them, are as wanted; before any rendering."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthforge.core.config import key
from synthforge.core.errors import ConfigError, did_you_mean
from synthforge.core.factors import Factor, seen
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import SceneFilter
from synthforge.core.keys import DEGREES, plain_name
from synthforge.core.records import Scene, Verdict

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

_ENDS = {"low", "high"}


@dataclass
class SceneConfig:
    """Scenes to keep. What the picture shows nothing of, such as the beard's length without a beard, is not wanted."""

    where: dict[str, Any] = key(
        {},
        "What factors must be, by name: a word, a number, a list of these, or {low, high}. All must hold. The name of "
        "an angle ends in _degrees.",
    )

    def __post_init__(self) -> None:
        """Raises ValueError for conditions of another form."""
        for name, wanted in self.where.items():
            good = isinstance(wanted, (str, int, float)) or (isinstance(wanted, list) and wanted)
            if isinstance(wanted, Mapping):
                ends = [wanted.get("low", -math.inf), wanted.get("high", math.inf)]
                good = set(wanted) <= _ENDS and all(isinstance(end, (int, float)) for end in ends)
                if good and ends[0] > ends[1]:
                    raise ValueError(f"where: {name}: high ({ends[1]:g}) lies below low ({ends[0]:g})")
            if not good or isinstance(wanted, bool):
                raise ValueError(f"where: {name}: a word, a number, a list of these or low and high is wanted")


class ScenesWanted(SceneFilter):
    """Holds the factors of a scene against what is wanted."""

    def __init__(self, config: SceneConfig) -> None:
        self.where = config.where

    def judge_scene(self, scene: Scene, factors: Mapping[str, Factor]) -> Verdict:
        """See `SceneFilter.judge_scene`."""
        for name, wanted in self.where.items():
            factor = _factor(name, factors)
            value = seen(vars(scene), factor)
            if name.endswith(DEGREES) and isinstance(value, float):
                value = math.degrees(value)
            if not _is(value, wanted, name, factor):
                figures = {name: round(value, 6)} if isinstance(value, float) else {}
                return Verdict(False, f"{name} is not as wanted", figures)
        return Verdict(True)


def _factor(name: str, factors: Mapping[str, Factor]) -> Factor:
    try:
        return factors[plain_name(name, {each: factor.unit for each, factor in factors.items()})]
    except ValueError as error:
        raise ConfigError(f"where: {error}") from None


def _is(value: float | str | None, wanted: Any, name: str, factor: Factor) -> bool:
    if isinstance(wanted, list):
        return any(_is(value, each, name, factor) for each in wanted)
    if isinstance(wanted, str) and wanted not in factor.labels:
        raise ConfigError(f"where: {name} is never '{wanted}'", hint=did_you_mean(wanted, factor.labels))
    if value is None:
        return False
    if isinstance(wanted, Mapping):
        return isinstance(value, float) and wanted.get("low", -math.inf) <= value <= wanted.get("high", math.inf)
    return value == wanted


@hookimpl
def register_filters(register: Register) -> None:
    """Offer the filter `scene`."""
    register(
        "scene",
        ScenesWanted,
        config=SceneConfig,
        summary="keeps scenes whose factors are as wanted, before they are rendered",
    )
