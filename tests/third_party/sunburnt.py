"""A third party's variant of the generator `anny`: its skin has one factor more, and the factor colours the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors import AnnyConfig, Distribution, SkinConfig, Stain, factor, uniform

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


@dataclass
class SunburntConfig(AnnyConfig):
    """`anny` with that skin."""

    skin: SunburntSkin = key(SunburntSkin, "Pigments of the skin, and sunburn.")


@hookimpl
def register_generators(register: Any) -> None:
    """Offer the generator `sunburnt`."""
    register("sunburnt", build, config=SunburntConfig, summary="anny with sunburn", licence="Apache-2.0")
