"""Registers the parametric head `flame`, whose files the user brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthforge.assets.registry import Asset
from synthforge.core.catalogue import FileNeed
from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .head import FlameHead


@dataclass
class FlameHeadConfig:
    """The FLAME head."""

    edition: str = key("flame2020", "Edition of FLAME.", choices=("flame2020", "flame2023", "flame2023-open"))
    painted: str = key(
        "", "UV label map in the schema `flame20` (PNG); empty draws brows, lips and mouth around the landmarks."
    )


def build_head(config: FlameHeadConfig) -> FlameHead:
    """The head; raises AssetError that says which file is missing and where to get it."""
    from .assets import load_flame_head

    return load_flame_head(config.edition, config.painted)


def write_fake_files(folder: Path) -> dict[str, Path]:
    """A made-up head in FLAME's formats, by asset name."""
    from .fake import write_flame_assets

    return write_flame_assets(folder)


def files(config: FlameHeadConfig) -> list[FileNeed]:
    """Model, landmarks, regions and texture layout."""
    from .assets import flame_files

    return flame_files(config.edition, config.painted)


@hookimpl
def register_heads(register: Register) -> None:
    """Offer the head `flame`."""
    register(
        "flame",
        build_head,
        config=FlameHeadConfig,
        summary="FLAME with identity, expression, jaw, eyes and neck; needs files that you download yourself",
        licence="FLAME: MPI non-commercial, or CC BY 4.0 for edition 2023 Open",
        fake=write_fake_files,
        files=files,
    )


def _check_model(path: Path) -> None:
    from .formats import read_flame

    read_flame(path)


def _check_landmarks(path: Path) -> None:
    from .formats import FACES, read_landmark_embedding

    read_landmark_embedding(path, FACES)


def _check_masks(path: Path) -> None:
    from .formats import VERTICES, read_masks

    read_masks(path, VERTICES)


def _check_texture(path: Path) -> None:
    from .formats import FACES, read_texture_layout

    read_texture_layout(path, FACES)


_FLAME_SITE = "https://flame.is.tue.mpg.de (registration)"
_NON_COMMERCIAL = "MPI non-commercial scientific research licence"
_EDITIONS = (
    ("flame2020", "2020", _NON_COMMERCIAL),
    ("flame2023", "2023", _NON_COMMERCIAL),
    ("flame2023-open", "2023 Open", "CC BY 4.0"),
)
ASSETS = (
    *(
        Asset(
            name,
            f"flame/{name.replace('-', '_')}/generic_model.pkl",
            f"head `flame`, edition {edition}",
            _FLAME_SITE,
            licence,
            licence != _NON_COMMERCIAL,
            _check_model,
            edition=edition,
        )
        for name, edition, licence in _EDITIONS
    ),
    Asset(
        "flame-landmarks",
        "flame/landmark_embedding.npy",
        "68 landmarks on FLAME's mesh",
        "https://github.com/yfeng95/DECA (data folder)",
        _NON_COMMERCIAL,
        False,
        _check_landmarks,
    ),
    Asset(
        "flame-masks",
        "flame/FLAME_masks.pkl",
        "regions on FLAME's mesh, for segmentation",
        _FLAME_SITE,
        _NON_COMMERCIAL,
        False,
        _check_masks,
    ),
    Asset(
        "flame-texture",
        "flame/FLAME_texture.npz",
        "FLAME's texture layout (`vt`, `ft`), for painted classes",
        _FLAME_SITE,
        "CC BY-NC-SA 4.0",
        False,
        _check_texture,
    ),
)


@hookimpl
def register_assets(register: Callable[[Asset], None]) -> None:
    """Offer the editions of FLAME and its landmarks, regions and texture layout."""
    for asset in ASSETS:
        register(asset)
