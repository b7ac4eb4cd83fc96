"""The generator `eg3d`: faces with depth, on weights that the user brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthforge.core.catalogue import FileNeed
from synthforge.core.hookspecs import hookimpl

from .settings import EG3DConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .generator import EG3DGenerator


def build(config: EG3DConfig) -> EG3DGenerator:
    """The generator; the weights are read at the first rendering."""
    from .generator import EG3DGenerator

    return EG3DGenerator(config)


def files(config: EG3DConfig) -> list[FileNeed]:
    """The checkpoint."""
    return [FileNeed("eg3d-ffhq", path=config.checkpoint)]


@hookimpl
def register_generators(register: Register) -> None:
    """Offer the generator `eg3d`."""
    register(
        "eg3d",
        build,
        config=EG3DConfig,
        summary="EG3D: photographic faces with metric depth and no mesh; needs weights you download yourself",
        licence="published weights: NVIDIA Source Code License, non-commercial",
        files=files,
    )
