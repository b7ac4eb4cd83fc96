"""Label schemas as data: class names and colours, point names, left/right pairs, and mappings between schemas.

Plugins register them (`hookspecs.register_schemas`, `register_mappings`); annotators, tasks, benchmarks, flips, plots
and exports read them here. Left and right are the subject's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .tables import Table, UnknownNameError

IGNORE = 255


@dataclass(frozen=True)
class ClassSchema:
    """Classes of a label map: id = position in `classes`; colours are sRGB, for pictures only."""

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    background: str = "background"

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) != len(self.colours):
            raise ValueError(f"schema {self.name}: class names must differ and each have one colour")

    def __len__(self) -> int:
        return len(self.classes)

    def id(self, name: str) -> int:
        """The id of a class; KeyError if there is none of that name."""
        try:
            return self.classes.index(name)
        except ValueError:
            raise KeyError(f"schema {self.name} has no class '{name}'") from None

    @cached_property
    def palette(self) -> np.ndarray:
        """Colours (256,3) uint8 by id; ids beyond the schema are white."""
        table = np.full((256, 3), 255, np.uint8)
        table[: len(self.colours)] = self.colours
        return table

    @cached_property
    def mirror(self) -> np.ndarray:
        """Look-up table (256,) uint8: the class that each id becomes in the mirrored image."""
        table = np.arange(256, dtype=np.uint8)
        for index, name in enumerate(self.classes):
            twin = _mirror_name(name)
            if twin != name and twin in self.classes:
                table[index] = self.id(twin)
        return table

    @property
    def flip(self) -> np.ndarray:
        """The former name of `mirror`."""
        warnings.warn("ClassSchema.flip is now called ClassSchema.mirror", FutureWarning, stacklevel=2)
        return self.mirror


@dataclass(frozen=True)
class PointClasses:
    """Which classes of the class schema `schema` points lie on or beside, so that labels and points can be checked
    against each other.

    regions: by name, points and their classes. covers: classes that may hide a point without hiding the surface that is
    labelled. everywhere: a class that is ignored for points whose region does not name it, empty for none.
    """

    schema: str
    regions: Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]]
    covers: tuple[str, ...] = ()
    everywhere: str = ""


@dataclass(frozen=True)
class PointSchema:
    """Named points: mirror[i] is the point that i becomes in the mirrored image; edges for drawing; regions by name.

    `eye_corners`: the two outer eye corners, whose distance normalises errors. classes: None where nothing is known.
    """

    name: str
    mirror: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    eye_corners: tuple[int, int] = (36, 45)
    classes: PointClasses | None = None

    def __len__(self) -> int:
        return len(self.mirror)


def _mirror_name(name: str) -> str:
    for a, b in (("left", "right"), ("l_", "r_")):
        if name.startswith(a):
            return b + name[len(a) :]
        if name.startswith(b):
            return a + name[len(b) :]
    return name


@dataclass(frozen=True)
class ClassMapping:
    """Which class of the schema `target` each class of the schema `source` becomes.

    A class that is not named keeps its name; one that the target lacks becomes background.
    """

    source: str
    target: str
    classes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`source -> target`."""
        return f"{self.source} -> {self.target}"


@dataclass(frozen=True)
class PointMapping:
    """How points of the schema `source` become those of `target`, in pixels or any unit that both axes share; y down.

    translate: (N,2) -> (M,3), z away from the camera relative to the middle of the head; NaN where it is not known.
    """

    source: str
    target: str
    translate: Callable[[np.ndarray], np.ndarray]

    @property
    def name(self) -> str:
        """`source -> target`."""
        return f"{self.source} -> {self.target}"


POINT_SCHEMAS = Table("schemas", "point schema", PointSchema)
CLASS_SCHEMAS = Table("schemas", "class schema", ClassSchema)
CLASS_MAPPINGS = Table("mappings", "mapping of class schemas", ClassMapping)
POINT_MAPPINGS = Table("mappings", "mapping of point schemas", PointMapping)


def translate_points(points: np.ndarray, source: str, target: str) -> np.ndarray:
    """Points (N,2) of schema `source` as those (M,2) of schema `target`, in the same unit.

    Raises `tables.UnknownNameError`, naming both, when no plugin registers a mapping.
    """
    return points if source == target else np.asarray(point_mapping(source, target).translate(points))[:, :2]


def point_mapping(source: str, target: str) -> PointMapping:
    """The mapping between two point schemas; raises as `translate_points`."""
    mapping = POINT_MAPPINGS.get(f"{source} -> {target}")
    if mapping is None:
        known = [each.target for each in POINT_MAPPINGS.values() if each.source == source]
        offered = f"From '{source}': {', '.join(known)}. " if known else ""
        raise UnknownNameError(
            f"no mapping from point schema '{source}' to '{target}' is known",
            hint=f"{offered}A plugin may offer one: the hook `register_mappings`.",
        )
    return mapping


def class_mapping(source: str, target: str) -> np.ndarray:
    """Look-up table (256,) uint8 from ids of schema `source` to ids of schema `target`; IGNORE stays IGNORE.

    Raises `tables.UnknownNameError` (a PluginError and a KeyError), naming both, when no plugin registers a mapping.
    """
    table = np.full(256, IGNORE, np.uint8)
    a, b = CLASS_SCHEMAS[source], CLASS_SCHEMAS[target]
    if source == target:
        table[: len(a)] = np.arange(len(a))
        return table
    mapping = CLASS_MAPPINGS.get(f"{source} -> {target}")
    if mapping is None:
        raise UnknownNameError(
            f"no mapping from class schema '{source}' to '{target}' is known",
            hint="A plugin may offer one: the hook `register_mappings`.",
        )
    for index, name in enumerate(a.classes):
        wanted = mapping.classes.get(name, name)
        table[index] = b.id(wanted) if wanted in b.classes else 0
    return table
