"""The generator `next3d`: the paper's own, on weights and a head that the user brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synthforge.assets.registry import Asset, check_stylegan
from synthforge.core.catalogue import FileNeed
from synthforge.core.hookspecs import hookimpl

from .settings import Next3DConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .generator import Next3DGenerator


def build(config: Next3DConfig) -> Next3DGenerator:
    """The generator; files are read at the first rendering."""
    from .generator import Next3DGenerator

    return Next3DGenerator(config)


def write_fake_files(folder: Path) -> dict[str, Path]:
    """A small checkpoint with random weights and a made-up head, in the official formats, by asset name."""
    from ...heads.flame.fake import write_flame_assets
    from .fake import write_fake_checkpoint

    return {**write_flame_assets(folder), "next3d-ffhq": write_fake_checkpoint(folder / "next3d.pkl")}


def files(config: Next3DConfig) -> list[FileNeed]:
    """The checkpoint, the mask of the neural texture, FLAME, and the user's alignment."""
    from ...heads.flame.assets import flame_files

    alignment = [FileNeed(path=config.alignment)] if config.alignment else []
    checkpoint = FileNeed("next3d-ffhq", path=config.checkpoint)
    return [checkpoint, FileNeed("uv-face-mask"), *flame_files(config.edition, config.painted), *alignment]


@hookimpl
def register_generators(register: Register) -> None:
    """Offer the generator `next3d`."""
    register(
        "next3d",
        build,
        config=Next3DConfig,
        summary="Next3D (the paper's generator): photographic faces on FLAME's mesh; needs files you download yourself",
        licence="published weights: NVIDIA Source Code License, non-commercial; FLAME: by edition",
        fake=write_fake_files,
        files=files,
    )


def _check_mask(path: Path) -> None:
    from ...heads.flame.formats import read_uv_mask

    read_uv_mask(path)


@hookimpl
def register_assets(register: Callable[[Asset], None]) -> None:
    """Offer its checkpoint and the mask of the neural texture."""
    register(
        Asset(
            "next3d-ffhq",
            "next3d/next3d_ffhq_512.pkl",
            "generator `next3d`: weights trained on FFHQ at 512",
            "https://github.com/MrTornado24/Next3D (links in its README)",
            "Next3D: NVIDIA Source Code License (non-commercial); made with FFHQ (CC BY-NC-SA 4.0)",
            False,
            check_stylegan,
            edition="FFHQ 512",
            forms=(".safetensors",),
        )
    )
    register(
        Asset(
            "uv-face-mask",
            "flame/uv_face_eye_mask.png",
            "generator `next3d`: which texels of the neural texture belong to the face (PNG, or .npz with `mask`)",
            "https://github.com/yfeng95/DECA (data folder)",
            "MPI non-commercial scientific research licence",
            False,
            _check_mask,
            forms=(".npz",),
        )
    )
