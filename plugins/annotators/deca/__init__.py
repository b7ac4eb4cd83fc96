"""The annotator `deca`: the paper's baseline, labels estimated from the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synthforge.assets.registry import Asset
from synthforge.core.catalogue import FileNeed
from synthforge.core.errors import AssetError
from synthforge.core.hookspecs import hookimpl

from .settings import DecaConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .annotator import DecaAnnotator


def build(config: DecaConfig) -> DecaAnnotator:
    """The annotator; its weights are read at the first picture."""
    from .annotator import DecaAnnotator

    return DecaAnnotator(config)


def write_fake_files(folder: Path) -> dict[str, Path]:
    """An encoder with random weights and a made-up head, in the official formats, by asset name."""
    from ...heads.flame.fake import write_flame_assets
    from .fake import random_encoder, write_deca

    return {**write_flame_assets(folder), "deca": write_deca(folder / "deca_model.tar", random_encoder())}


def files(config: DecaConfig) -> list[FileNeed]:
    """The encoder and FLAME; its regions for the dense labels alone."""
    from ...heads.flame.assets import flame_files

    return [FileNeed("deca"), *flame_files(config.edition, regions=config.dense)]


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `deca`."""
    register(
        "deca",
        build,
        config=DecaConfig,
        summary="landmarks and FLAME parameters estimated by DECA (the paper's baseline); needs files you download",
        licence="DECA and FLAME: MPI non-commercial",
        fake=write_fake_files,
        files=files,
    )


def _check_encoder(path: Path) -> None:
    from synthforge.assets.torch_checkpoint import read_torch_checkpoint

    if "E_flame" not in read_torch_checkpoint(path):
        raise AssetError(f"{path}: has no entry E_flame, the coarse encoder of DECA")


@hookimpl
def register_assets(register: Callable[[Asset], None]) -> None:
    """Offer the weights of its encoder."""
    register(
        Asset(
            "deca",
            "deca/deca_model.tar",
            "annotator `deca`: weights of the coarse encoder",
            "https://github.com/yfeng95/DECA (link in its README)",
            "MPI non-commercial scientific research licence",
            False,
            _check_encoder,
            edition="coarse",
        )
    )
