"""A factor is one field of a group of the configuration: distribution, meaning, unit, range, source, and where it goes.

    @dataclass
    class SkinConfig:
        SHARED: ClassVar[int] = 29
        moles: Distribution = factor(choice({0.0: 0.5, 0.05: 0.5}), "Chance of a mole.", low=0, high=1, look="moles")

The first SHARED factors of a group share its random stream `anny/<group>`, in their order. Every further one has a
stream of its own, `anny/<group>/<factor>`: adding it, in a subclass too, moves no other number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from synthforge.core.keys import Key, default_of, key, key_of

from .distributions import TRIES, Distribution

OURS = "a choice of ours, by looking at renders"
_PLACE = "anny"


@dataclass(frozen=True)
class Speckle:
    """Spots of a noise texture: 0 where it is below `low`, 1 above `high`, smooth in between.

    channel: 0 blotches, 1 fine grain; both lie about [-1, 1] (`shading.tiles`). scale: texels a millimetre.
    """

    channel: int
    low: float
    high: float
    scale: float = 1.0


@dataclass(frozen=True)
class Stain:
    """A pigment on the skin, without any code in a kernel: albedo times 1 + value * where * (colour - 1).

    where: from `mesh.anatomy.VertexAttributes` to (V,), a share in [0, 1] of every vertex; colour: linear RGB.
    speckle: the shader multiplies `where` by its spots, pixel by pixel.
    """

    where: Callable[[Any], np.ndarray]
    colour: tuple[float, float, float]
    speckle: Speckle | None = None


#: changes a scene's parameters, by group and name, for a drawn value: people, light, camera, mesh, backdrops, film
Change = Callable[[dict[str, Any], float], None]
#: changes linear light (H,H,3) float32 in place for a drawn value, after the lens and before sensor and tone curve
Exposed = Callable[[Any, float], None]


@dataclass(frozen=True)
class Destination:
    """Where a drawn value goes. By default a scene's parameters hold it as it was drawn, under its own name.

    derived: the parameters hold what `people` makes of it instead. look: the number of `shading.look.Look` that takes
    the parameter of its name. stain: it colours the skin. change, exposed: see there. For chances: seen: the parameter
    that says whether it came true. entangled: other factors decide it as well (a headscarf brings a scarf), so no
    share is declared.
    """

    derived: bool = False
    look: str = ""
    stain: Stain | None = None
    change: Change | None = None
    exposed: Exposed | None = None
    seen: str = ""
    entangled: bool = False


@dataclass(frozen=True)
class FactorRow:
    """One factor, or one chance, as the table has it."""

    name: str
    key: Key
    place: Destination
    drawn: bool


def factor(
    default: Distribution | None,
    doc: str,
    low: float = 0.0,
    high: float = 1.0,
    unit: str = "",
    *,
    choices: tuple[str, ...] = (),
    edges: tuple[float, ...] = (),
    source: str = OURS,
    **place: Any,
) -> Any:
    """The field of a factor. low, high: what its distribution must stay within; choices: names of the codes 0, 1 ...

    edges: of the ranges that the choices name instead. default: None for a factor that is left to others unless it is
    given; it needs a stream of its own.

    place: what the value is used for, see `Destination`.
    """
    if choices:
        low, high = (edges[0], edges[-1]) if edges else (0, len(choices) - 1)
    item = key(default, doc, unit=unit, low=low, high=high, choices=choices, source=source, edges=edges)
    return _placed(item, Destination(**place))


cause = partial(factor, derived=True)


def chance(default: float, doc: str, seen: str = "", *, source: str = OURS, entangled: bool = False) -> Any:
    """The field of a probability."""
    return _placed(key(default, doc, low=0, high=1, source=source), Destination(seen=seen, entangled=entangled))


def _placed(item: Any, place: Destination) -> Any:
    item.metadata = MappingProxyType({**item.metadata, _PLACE: place})
    return item


def rows(group: Any) -> tuple[FactorRow, ...]:
    """The factors and chances of a group's class, in the order of its fields."""
    return _rows(group)


@cache
def _rows(group: Any) -> tuple[FactorRow, ...]:
    return tuple(
        FactorRow(
            item.name, key_of(item), item.metadata[_PLACE], isinstance(default_of(item), (Distribution, type(None)))
        )
        for item in dataclasses.fields(group)
        if _PLACE in item.metadata
    )


def factors(group: Any) -> tuple[FactorRow, ...]:
    """What is drawn of a group's class: the factors that share its stream first."""
    return tuple(row for row in rows(group) if row.drawn)


@cache
def _names(group: Any, all_of_them: bool, first: int = 0) -> list[str]:
    """Names of what is drawn, or of what parameters hold as it was drawn."""
    return [row.name for row in factors(group)[first:] if all_of_them or not row.place.derived]


def groups(config: Any) -> dict[str, Any]:
    """The classes of a configuration's groups of factors, by name."""
    return {name: type(group) for name, group in vars(config).items() if hasattr(group, "SHARED")}


def table_of(config: Any) -> dict[str, FactorRow]:
    """Every factor and chance of a configuration, by `group.name`."""
    return {f"{group}.{row.name}": row for group, kind in groups(config).items() for row in rows(kind)}


def draw(group: Any, rng: np.random.Generator, own: Callable[[str], np.random.Generator]) -> dict[str, float]:
    """One value for every factor of a group. rng: its shared stream; own: the stream of a further factor, by name.

    Every factor takes the same amount of randomness whatever its kind, so that changing one factor's distribution
    leaves the others of its group as they were.
    """
    kind: Any = type(group)
    names = _names(kind, True)
    shared, further = names[: group.SHARED], names[group.SHARED :]
    uniforms, normals = rng.random(len(shared)).tolist(), rng.standard_normal((len(shared), TRIES)).tolist()
    values = {n: getattr(group, n).pick(u, z) for n, u, z in zip(shared, uniforms, normals, strict=True)}
    for name in further:
        distribution = getattr(group, name)
        if distribution is not None and distribution.kind == "constant":
            values[name] = distribution.mean  # making a stream takes its time
        elif distribution is not None:
            alone = own(name)
            values[name] = distribution.pick(alone.random(), alone.standard_normal(TRIES).tolist())
    return values


def kept(group: Any, values: Mapping[str, float], first: int = 0) -> dict[str, float]:
    """The drawn values that a scene's parameters hold as they are, from the first-th factor of a group on."""
    return {name: values[name] for name in _names(group, False, first)}


def used(config: Any, use: str) -> list[tuple[str, str, Any]]:
    """(group, parameter, use) of every factor with a use of this name: `look`, `stain`, `change` or `exposed`."""
    return _used(tuple(groups(config).items()), use)


@cache
def _used(kinds: tuple[tuple[str, Any], ...], use: str) -> list[tuple[str, str, Any]]:
    every = ((name, row) for name, group in kinds for row in factors(group))
    return [(name, row.name, found) for name, row in every if (found := getattr(row.place, use))]
