"""Data that plugins register by name: schemas, mappings, licensed files, policies, backbones, detectors, formats.

A table is the same for the whole process. The first look-up adds the records of installed plugins;
`core.plugins.load_plugins` adds those of a pipeline's plugin files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from omegaconf import MISSING

from .boundary import FAILURES
from .discovery import Offer, Source, installed, offers, reason
from .errors import PluginError, did_you_mean
from .keys import describe_keys, key_of

T = TypeVar("T")


class UnknownNameError(PluginError, KeyError):
    """No plugin registers a record of that name."""


@dataclass(frozen=True)
class Registration:
    """A record and the plugin that registers it."""

    record: Any
    source: Source


#: the hooks that offer data: `register_<hook>(register)` calls `register(record)`
HOOKS = ("schemas", "mappings", "assets", "policies", "backbones", "detectors", "formats")
_rows: dict[str, dict[str, Registration]] = {hook: {} for hook in HOOKS}
_types: dict[str, tuple[type, ...]] = dict.fromkeys(HOOKS, ())
_conflicts: dict[tuple[str, str], str] = {}
#: by hook and name, plugins that declare themselves a default: their rank and who registers them
_defaults: dict[str, dict[str, tuple[int, Source]]] = {}
_broken: list[str] = []
_filled = False


def add(offer: Offer, source: Source) -> None:
    """Add the record that a hook registers.

    The same record again is harmless, and so is a new one from the same module. Raises PluginError for a record of
    another type, and for a name of another plugin: it names both, and so does each look-up of that name.
    """
    record = offer.arguments[0] if len(offer.arguments) == 1 and not offer.options else None
    types = _types[offer.hook]
    if record is None or (types and not isinstance(record, types)):
        wanted = " or ".join(each.__name__ for each in types)
        raise PluginError(
            f"register_{offer.hook}: `register` takes one {wanted}, got {offer.arguments} {offer.options}"
        )
    taken = _rows[offer.hook].get(record.name)
    if taken is not None and taken.record != record and str(taken.source) != str(source):
        message = f"two plugins register '{record.name}' in {offer.hook}: {taken.source} and {source}"
        _conflicts[offer.hook, record.name] = message
        raise PluginError(message, hint="Uninstall one of them or rename it.")
    if taken is None or taken.record != record:
        _rows[offer.hook][record.name] = Registration(record, source)


def declare(offer: Offer, source: Source) -> None:
    """Remember that a plugin declares itself a default (`catalogue.Entry.default`)."""
    place = offer.options.get("default", 0)
    if place:
        _defaults.setdefault(offer.hook, {})[offer.arguments[0]] = (place, source)


class Default:
    """The default of a configuration key: the plugin with `default=RANK`; several: all of them, by rank.

    A factory for `core.keys.key`. attribute: the field of a record with its rank, 0 for none.
    """

    def __init__(self, hook: str, *, several: bool = False, attribute: str = "default") -> None:
        self.hook, self.several, self.attribute = hook, several, attribute

    def __call__(self) -> Any:
        """The names; OmegaConf's MISSING if there is no default, so that a user's own value still counts."""
        try:
            return self.found()
        except PluginError:
            return MISSING

    def found(self) -> str | list[str]:
        """The name or names. Raises PluginError where none is declared, and for a rank that two plugins claim."""
        _fill()
        claims = dict(_defaults.get(self.hook, {}))
        for name, row in _rows.get(self.hook, {}).items():
            claims[name] = (getattr(row.record, self.attribute, 0), row.source)
        by_place: dict[int, str] = {}
        for name, (place, source) in claims.items():
            other = by_place.setdefault(place, name) if place else name
            if other != name:
                both = f"'{other}' of {claims[other][1]} and '{name}' of {source}"
                raise PluginError(f"two of the {self.hook} claim to be the default: {both}", hint="Name one here.")
        if not by_place:
            raise PluginError(f"none of the {self.hook} is a default", hint="Name one here.")
        names = [by_place[place] for place in sorted(by_place)]
        return names if self.several else names[0]


def _fill() -> None:
    global _filled
    if _filled:
        return
    _filled = True
    for source in installed():
        try:
            for offer in offers(source.imported()):
                if offer.hook in HOOKS:
                    add(offer, source)
                else:
                    declare(offer, source)
        except FAILURES as error:  # `load_plugins` lists it as broken; its records are missing
            _broken.append(f"{source}: {reason(error)}")


class Table(Mapping[str, T], Generic[T]):
    """The records of one type that the hook `register_<hook>` offers, by name. what: the noun for messages."""

    def __init__(self, hook: str, what: str, type_: type[T]) -> None:
        self.hook, self.what, self.type = hook, what, type_
        _types[hook] += (type_,)

    def __getitem__(self, name: str) -> T:
        """The record. Raises PluginError, with the nearest name, if no plugin or more than one registers it."""
        row = self._row(name)
        if row is not None:
            record: T = row.record
            return record
        unusable = "".join(f" Not usable: {each}." for each in _broken)
        raise UnknownNameError(f"there is no {self.what} '{name}'", hint=did_you_mean(name, self) + unusable)

    def _row(self, name: object) -> Registration | None:
        _fill()
        if not isinstance(name, str):
            return None
        if (self.hook, name) in _conflicts:
            raise PluginError(_conflicts[self.hook, name], hint="Uninstall one of them or rename it.")
        row = _rows[self.hook].get(name)
        return row if row is not None and isinstance(row.record, self.type) else None

    def __contains__(self, name: object) -> bool:
        return self._row(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The record, or `default` for an unknown name, without the search for the nearest."""
        row = self._row(name)
        return default if row is None else row.record

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(row.record.name for row in self.rows()))

    def __len__(self) -> int:
        return len(self.rows())

    def rows(self) -> list[Registration]:
        """Every record with its origin."""
        _fill()
        return [row for row in _rows[self.hook].values() if isinstance(row.record, self.type)]


def describe() -> list[dict[str, Any]]:
    """Every record of every table, for `synthforge plugins`; its kind is the part of the hook after `register_`.

    keys: of a record whose fields are documented (`core.keys.key`), each with the record's own value as default.
    """
    _fill()
    return [
        {
            "kind": hook,
            "name": name,
            "summary": getattr(row.record, "summary", "") or getattr(row.record, "purpose", ""),
            "licence": getattr(row.record, "licence", ""),
            "distribution": row.source.distribution,
            "origin": row.source.origin,
            "keys": _keys(row.record),
        }
        for hook, rows in _rows.items()
        for name, row in sorted(rows.items())
    ]


def _keys(record: Any) -> list[dict[str, Any]]:
    if not any(key_of(item).doc for item in dataclasses.fields(record)):
        return []
    rows = (row for row in describe_keys(type(record)) if row["doc"])
    return [{**row, "default": getattr(record, row["key"])} for row in rows]
