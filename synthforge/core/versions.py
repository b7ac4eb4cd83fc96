"""Versions of what makes results: recorded in every manifest and part of every fingerprint."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("synthforge", "numpy", "torch", "warp-lang", "anny", "kornia", "timm", "lightning", "pillow")


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions by distribution name; what is not installed is left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
