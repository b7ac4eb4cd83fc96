"""FLAME as a head, from the licensed files the user has added."""

from __future__ import annotations

from pathlib import Path

from synthforge.assets.registry import find_asset
from synthforge.core.catalogue import FileNeed
from synthforge.core.errors import AssetError, ConfigError

from .formats import read_flame, read_landmark_embedding, read_masks, read_texture_layout
from .head import FlameHead
from .regions import FlameRegions, read_painted_regions, regions_from_masks

EDITIONS = ("flame2020", "flame2023", "flame2023-open")


def load_flame_head(edition: str = "flame2020", painted: str = "") -> FlameHead:
    """Read model, landmarks and, where they have been added, regions and texture layout.

    edition: one of `EDITIONS`; painted: path of a painted UV label map (`flame_regions.read_painted_regions`), or
    empty to draw brows, lips and mouth around the landmarks.
    Raises: AssetError naming the file that is missing, ConfigError for an unknown edition.
    """
    if edition not in EDITIONS:
        raise ConfigError(f"there is no FLAME edition '{edition}'", hint=f"Known: {', '.join(EDITIONS)}.")
    model = read_flame(find_asset(edition))
    embedding = read_landmark_embedding(find_asset("flame-landmarks"), len(model.faces))
    masks_file = _optional("flame-masks")
    layout_file = find_asset("flame-texture") if painted else _optional("flame-texture")
    layout = read_texture_layout(layout_file, len(model.faces)) if layout_file else None
    regions: FlameRegions | None = None
    if masks_file is not None:
        regions = regions_from_masks(model, read_masks(masks_file, len(model.template)), embedding, layout)
        if painted:
            regions = FlameRegions(regions.face_class, read_painted_regions(painted), layout)
    return FlameHead(model, embedding, regions)


def flame_files(edition: str, painted: str = "", *, regions: bool | None = None) -> list[FileNeed]:
    """The files that `load_flame_head` reads.

    regions: whether the head's regions are used, and so the masks needed; None for as soon as label maps are asked for.
    """
    return [
        FileNeed(edition),
        FileNeed("flame-landmarks"),
        FileNeed("flame-masks", optional=regions is False, fields=("label",) if regions is None else ()),
        FileNeed("flame-texture", optional=not painted),
        *([FileNeed(path=painted)] if painted else []),
    ]


def _optional(name: str) -> Path | None:
    try:
        return find_asset(name)
    except AssetError:
        return None
