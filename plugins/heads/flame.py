"""Registers the parametric head `flame`, whose files the user brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthforge.core.catalogue import FileNeed
from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register
    from synthforge.heads.flame import FlameHead


@dataclass
class FlameHeadConfig:
    """The FLAME head."""

    edition: str = key("flame2020", "Edition of FLAME.", choices=("flame2020", "flame2023", "flame2023-open"))
    painted: str = key(
        "", "UV label map in the schema `flame20` (PNG); empty draws brows, lips and mouth around the landmarks."
    )


def build(config: FlameHeadConfig) -> FlameHead:
    """The head; raises AssetError that says which file is missing and where to get it."""
    from synthforge.heads.flame_assets import load_flame_head

    return load_flame_head(config.edition, config.painted)


def write_fake_files(folder: Path) -> dict[str, Path]:
    """A made-up head in FLAME's formats, by asset name."""
    from synthforge.testing.fake_files import write_flame_assets

    return write_flame_assets(folder)


def files(config: FlameHeadConfig) -> list[FileNeed]:
    """Model, landmarks, regions and texture layout."""
    from synthforge.heads.flame_assets import flame_files

    return flame_files(config.edition, config.painted)


@hookimpl
def register_heads(register: Register) -> None:
    """Offer the head `flame`."""
    register(
        "flame",
        build,
        config=FlameHeadConfig,
        summary="FLAME with identity, expression, jaw, eyes and neck; needs files that you download yourself",
        licence="FLAME: MPI non-commercial, or CC BY 4.0 for edition 2023 Open",
        fake=write_fake_files,
        files=files,
    )
