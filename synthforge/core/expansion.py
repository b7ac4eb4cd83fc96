"""References `${key}` replaced by their values, within limits: a few lines can expand to terabytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf

from .errors import ConfigError
from .yaml12 import MAX_BYTES, MAX_NODES, MAX_REFERENCES

# What OmegaConf asks for the value of `${key}` and of `${resolver:...}`, in every release since 2.1.
_ASKED = ("_resolve_node_interpolation", "_evaluate_custom_resolver")


def expanded(config: DictConfig) -> dict[str, Any]:
    """Plain data with every reference replaced.

    Raises ConfigError where that takes more look-ups than `MAX_REFERENCES`, or gives more values or characters than
    YAML itself may have; and what OmegaConf raises for unknown references.
    """
    values = 0

    def plain(node: Any) -> Any:
        nonlocal values
        values += 1
        if values > MAX_NODES:
            raise ConfigError(f"references expand to more than {MAX_NODES:,} values")
        if isinstance(node, DictConfig) and not node._is_none():
            return {key: plain(node[key]) for key in node}
        if isinstance(node, ListConfig) and not node._is_none():
            return [plain(node[index]) for index in range(len(node))]
        return None if OmegaConf.is_config(node) else node

    with _limited():
        return {str(key): plain(config[key]) for key in config}


@contextmanager
def _limited() -> Iterator[None]:
    originals = {name: getattr(Container, name) for name in _ASKED}
    asked = characters = 0

    def counted(original: Any) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            nonlocal asked, characters
            asked += 1
            if asked > MAX_REFERENCES:
                raise ConfigError(f"more than {MAX_REFERENCES:,} references are looked up")
            found = original(*args, **kwargs)
            value = found if OmegaConf.is_config(found) or not hasattr(found, "_value") else found._value()
            characters += len(value) if isinstance(value, (str, bytes)) else 0
            if characters > MAX_BYTES:
                raise ConfigError(f"references expand to more than {MAX_BYTES / 1e6:.0f} million characters")
            return found

        return ask

    for name, original in originals.items():
        setattr(Container, name, counted(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Container, name, original)
