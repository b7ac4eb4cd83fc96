"""Every first-party plugin keeps the contract third parties are held to."""

from __future__ import annotations

import unittest
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from synthforge import testing
from synthforge.core.catalogue import PLUGIN_KINDS
from synthforge.core.errors import UserError
from synthforge.core.plugins import Plugins, load_plugins
from synthforge.core.records import Rendering
from synthforge.datasets.formats import FORMATS


@cache
def _plugins() -> Plugins:
    return load_plugins(strict=True)


@cache
def _rendering() -> Rendering:
    generator = _plugins().build("generator", "anny")
    return generator.render([generator.sample(3, 1)], 96)[0]


ENTRIES = [(kind, name) for kind in PLUGIN_KINDS for name in load_plugins().catalogues[kind].names()]
#: the user's own data, a licensed file that none can fake, or a package that not everybody has
ASKS = {"lapa", "lapa-landmarks", "celebamask-hq", "lapa-d", "synthetic", "eg3d", "recorded", "stored", "detector"}
#: starting a cluster takes long: tests/executors/test_ray.py
ELSEWHERE = {"ray"}


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_registration(kind: str, name: str) -> None:
    testing.check_entry(_plugins().entry(kind, name))


@pytest.mark.parametrize(("kind", "name"), [each for each in ENTRIES if not (ASKS | ELSEWHERE).intersection(each)])
def test_contract(kind: str, name: str) -> None:
    testing.check_plugin(_plugins(), kind, name)


@pytest.mark.parametrize(("kind", "name"), [each for each in ENTRIES if ASKS.intersection(each)])
def test_what_the_user_must_bring_is_named(kind: str, name: str) -> None:
    with suppress(unittest.SkipTest):
        testing.check_plugin(_plugins(), kind, name)


@pytest.mark.parametrize("name", list(FORMATS))
def test_formats_keep_their_contract(name: str) -> None:
    try:
        FORMATS[name].check_installed()
    except UserError as error:
        pytest.skip(error.message)
    testing.check_format(FORMATS[name])


MISTAKES = """
from dataclasses import dataclass
import numpy as np
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, Filter, Generator, Task
from synthforge.core.records import Field, Scene, Verdict

@dataclass
class Config:
    number: int = 1

class Lists(Annotator):
    fields = (Field("found", "depth"),)
    def annotate(self, rendering): return [1]

class Kindless(Annotator):
    fields = (Field("found", "depth"),)
    def annotate(self, rendering): return {"found": "no array"}

class Raises(Annotator):
    fields = (Field("found", "depth"),)
    def annotate(self, rendering): return rendering.nothing

class Forgets(Filter):
    def judge(self, rendering, annotations): Verdict(True)

class Half(Generator):
    def sample(self, seed, index): return Scene(seed, index, {})

class Numbers(Generator):
    def __init__(self, config): pass
    def sample(self, seed, index): return 3
    def render(self, scenes, resolution): return []

@hookimpl
def register_annotators(register):
    for name, plugin in (("lists", Lists), ("kindless", Kindless), ("raises", Raises)):
        register(name, lambda config, plugin=plugin: plugin(), config=Config, summary="wrong")

@hookimpl
def register_filters(register):
    register("forgets", lambda config: Forgets(), config=Config, summary="wrong")

@hookimpl
def register_generators(register):
    register("half", lambda config: Half(), config=Config, summary="wrong")
    register("numbers", Numbers, config=Config, summary="wrong")
"""


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("annotator", "lists", r"annotator 'lists'.*`annotate` returned a list, not a dict"),
        ("annotator", "kindless", r"annotator 'kindless'.*found is a str, not an array of float32"),
        ("annotator", "raises", r"annotator 'raises'.*Raises\.annotate raised AttributeError.*mistakes\.py:21"),
        ("filter", "forgets", r"filter 'forgets'.*Forgets\.judge returned nothing.*mistakes\.py:24"),
        ("generator", "half", r"generator 'half'.*abstract.*render"),
        ("generator", "numbers", r"generator 'numbers'.*`sample` returned a int, not a Scene"),
        ("annotator", "nobody", r"annotator 'nobody': there is no annotator called 'nobody'"),
        ("anotator", "lists", r"there is no kind 'anotator'"),
    ],
)
def test_every_mistake_is_an_assertion_with_plugin_and_method(tmp_path: Path, kind: str, name: str, said: str) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES.lstrip())
    plugins = load_plugins(["./mistakes.py"], base=tmp_path)
    with pytest.raises(AssertionError, match=said):
        testing.check_plugin(plugins, kind, name)


def test_a_contract_that_is_broken_is_found() -> None:
    generator = _plugins().build("generator", "anny")
    generator.sample = lambda seed, index, draw=generator.sample: draw(seed, 0)
    with pytest.raises(AssertionError, match=r"two indices|returned the scene of index 0"):
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
