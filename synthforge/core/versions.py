"""Versions of what makes results: recorded in every manifest and fingerprint."""

from __future__ import annotations

import functools
from collections.abc import Mapping
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


def other_versions(made_with: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Versions that differ between a result and this machine: (theirs, here) by name; "none": not installed."""
    here = versions()
    pairs = {name: (made_with.get(name, "none"), here.get(name, "none")) for name in PACKAGES}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
