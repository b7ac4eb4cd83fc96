"""Every first-party plugin keeps the contract third parties are held to."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from synthforge import testing
from synthforge.core.catalogue import KINDS
from synthforge.core.plugins import Plugins, load_plugins
from synthforge.core.records import Rendering


@cache
def _plugins() -> Plugins:
    return load_plugins(strict=True)


@cache
def _rendering() -> Rendering:
    generator = _plugins().build("generator", "anny")
    return generator.render([generator.sample(3, 1)], 96)[0]


ENTRIES = [(kind, name) for kind in KINDS for name in load_plugins().catalogues[kind].names()]
# What needs licensed files, an existing dataset or photographs is checked where such data is made.
BUILDABLE = {
    ("head", "anny"),
    ("generator", "anny"),
    ("task", "keypoints"),
    ("task", "segmentation"),
    ("task", "depth"),
    ("task", "normals"),
    ("annotator", "landmarks"),
    ("annotator", "segmentation"),
    ("annotator", "depth"),
    ("annotator", "normals"),
    ("filter", "visible"),
}


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_registration(kind: str, name: str) -> None:
    testing.check_entry(_plugins().entry(kind, name))


@pytest.mark.parametrize(("kind", "name"), sorted(BUILDABLE))
def test_contract(kind: str, name: str) -> None:
    arguments: dict[str, Any] = {"rendering": _rendering()} if kind in ("annotator", "filter") else {}
    if kind == "filter":
        arguments["annotations"] = _plugins().build("annotator", "landmarks").annotate(_rendering())
    testing.check_plugin(_plugins(), kind, name, **arguments)


def test_a_contract_that_is_broken_is_found() -> None:
    generator = _plugins().build("generator", "anny")
    generator.sample = lambda seed, index, draw=generator.sample: draw(seed, 0)
    with pytest.raises(AssertionError, match=r"two indices|own seed and index"):
        testing.check_generator(generator)


def test_a_filter_that_meddles_is_found() -> None:
    annotations = _plugins().build("annotator", "landmarks").annotate(_rendering())
    judge = _plugins().build("filter", "visible")
    honest = judge.judge

    def meddling(rendering: Rendering, seen: Any) -> Any:
        seen["landmarks2d"][0] += 1
        return honest(rendering, seen)

    judge.judge = meddling
    with pytest.raises(AssertionError, match=r"changed the annotation 'landmarks2d'|judged otherwise"):
        testing.check_filter(judge, _rendering(), annotations)
