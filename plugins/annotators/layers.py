"""What a picture is blended from: albedo, and the mattes of hair, facial hair and glasses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.images import to_srgb
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import MATTES, Field, Layers, Rendering

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


class AlbedoAnnotator(Annotator):
    """The colours of things under even white light."""

    fields = (
        Field("albedo", "image", "sRGB", description="diffuse albedo as bytes of sRGB, black where there is nothing"),
    )

    def __init__(self, config: NoKeys) -> None: ...

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        return {"albedo": to_srgb(layers_of(rendering, "albedo").albedo)}


class MattesAnnotator(Annotator):
    """How much of what is behind them hair, facial hair and glasses cover at each pixel's centre."""

    fields = tuple(
        Field(f"{name}_matte", "matte", description=f"opacity of {name}, as it was blended") for name in MATTES
    )

    def __init__(self, config: NoKeys) -> None: ...

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        mattes = layers_of(rendering, "mattes").mattes
        return {f"{name}_matte": np.ascontiguousarray(np.clip(mattes[name], 0, 1)) for name in MATTES}


def layers_of(rendering: Rendering, name: str) -> Layers:
    """The layers of a rendering. Raises AnnotationError where its generator blends none."""
    if rendering.layers is None:
        raise AnnotationError(
            f"{name} needs the layers that a picture is blended from; this rendering has none",
            hint=f"Leave the annotator '{name}' out, or choose a generator that gives `Rendering.layers`.",
        )
    return rendering.layers()


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotators `albedo` and `mattes`."""
    offered: tuple[tuple[str, Callable[..., Annotator], str], ...] = (
        ("albedo", AlbedoAnnotator, "diffuse colours of things, without light"),
        ("mattes", MattesAnnotator, "opacity of hair, facial hair and glasses"),
    )
    for name, build, summary in offered:
        register(name, build, config=NoKeys, summary=summary)
