"""Typed configuration: YAML data into dataclasses, checked key by key; errors say file, path, value and range."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import re
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any, TypeVar

import omegaconf
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from omegaconf.resolvers import oc

from .environment import SHORTEST, is_place, list_names
from .errors import ConfigError, ConfigWarning, PluginError, did_you_mean
from .expansion import expanded
from .keys import Key, default_of, group_of, is_value, key, key_of, written_name
from .yaml12 import Number, WholeNumber, parse, parse_override, read_yaml

__all__ = [
    "Key",
    "apply_overrides",
    "build_config",
    "key",
    "merged",
    "read_yaml",
    "resolve",
    "split_reference",
    "unknown_key",
]

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OVERRIDE = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[\d+\])*")
# The same method; OmegaConf 2.3 has it under the older name, and uses this name for something else.
_register = getattr(
    OmegaConf, "register_new_resolver" if omegaconf.__version__.startswith("2.3.") else "register_resolver"
)


def apply_overrides(
    data: Mapping[str, Any], overrides: Sequence[str], *, source: str = "--set", file: str = ""
) -> DictConfig:
    """Merge `a.b=c` overrides, read as YAML values, over the data. Raises ConfigError for one that is malformed.

    source, file: what messages call the overrides and the data.
    """
    try:
        config = OmegaConf.create(dict(data), flags={"allow_objects": True})
    except Exception as error:  # a `${` that nothing closes
        raise _explained(error, f"{file}:" if file else "") from None
    for override in overrides:
        name, separator, value = override.partition("=")
        place = f"{source} {override}"
        if not separator or not _OVERRIDE.fullmatch(name.strip()):
            raise ConfigError(f"{place}: an override is written key.sub=value or key.list[0]=value")
        parsed = parse_override(value, place) if value else None
        _check_above(config, name.strip(), value, place)
        try:
            OmegaConf.update(config, name.strip(), parsed, merge=True, force_add=True)
        except Exception as error:  # OmegaConf's errors, and those of its parser
            raise ConfigError(f"{place}: {_one_line(error)}") from None
    return config


def _check_above(config: DictConfig, name: str, value: str, place: str) -> None:
    """Raise ConfigError if an override sets a key of a text, at any depth: the text would be lost silently."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        above = ".".join(parts[:depth])
        text = OmegaConf.select(config, above, throw_on_resolution_failure=False)
        if isinstance(text, str) and "${" not in text:
            keys = ": {".join(parts[depth:])
            reference = f"'{above}={{name: {text}, {keys}: {value}}}{'}' * (len(parts) - depth - 1)}'"
            raise ConfigError(
                f"{place}: {above} is the text '{text}', which has no keys", hint=f"For a plugin: --set {reference}."
            )


def resolve(config: DictConfig, *, source: str) -> dict[str, Any]:
    """Plain data with every interpolation resolved. Raises ConfigError naming the key that cannot be.

    Environment variables are read by the names that the key `environment` lists, and stand for places
    (`core.environment`).
    """
    names = OmegaConf.to_container(config).get("environment") or []  # type: ignore[union-attr]
    if not isinstance(names, list) or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in names):
        raise ConfigError(f"{source}: environment: a list of names of variables, got {names!r}")
    list_names(names)
    missing: list[str] = []
    try:
        with _environment(names, missing):
            data = expanded(config)
    except Exception as error:  # a grammar error, a cycle, an unknown resolver, a variable that is not listed
        raise _explained(error, f"{source}:") from None
    if missing:
        raise ConfigError(
            f"{source}: environment: not set here: {', '.join(dict.fromkeys(missing))}",
            hint="Set them, for example `export NAME=FOLDER`, and run the same command again.",
        )
    return data


@contextmanager
def _environment(names: Sequence[str], missing: list[str]) -> Iterator[None]:
    def look_up(name: str, *default: str | None) -> str | None:
        if name not in names:
            line = f"environment: [{', '.join([*names, name])}]"
            raise ConfigError(f"the variable {name} is not listed; add the line `{line}`, or give --set KEY=${name}")
        value = os.environ.get(name)
        if value is None:
            missing.extend(() if default else [name])
            return default[0] if default else name
        if not is_place(value):
            raise ConfigError(
                f"the variable {name} is not a path or address of at least {SHORTEST} characters with a '/'; "
                f"give other values by --set KEY=${name}"
            )
        return value

    _register("oc.env", look_up, replace=True)
    try:
        yield
    finally:
        _register("oc.env", oc.env, replace=True)


def build_config(
    cls: type[T], values: Mapping[str, Any], *, where: str = "", under: Mapping[str, Any] | None = None
) -> T:
    """Merge `values` over the defaults of the dataclass `cls`, checked key by key: names, types, ranges.

    where: file and YAML path for messages; under: values of a preset, which the user's values override. Nothing is
    resolved: `${...}` is a text here. Raises ConfigError with the nearest known key.
    """
    own = _as_fields(cls, values, where)
    if under is not None:
        own = merged(_as_fields(cls, under, where), own)
    try:
        typed = OmegaConf.merge(OmegaConf.structured(_given(cls, own), flags={"allow_objects": True}), own)
        plain = OmegaConf.to_container(typed, throw_on_missing=True)
    except Exception as error:  # OmegaConf's errors, and those of its parser
        raise _explained(error, where) from None
    return typing.cast(T, _build(cls, typing.cast("dict[str, Any]", plain), where))


def _given(cls: type, own: Mapping[str, Any]) -> type:
    """A dataclass with only the keys that are given: OmegaConf takes a second for a hundred distributions."""
    rows, hints = [], typing.get_type_hints(cls)
    for name, value in own.items():
        group = group_of(hints[name])
        rows.append((name, _given(group, value) if group and isinstance(value, Mapping) else hints[name]))
    return dataclasses.make_dataclass(cls.__name__, rows)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged; values of `over` win.

    A distribution of another kind replaces the whole mapping, since its bounds and values differ.
    """
    both = dict(under)
    for name, value in over.items():
        below = both.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            other_kind = "kind" in value and value["kind"] != below.get("kind", value["kind"])
            both[name] = dict(value) if other_kind else merged(below, value)
        else:
            both[name] = value
    return both


def _as_fields(cls: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Data from YAML with the names, units and forms of the dataclass's fields.

    Former names and angles in radians are accepted with a warning.
    """
    hints = typing.get_type_hints(cls)
    fields = {written_name(item): item for item in dataclasses.fields(cls) if item.init}
    known = list(fields)
    former = {key_of(item).renamed_from: item for item in fields.values() if key_of(item).renamed_from}
    radians = {item.name: item for name, item in fields.items() if name != item.name}
    found: dict[str, Any] = {}
    for name, value in values.items():
        place = _join(where, str(name))
        item = fields.get(name) or radians.get(name) or former.get(name)
        if item is None:
            raise unknown_key(str(name), known, where)
        if item.name in found:
            raise ConfigError(f"{place}: the same key as '{written_name(item)}', which is given as well")
        if name not in fields:
            told_so = f"write '{written_name(item)}'"
            if name in radians:
                own = group_of(hints[item.name]) if isinstance(value, Mapping) else None
                degrees = _shown(getattr(own, "scaled", _scaled)(value, math.degrees(1)))
                told_so = f"{_shown(value)} radians: write '{written_name(item)}: {degrees}'"
            _warn(f"{place}: {told_so}")
        hint, about = hints[item.name], key_of(item)
        group = group_of(hint)
        if group is not None and isinstance(value, Mapping) and not is_value(group):
            found[item.name] = _as_fields(group, value, place)
            continue
        try:
            if group is not None and hasattr(group, "from_yaml"):
                value = group.from_yaml(value, about)
            if group is not None and not isinstance(value, (Mapping, group, NoneType)):
                raise ValueError(f"a mapping of its keys is wanted, not {_written(value)}")
            if name in fields and name != item.name:
                value = getattr(group, "scaled", _scaled)(value, math.radians(1))
            if group is not None and isinstance(value, Mapping):
                found[item.name] = _as_fields(group, value, place)
                continue
            found[item.name] = _typed(hint, value)
        except ValueError as error:
            raise ConfigError(f"{place}: {_one_line(error)}", hint=about.doc or None) from None
    return found


def _typed(hint: Any, value: Any) -> Any:
    """A value of YAML as the type hint wants it: texts as they were written, whole numbers of `1e3` as well.

    Raises ValueError for values that would otherwise be converted silently.
    """
    options = [one for one in (typing.get_args(hint) or (hint,)) if one is not type(None)]
    if value is None and hint is not Any and NoneType not in typing.get_args(hint):
        raise ValueError("a value is wanted, not null")
    if hint is Any or value is None or value == MISSING:
        return value
    wanted = next((words for kind, words in _WANTED.items() if kind in (typing.get_origin(hint), *options)), "")
    kind = "a list" if isinstance(value, (list, tuple)) else "a mapping" if isinstance(value, Mapping) else ""
    if wanted and kind != (wanted if wanted in ("a list", "a mapping") else ""):
        raise ValueError(f"{wanted} is wanted, not {_written(value)}")
    if typing.get_origin(hint) in (list, tuple) and isinstance(value, (list, tuple)):
        return [_typed(options[0], each) for each in value]
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        return {str(name): _typed(options[-1], each) for name, each in value.items()}
    if bool in options and isinstance(value, (int, float)) and value not in (0, 1):
        raise ValueError(f"true or false is wanted, not {value!r}")
    if str in options:
        if isinstance(value, bool):
            raise ValueError(f"a text is wanted; write '{str(value).lower()}' in quotes if it is one")
        return str(value) if isinstance(value, (int, float)) else value
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"'{value}' cannot be looked up here")
    broken = float not in options and isinstance(value, float) and not value.is_integer()
    if wanted and (isinstance(value, str) or (wanted.endswith(" number") and (broken or isinstance(value, bool)))):
        raise ValueError(f"{wanted} is wanted, not {_written(value)}{_unquoted(value)}")
    if int in options and isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, WholeNumber) else float(value) if isinstance(value, Number) else value


_PLAIN = re.compile(r"[-+.\w]{1,24}")
_WANTED: dict[Any, str] = {list: "a list", tuple: "a list", dict: "a mapping", str: "a text"}
_WANTED |= {float: "a number", int: "a whole number", bool: "true or false"}


def _unquoted(value: Any) -> str:
    """What to add about a text that would be a number or a flag without its quotes."""
    plain = parse(value, "") if isinstance(value, str) and _PLAIN.fullmatch(value) else value
    return f"; write {value} without quotes" if isinstance(plain, (int, float)) and plain is not value else ""


def _written(value: Any) -> str:
    return f"the mapping {dict(value)}" if isinstance(value, Mapping) else "null" if value is None else repr(value)


def _scaled(value: Any, factor: float) -> Any:
    """Numbers in lists and mappings times a factor; the rest as it is."""
    if isinstance(value, Mapping):
        return {name: _scaled(each, factor) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scaled(each, factor) for each in value]
    return value * factor if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return {name: _shown(each) for name, each in value.items()} if isinstance(value, Mapping) else value


def _build(cls: type, plain: Mapping[str, Any], where: str, over: Any = None) -> Any:
    """The dataclass from its plain keys over the values of `over`, by default its own. Raises ConfigError."""
    hints, given = typing.get_type_hints(cls), {}
    for item in dataclasses.fields(cls):
        if not item.init:
            continue
        place, group = _join(where, written_name(item)), group_of(hints[item.name])
        default = default_of(item) if over is None else getattr(over, item.name)
        inner = default if group is not None and isinstance(default, group) else None
        if item.name not in plain:
            if default == MISSING or (over is None and item.default is item.default_factory is dataclasses.MISSING):
                raise _missing(place, item)
            if inner is not None and group is not None and not is_value(group):
                _build(group, {}, place, inner)  # for required keys
            if over is not None:
                given[item.name] = default
            continue
        value = plain[item.name]
        if group is not None and isinstance(value, Mapping):
            value = _build(group, value, place, inner)
        given[item.name] = value
        problem = _problem(key_of(item), value, default, place)
        if problem:
            raise ConfigError(problem, hint=key_of(item).doc or None)
    try:
        return cls(**given)
    except (ValueError, TypeError) as error:  # raised by a dataclass's own checks, which name the key first
        name, colon, told_so = _one_line(error).partition(": ")
        if colon and re.split(r"[.\[]", name)[0] in given:
            raise ConfigError(f"{_join(where, name)}: {told_so}") from None
        raise ConfigError(f"{where}: {_one_line(error)}") from None


def check_values(config: Any, where: str) -> None:
    """Check a configuration that was made in Python against the ranges and choices of its keys, as `build_config` does.

    Raises ConfigError with the key's place.
    """
    for item in dataclasses.fields(config):
        value, place = getattr(config, item.name), _join(where, written_name(item))
        if dataclasses.is_dataclass(value) and not isinstance(value, type) and not is_value(type(value)):
            check_values(value, place)
        elif problem := _problem(key_of(item), value, default_of(item), place):
            raise ConfigError(problem, hint=key_of(item).doc or None)


def _problem(about: Key, value: Any, default: Any, place: str) -> str:
    """What is wrong with a value, after the place of the faulty part; an empty text if nothing is."""
    if value and value != default and isinstance(value, (list, dict)) and about.length in (None, len(value)):
        inside = value.items() if isinstance(value, dict) else ((f"[{at}]", each) for at, each in enumerate(value))
        if isinstance(value, dict) and not about.range:  # a plugin's keys, which its own class checks
            inside = ((name, each) for name, each in inside if each not in (math.inf, -math.inf))
        parts = (_problem(about, each, None, _join(place, str(name)).replace(".[", "[")) for name, each in inside)
        return next(filter(None, parts), "")
    problem = about.problem(value, default)
    return f"{place}: {problem}" if problem else ""


def _warn(text: str) -> None:
    if multiprocessing.parent_process() is None:  # worker processes read the same keys and would repeat it
        warnings.warn(text, ConfigWarning, stacklevel=2)


def _explained(error: Exception, where: str) -> ConfigError:
    place = _join(where, str(getattr(error, "full_key", None) or ""))
    return _missing(place) if isinstance(error, MissingMandatoryValue) else ConfigError(f"{place}: {_one_line(error)}")


def _missing(place: str, item: dataclasses.Field[Any] | None = None) -> ConfigError:
    """The error for a required key that is not given, also because plugins claim the same default."""
    try:
        getattr(item and item.default_factory, "found", str)()
    except PluginError as reason:
        return ConfigError(f"{place}: {reason.message}", hint=reason.hint)
    path = place.rpartition(": ")[2]
    return ConfigError(f"{place}: this key must be given", hint=f"Add it, or --set {path}=VALUE.")


def unknown_key(name: str, known: Sequence[str], where: str) -> ConfigError:
    """The error for an unknown key."""
    return ConfigError(f"{_join(where, name)}: there is no key '{name}' here", hint=did_you_mean(name, known))


def split_reference(reference: str | Mapping[str, Any], *, kind: str, where: str = "") -> tuple[str, dict[str, Any]]:
    """A reference to a plugin, `anny` or `{name: anny, key: value}`, as (name, own keys)."""
    if isinstance(reference, (str, WholeNumber, Number)):
        return str(reference), {}
    if isinstance(reference, Mapping) and isinstance(reference.get("name"), (str, WholeNumber, Number)):
        return str(reference["name"]), {str(k): v for k, v in reference.items() if k != "name"}
    raise ConfigError(
        f"{where}: a{'n' * (kind[0] in 'aeiou')} {kind} is given by its name, or as a mapping with the key 'name'; "
        f"this is {_written(reference)}",
        hint="For example {name: NAME, key: value}." if isinstance(reference, Mapping) else None,
    )


def _join(where: str, name: str) -> str:
    if not where:
        return name
    if not name:
        return where
    return f"{where}.{name}" if not where.endswith(":") else f"{where} {name}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split("full_key:")[0].split()) or type(error).__name__
    return text.removeprefix("ConfigError raised while resolving interpolation: ")
