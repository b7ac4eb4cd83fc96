"""Configuration keys that explain themselves: documentation, unit, range and names are declared at the dataclass field.

    @dataclass
    class GlassesConfig:
        present: float = key(0.22, "Probability that glasses are worn.", low=0, high=1)
        tilt: float = key(0.1, "Rotation about the axis through both ears.", unit="rad", low=-1, high=1)

`core.config.build_config` checks them; `synthforge plugins NAME` and the manual print them. An angle with the unit
`rad` is radians in Python and degrees in YAML, where its name ends in `_degrees` (`tilt_degrees: 5.7`).

A key's type may be a class of its own, such as a distribution. It may have these methods:

- class method `from_yaml(value, key)`: the mapping that a short form abbreviates
- class method `scaled(mapping, factor)`: the mapping in another unit
- `problem(key)`: what is wrong with the value, or an empty text
"""

from __future__ import annotations

import copy
import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

from .errors import did_you_mean

DEGREES = "_degrees"


@dataclass(frozen=True)
class Key:
    """The metadata of a configuration key besides its type and default.

    doc: one sentence. unit: `px`, `m`, `rad` ... low, high: ends of the range that are allowed; above, below: ends that
    are not. The default is allowed always, so it may lie outside (0 for "off"). choices: the texts a key may have, or
    the names of the codes 0, 1, 2 ... of a number. edges: of the ranges that `choices` name instead, one more than
    there are names. length: of a list. source: where the numbers come from. counts:
    whether the result depends on it. since: the release that brought the key; before, results were those of its
    default. renamed_from: the former name, which keeps working with a warning.
    """

    doc: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None
    source: str = ""
    counts: bool = True
    since: str = ""
    renamed_from: str = ""
    edges: tuple[float, ...] = ()

    @property
    def range(self) -> str:
        """The range in words, empty when there is none: `0 to 1`, `above 0`, `small, large`."""
        if self.choices:
            names = ", ".join(name or "''" for name in self.choices)
            return f"{shown(self.edges[0])} to {shown(self.edges[-1])}, or {names}" if self.edges else names
        if self.low is not None and self.high is not None:
            return f"{shown(self.low)} to {shown(self.high)}"
        named = ("at least", self.low), ("above", self.above), ("at most", self.high), ("below", self.below)
        return " and ".join(f"{word} {shown(end)}" for word, end in named if end is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is finite and within the range."""
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def scaled(self, factor: float) -> Key:
        """The same key in another unit: the ends of its range times `factor`."""
        low, high, above, below = (
            None if end is None else end * factor for end in (self.low, self.high, self.above, self.below)
        )
        return dataclasses.replace(self, low=low, high=high, above=above, below=below)

    def code(self, name: str) -> int:
        """The code of one of `choices`. Raises ValueError for another name."""
        if name not in self.choices:
            raise ValueError(f"'{name}' is not one of {self.range}")
        return self.choices.index(name)

    def problem(self, value: Any, default: Any = None) -> str:
        """What is wrong with a value of this key, or an empty text. Entries of lists and mappings are checked, too."""
        if value is None or value is default or (type(value) is type(default) and value == default):
            return ""
        if hasattr(value, "problem"):
            return str(value.problem(self))
        if isinstance(value, (list, tuple, dict)):
            if self.length is not None and len(value) != self.length:
                return f"{self.length} values are needed, got {len(value)}"
            inside = value.values() if isinstance(value, dict) else value
            return next(filter(None, map(self.problem, inside)), "")
        if isinstance(value, str):
            return f"'{value}' is not one of {self.range}" if self.choices and value not in self.choices else ""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or self.holds(value):
            return ""
        if not math.isfinite(value):
            return f"{value} is not a finite number"
        if self.unit == "rad":  # as it is written in YAML
            return dataclasses.replace(self.scaled(math.degrees(1)), unit="degrees").problem(
                round(math.degrees(value), 6)
            )
        unit = f" {words(self.unit)}" if self.unit else ""
        return f"{shown(value)}{unit} is out of range, which is {self.range}{unit}"


def key(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    length: int | None = None,
    source: str = "",
    counts: bool = True,
    since: str = "",
    renamed_from: str = "",
    edges: tuple[float, ...] = (),
) -> Any:
    """A dataclass field with its documentation; see `Key`.

    default: a value, a class for a group of keys, or a function that returns the default.
    """
    known = Key(doc, unit, low, high, above, below, choices, length, source, counts, since, renamed_from, edges)
    metadata = vars(known)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    if isinstance(default, (list, dict)) or dataclasses.is_dataclass(default):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class NoKeys:
    """The configuration of a plugin that has no keys."""


def key_of(item: dataclasses.Field[Any]) -> Key:
    """The `Key` of a field; an empty one where the field was not made by `key`."""
    return Key(**{name: value for name, value in item.metadata.items() if name in Key.__dataclass_fields__})


def default_of(item: dataclasses.Field[Any]) -> Any:
    """The default of a field; None where it has none."""
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None if item.default is MISSING else item.default


def written_name(item: dataclasses.Field[Any]) -> str:
    """The name of a key in YAML: the field's, with `_degrees` after it for an angle."""
    return item.name + DEGREES if key_of(item).unit == "rad" else item.name


def plain_name(name: str, units: Mapping[str, str]) -> str:
    """The name of what YAML calls `name`, among names with their units: without the `_degrees` of an angle.

    Raises ValueError that suggests the nearest name as YAML has it.
    """
    plain = name.removesuffix(DEGREES)
    for known in (name, plain):
        if known in units and (units[known] == "rad") == (known != name):
            return known
    written = [each + DEGREES * (unit == "rad") for each, unit in units.items()]
    raise ValueError(f"there is no factor '{name}'. {did_you_mean(name, written)}".strip())


def shown(number: float) -> str:
    """A number as text: integers in full, others with six digits."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"


def words(unit: str) -> str:
    """A unit as text; an angle's in full."""
    return {"rad": "radians", "deg": "degrees"}.get(unit, unit)


def group_of(hint: Any) -> type | None:
    """The dataclass of a type hint `X` or `X | None`, or None."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    found = [option for option in options if isinstance(option, type) and dataclasses.is_dataclass(option)]
    return found[0] if len(found) == 1 else None


def is_value(cls: type) -> bool:
    """Whether a dataclass is the value of one key (a distribution), rather than a group of keys."""
    return hasattr(cls, "problem")


def describe_keys(config: type, prefix: str = "") -> Iterator[Mapping[str, Any]]:
    """Every key of a configuration as in YAML, groups flattened with dots: plain data for tables and JSON."""
    hints = typing.get_type_hints(config)
    for item in dataclasses.fields(config):
        known, group = key_of(item), group_of(hints[item.name])
        name = prefix + written_name(item)
        if group is not None and not is_value(group):
            yield {"key": name, "type": "group", "doc": known.doc}
            yield from describe_keys(group, f"{name}.")
            continue
        scale = math.degrees(1) if known.unit == "rad" else 1.0
        yield {
            "key": name,
            "type": _type_words(item.type if isinstance(item.type, str) else str(item.type)),
            "default": _default_words(default_of(item), scale),
            "unit": {"rad": "degrees"}.get(known.unit, known.unit),
            "range": known.scaled(scale).range,
            "doc": known.doc,
            "source": known.source,
        }


def _type_words(text: str) -> str:
    plain = text.replace("dict[str, ", "mapping[").replace("Any", "any").replace(" | None", " or null")
    for name, word in (("str", "text"), ("bool", "true/false"), ("float", "number"), ("int", "whole number")):
        plain = plain.replace(name, word)
    return plain


def _default_words(value: Any, scale: float) -> Any:
    """A default as JSON and YAML can hold it, angles in degrees; None for a key that must be given."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        as_given = {
            item.name: getattr(value, item.name)
            for item in dataclasses.fields(value)
            if getattr(value, item.name) != default_of(item) or item.name == "kind"
        }
        scaled = getattr(type(value), "scaled", None)
        return scaled(as_given, scale) if scaled and scale != 1 else as_given
    if scale != 1 and isinstance(value, (int, float)):
        return round(value * scale, 6)
    return "(must be given)" if value == "???" else value
