"""What the generators `next3d` and `eg3d` draw, as `core.factors.Factor`s."""

from __future__ import annotations

from collections.abc import Sequence

from synthforge.core.factors import Factor

from .settings import Next3DConfig, VolumeConfig

_PAPER = "the paper's range"


def latent_factors(config: VolumeConfig) -> tuple[Factor, ...]:
    """The latent code, all of its entries together, and the camera."""
    return (
        Factor("z", ("parameters.z",), "normal", source="what the published networks were trained with"),
        _evenly("camera.azimuth", "azimuth", -config.azimuth, config.azimuth, "rad"),
        _evenly("camera.elevation", "elevation", -config.elevation, config.elevation, "rad"),
        _evenly("camera.field_of_view", "field_of_view", *_pair(config.field_of_view), "degrees"),
    )


def flame_factors(config: Next3DConfig) -> tuple[Factor, ...]:
    """FLAME's components, those of a kind together."""
    found = []
    for name, count, reach in (
        ("shape", config.identity, config.identity_range),
        ("expression", config.expression, config.expression_range),
    ):
        if count:
            found.append(_evenly(f"flame.{name}", f"flame_{name}", -reach, reach, "standard deviations"))
    return tuple(found)


def _evenly(name: str, key: str, low: float, high: float, unit: str) -> Factor:
    return Factor(name, (f"parameters.{key}",), "uniform", low=low, high=high, unit=unit, source=_PAPER)


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)
