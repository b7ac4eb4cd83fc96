"""A third party's variant of the generator `anny`: further factors of skin, glasses and film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors import (
    AnnyConfig,
    Distribution,
    FilmConfig,
    GlassesConfig,
    SkinConfig,
    Speckle,
    Stain,
    constant,
    factor,
    uniform,
)

from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl


@dataclass
class SunburntSkin(SkinConfig):
    """Skin that was too long in the sun."""

    sunburn: Distribution = factor(  # noqa: RUF009
        uniform(0.0, 0.8),
        "Strength of sunburn on cheeks, nose and ears.",
        low=0,
        high=1,
        source="a choice",
        stain=Stain(where=lambda anatomy: anatomy.blush, colour=(1.0, 0.5, 0.45)),
    )
    peeling: Distribution = factor(  # noqa: RUF009
        constant(0.0),
        "Strength of pale spots where skin peels.",
        stain=Stain(lambda anatomy: anatomy.blush, (1.6, 1.7, 1.7), Speckle(channel=1, low=0.2, high=0.5)),
    )


def dim(parameters: dict[str, Any], value: float) -> None:
    """Sunglasses that everyone wears, so dark."""
    parameters["glasses"] |= {"worn": True, "sun": True, "tint": value} if value else {}


def flare(light: Any, value: float) -> None:
    """Light that the lens spreads over the whole picture, as a share of the mean."""
    light += value * light.mean()


@dataclass
class SunnyGlasses(GlassesConfig):
    """Glasses in the sun."""

    dark: Distribution = factor(constant(0.0), "Opacity of the sunglasses that everyone wears.", change=dim)  # noqa: RUF009


@dataclass
class SunnyFilm(FilmConfig):
    """A picture against the sun."""

    flare: Distribution = factor(constant(0.0), "Share of light that the lens spreads evenly.", exposed=flare)  # noqa: RUF009


@dataclass
class SunburntConfig(AnnyConfig):
    """`anny` with that skin."""

    skin: SunburntSkin = key(SunburntSkin, "Pigments of the skin, and sunburn.")
    glasses: SunnyGlasses = key(SunnyGlasses, "Glasses.")
    film: SunnyFilm = key(SunnyFilm, "From light to bytes.")


@hookimpl
def register_generators(register: Any) -> None:
    """Offer the generator `sunburnt`."""
    register("sunburnt", build, config=SunburntConfig, summary="anny with sunburn", licence="Apache-2.0")
