"""Checks of what plugins return: counts, types, shapes, ids and finiteness.

The checks raise PluginError, which names the plugin, and seed and index of the sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import PluginError
from .records import Field, Rendering, Scene, Verdict
from .schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS

# (dtype, shape) of each kind of field; None is any length, H and W are the image's.
_KINDS: dict[str, tuple[type, tuple[Any, ...]]] = {
    "image": (np.uint8, ("H", "W", 3)),
    "label": (np.uint8, ("H", "W")),
    "depth": (np.float32, ("H", "W")),
    "normals": (np.float32, ("H", "W", 3)),
    "uv": (np.float32, ("H", "W", 2)),
    "flow": (np.float32, ("H", "W", 2)),
    "matte": (np.float32, ("H", "W")),
    "points2d": (np.float32, (None, 2)),
    "points3d": (np.float32, (None, 3)),
    "directions": (np.float32, (None, 3)),
    "flags": (np.bool_, (None,)),
}


def check_scene(generator: str, scene: Any, seed: int, index: int) -> None:
    """Check that a plugin returned a Scene with the requested seed and index."""
    place = f"the generator '{generator}' at seed {seed}, index {index}: `sample`"
    if not isinstance(scene, Scene):
        raise PluginError(f"{place} returned {_what(scene)}, not a Scene", hint="Is a `return` missing?")
    if scene.index != index:
        raise PluginError(f"{place} returned the scene of index {scene.index}")


def check_renderings(generator: str, scenes: Sequence[Scene], renderings: Any, resolution: int) -> None:
    """Check that there is a rendering for each scene, in order, with arrays of matching shapes and finite numbers."""
    first = scenes[0]
    place = f"the generator '{generator}' at seed {first.seed}, index {first.index}: `render`"
    if not isinstance(renderings, Sequence) or not all(isinstance(item, Rendering) for item in renderings):
        raise PluginError(
            f"{place} returned {_what(renderings)}, not a list of Rendering", hint="Is a `return` missing?"
        )
    if len(renderings) != len(scenes):
        raise PluginError(f"{place} returned {len(renderings)} renderings for {len(scenes)} scenes")
    for scene, rendering in zip(scenes, renderings, strict=True):
        given = rendering.scene
        place = f"the generator '{generator}' at seed {scene.seed}, index {scene.index}"
        if (given.seed, given.index) != (scene.seed, scene.index):
            raise PluginError(f"{place}: `render` returned seed {given.seed}, index {given.index} in its place")
        for name, problem in _rendering_problems(rendering, resolution):
            raise PluginError(f"{place}: {name} {problem}")


def _rendering_problems(rendering: Rendering, resolution: int) -> Any:
    size = (resolution, resolution)
    yield from _problem("image", rendering.image, "image", size)
    for schema, labels in rendering.labels.items():
        yield from _problem(f"labels['{schema}']", labels, "label", size, schema)
    if rendering.depth is not None:
        yield from _problem("depth", rendering.depth, "depth", size)
    for schema, points in rendering.points.items():
        if np.shape(points)[1:] != (3,):
            yield f"points['{schema}']", f"are of shape {np.shape(points)}, not (N, 3)"
    surface = rendering.surface
    if surface is not None:
        for name in ("face_id", "z"):
            found = getattr(surface, name)
            if found.shape != size:
                yield f"surface.{name}", f"is of shape {found.shape}, the image of {size}"
        if surface.face_id.size and int(surface.face_id.max()) >= len(surface.faces):
            yield "surface.face_id", f"names face {int(surface.face_id.max())} of {len(surface.faces)}"
        for name in ("vertices", "z"):
            if not np.isfinite(getattr(surface, name)).all():
                yield f"surface.{name}", "is not finite"


def check_annotations(annotator: str, fields: Sequence[Field], found: Any, rendering: Rendering) -> None:
    """Check that there is one finite value for each field of the annotator, of the declared kind, shape and schema."""
    scene = rendering.scene
    place = f"the annotator '{annotator}' at seed {scene.seed}, index {scene.index}"
    if not isinstance(found, Mapping):
        raise PluginError(f"{place}: `annotate` returned {_what(found)}, not a dict", hint="Is a `return` missing?")
    names = {item.name for item in fields}
    if found.keys() != names:
        lacking, stray = sorted(names - found.keys()), sorted(found.keys() - names)
        what = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has {', '.join(stray)} besides"] * bool(stray)
        raise PluginError(f"{place}: what `annotate` returned {' and '.join(what)}; declared: {sorted(names)}")
    height, width = rendering.image.shape[:2]
    flags = {item.schema: found[item.name] for item in fields if item.kind == "flags"}
    for item in fields:
        value = found[item.name]
        for name, problem in _problem(item.name, value, item.kind, (height, width), item.schema):
            raise PluginError(f"{place}: {name} {problem}")
        if item.kind in ("points2d", "points3d") and value is not rendering.stored.get(item.name):
            unknown = np.isnan(value).any(-1)
            seen = flags.get(item.schema)
            if unknown.any() and (seen is None or len(seen) != len(unknown) or (unknown & seen).any()):
                which = np.flatnonzero(unknown)[:5].tolist()
                raise PluginError(
                    f"{place}: {item.name} has NaN at {which}",
                    hint="NaN is only for undefined points; their flag of the same schema must be False.",
                )


def check_verdict(name: str, verdict: Any, scene: Scene) -> None:
    """Check that a plugin returned a Verdict with finite figures."""
    place = f"the filter '{name}' at seed {scene.seed}, index {scene.index}: `judge`"
    if not isinstance(verdict, Verdict):
        raise PluginError(f"{place} returned {_what(verdict)}, not a Verdict", hint="Is a `return` missing?")
    for key, value in verdict.figures.items():
        if not math.isfinite(value):
            raise PluginError(f"{place}: the figure '{key}' is {value}")


def _problem(name: str, value: Any, kind: str, size: tuple[int, int], schema: str = "") -> Any:
    """What is wrong with a value of a kind of field, as (name, problem), at most one."""
    if kind not in _KINDS:
        return
    dtype, shape = _KINDS[kind]
    wanted = tuple({"H": size[0], "W": size[1]}.get(n, n) for n in shape)
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        yield name, f"is {_what(value)}, not an array of {np.dtype(dtype).name}"
    elif value.ndim != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, value.shape, strict=True)):
        expected = ", ".join("N" if n is None else str(n) for n in wanted)
        yield name, f"is of shape {value.shape}, not ({expected})"
    elif kind == "label":
        stray = stray_ids(value, schema)
        if stray:
            yield name, f"holds the class ids {stray}, which the schema '{schema}' lacks"
    elif kind in ("depth", "normals", "uv", "matte") and not np.isfinite(value).all():
        yield name, "holds values that are not finite; use 0 for pixels without a value"
    elif kind == "directions" and not are_unit(value):
        yield name, "holds vectors whose length is not 1"
    elif (kind.startswith("points") or kind == "flow") and np.isinf(value).any():
        yield name, "holds infinite coordinates"
    elif schema in POINT_SCHEMAS and len(value) != len(POINT_SCHEMAS[schema]):
        yield name, f"has {len(value)} entries, the schema '{schema}' {len(POINT_SCHEMAS[schema])}"


def are_unit(vectors: np.ndarray) -> bool:
    """Whether vectors (N,3) all have length 1, to 1e-4."""
    return bool((np.abs(np.linalg.norm(vectors, axis=-1) - 1) < 1e-4).all())


def stray_ids(labels: np.ndarray, schema: str) -> list[int]:
    """Class ids in a uint8 array that its schema lacks. IGNORE is always allowed; an unregistered schema allows all."""
    known = CLASS_SCHEMAS.get(schema)
    if known is None or labels.max(initial=0) < len(known):  # enough for most maps; the count below is six times slower
        return []
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
    return [i for i in ids if len(known) <= i != IGNORE]


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype.name}"
    return "nothing" if value is None else f"a {type(value).__name__}"
