"""What the contract suite needs besides the plugin it checks: made-up files, data, renderings and annotations.

`unittest.SkipTest`, which pytest shows as skipped, says what of the user's is missing.
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..assets.registry import VARIABLE, add_asset, find_asset
from ..core.boundary import who
from ..core.catalogue import Entry
from ..core.errors import AnnotationError, AssetError, PluginError, UserError
from ..core.interfaces import Annotator, Benchmark, Filter
from ..core.plugins import Plugins
from ..core.records import Field, FieldKind, Rendering
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS


@contextmanager
def made_up_files(entry: Entry) -> Iterator[None]:
    """Licensed files that the plugin can fake, in a folder of their own."""
    if entry.fake is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = f"{folder}/assets"
        try:
            for name, path in entry.fake(Path(folder)).items():
                add_asset(name, path)
            yield
        finally:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before


def build(plugins: Plugins, kind: str, reference: str | Mapping[str, Any]) -> Any:
    """The plugin; SkipTest where something of the user's is missing."""
    try:
        bound = plugins.bind(kind, reference, where=kind)
        for need in bound.files:
            if need.asset and not (need.path or need.optional or need.fields):
                find_asset(need.asset)
        return bound.built
    except PluginError as error:
        if isinstance(error.__cause__, ImportError) or "is not installed" in error.message:
            raise unittest.SkipTest(error.message) from error
        raise
    except UserError as error:  # at its defaults it asks for data or a licensed file; given keys must be right
        if isinstance(reference, str) or isinstance(error, AssetError):
            raise unittest.SkipTest(f"{error.message}: give `reference` as a mapping with its keys") from error
        raise


def stood_in(plugins: Plugins, name: str, root: str) -> Benchmark | None:
    """The benchmark on a stand-in of made-up samples in `root`, or None where it cannot write one there."""
    reference = {"name": name, "root": root}
    try:
        benchmark: Benchmark = plugins.build("benchmark", reference)
    except UserError:  # it has no `root`, or wants more
        return None
    if type(benchmark).write_stand_in is Benchmark.write_stand_in:
        return None
    benchmark.write_stand_in(_made_up_samples(plugins, benchmark.schema), {})
    stood_in: Benchmark = plugins.build("benchmark", reference)
    assert stood_in.stand_in, "`stand_in` is empty where its own `write_stand_in` has laid out made-up faces"
    return stood_in


def _made_up_samples(plugins: Plugins, schema: str) -> Iterator[dict[str, Any]]:
    """Noise with labels in a schema, in the fields that annotators write."""
    points = len(POINT_SCHEMAS[schema]) if schema in POINT_SCHEMAS else 0
    classes = len(CLASS_SCHEMAS[schema]) if schema in CLASS_SCHEMAS else 1
    makers: dict[FieldKind, Callable[[np.random.Generator], np.ndarray]] = {
        "points2d": lambda rng: rng.uniform(4, 60, (points, 2)).astype(np.float32),
        "label": lambda rng: rng.integers(0, classes, (64, 64), dtype=np.uint8),
        "depth": lambda rng: rng.uniform(0.4, 0.6, (64, 64)).astype(np.float32),
    }
    fields: list[Field] = []
    for entry in plugins.catalogues["annotator"]:
        with suppress(UserError):  # it wants keys
            fields += plugins.build("annotator", entry.name).fields
    for index in itertools.count():
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        yield {"image": image, **{item.name: makers[item.kind](rng) for item in fields if item.kind in makers}}


def _renderings(plugins: Plugins) -> Iterator[Rendering]:
    """One rendering of each registered generator that can be built here; those that need no files first."""
    for entry in sorted(plugins.catalogues["generator"], key=lambda entry: entry.files is not None):
        rendering = _rendering_of(plugins, entry.name)
        if rendering is not None:
            yield rendering


@functools.lru_cache(maxsize=8)
def _rendering_of(plugins: Plugins, name: str) -> Rendering | None:
    entry = plugins.entry("generator", name)
    with suppress(Exception, unittest.SkipTest), made_up_files(entry):  # its own check says what is wrong with it
        generator = build(plugins, "generator", name)
        rendering: Rendering = generator.render([generator.sample(3, 1)], 96)[0]
        return rendering
    return None


def rendering_for(plugins: Plugins, annotator: Annotator) -> Rendering:
    """The first rendering that has what the annotator reads."""
    for rendering in _renderings(plugins):
        with suppress(AnnotationError):
            annotator.annotate(rendering)
            return rendering
    raise unittest.SkipTest(f"no registered generator makes what {who(annotator)} reads; give `rendering`")


def annotated(plugins: Plugins, judge: Filter) -> tuple[Rendering, dict[str, Any]]:
    """A rendering with the annotations that the filter reads, by registered annotators at their defaults."""
    for rendering in _renderings(plugins):
        annotations: dict[str, Any] = {}
        for entry in plugins.catalogues["annotator"]:
            with suppress(Exception):
                annotator = plugins.build("annotator", entry.name)
                if {item.name for item in annotator.fields} & set(judge.fields):
                    annotations |= annotator.annotate(rendering)
        if set(judge.fields) <= set(annotations):
            return rendering, annotations
    raise unittest.SkipTest(f"no registered annotator writes what {who(judge)} reads: {', '.join(judge.fields)}")
