"""Typed configuration: YAML read safely, merged by OmegaConf into dataclasses; errors say file, path and name."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from .errors import ConfigError, did_you_mean

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as plain data, by the safe loader. Raises ConfigError with file, line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        data = _UniqueKeyLoader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a pipeline is a mapping of keys, this is {type(data).__name__}")
    return data


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, which by itself lets a second equal key replace the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                problem = f"the key '{key.value}' stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str], *, source: str = "--set") -> DictConfig:
    """Merge `a.b=c` overrides, read as YAML values, over the data. Raises ConfigError for one that is malformed."""
    config = OmegaConf.create(dict(data))
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"{source} {override}: an override is written key.sub=value")
        try:
            parsed = yaml.safe_load(value) if value else None
            OmegaConf.update(config, key.strip(), parsed, merge=True, force_add=True)
        except yaml.YAMLError as error:
            raise ConfigError(f"{source} {override}: the value is not valid YAML: {error}") from None
        except (OmegaConfBaseException, AttributeError, TypeError) as error:
            raise ConfigError(f"{source} {override}: {_one_line(error)}") from None
    return config


def resolve(config: DictConfig, *, source: str) -> dict[str, Any]:
    """Plain data with every interpolation resolved. Raises ConfigError naming the key that cannot be."""
    try:
        data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise _explained(error, f"{source}:") from None
    assert isinstance(data, dict)
    return typing.cast("dict[str, Any]", data)


def build_config(cls: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Merge `values` over the defaults of the dataclass `cls`, checked key by key and type by type.

    where: file and YAML path for messages. Raises ConfigError with the nearest known key.
    """
    _check_keys(cls, values, where)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), dict(values))
        return typing.cast(T, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise _explained(error, where) from None
    except (ValueError, TypeError) as error:  # raised by a dataclass's own __post_init__ checks
        raise ConfigError(f"{where}: {_one_line(error)}") from None


def _check_keys(cls: Any, values: Mapping[str, Any], where: str) -> None:
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    for key, value in values.items():
        if key not in known:
            raise unknown_key(str(key), known, where)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[key]):
            _check_keys(hints[key], value, _join(where, str(key)))


def _explained(error: OmegaConfBaseException, where: str) -> ConfigError:
    key = str(getattr(error, "full_key", None) or "")
    if isinstance(error, MissingMandatoryValue):
        return ConfigError(f"{_join(where, key)}: this key must be given", hint=f"Add it, or --set {key}=VALUE.")
    return ConfigError(f"{_join(where, key)}: {_one_line(error)}")


def unknown_key(key: str, known: Sequence[str], where: str) -> ConfigError:
    """The answer to a key nobody knows."""
    return ConfigError(f"{_join(where, key)}: there is no key '{key}' here", hint=did_you_mean(key, known))


def split_reference(reference: str | Mapping[str, Any], *, kind: str, where: str = "") -> tuple[str, dict[str, Any]]:
    """A reference to a plugin, `anny` or `{name: anny, key: value}`, as (name, own keys)."""
    if isinstance(reference, str):
        return reference, {}
    if isinstance(reference, Mapping) and isinstance(reference.get("name"), str):
        return reference["name"], {str(k): v for k, v in reference.items() if k != "name"}
    raise ConfigError(
        f"{where}: a {kind} is given by its name, or as a mapping with the key 'name'; this is {reference!r}"
    )


def _join(where: str, key: str) -> str:
    if not where:
        return key
    if not key:
        return where
    return f"{where}.{key}" if not where.endswith(":") else f"{where} {key}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split("full_key:")[0].split())
