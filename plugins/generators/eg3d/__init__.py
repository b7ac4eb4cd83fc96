"""The generator `eg3d`: faces with depth, on weights that the user brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from synthforge.assets.registry import Asset, check_stylegan
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


@hookimpl
def register_assets(register: Callable[[Asset], None]) -> None:
    """Offer its checkpoint."""
    register(
        Asset(
            "eg3d-ffhq",
            "eg3d/ffhq512-128.pkl",
            "generator `eg3d`: weights trained on FFHQ at 512, neural resolution 128",
            "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/eg3d",
            "NVIDIA Source Code License (non-commercial)",
            False,
            check_stylegan,
            edition="FFHQ 512-128",
            forms=(".safetensors",),
        )
    )
