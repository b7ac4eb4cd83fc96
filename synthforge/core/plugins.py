"""Finding plugins: entry points one at a time, then the files and modules that a pipeline lists.

A plugin that fails to import is listed as broken with its reason. It raises only when a pipeline asks for it, or at
once with `SYNTHFORGE_STRICT_PLUGINS=1`. `SYNTHFORGE_TRACE_PLUGINS=1` prints on stderr what is loaded from where.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import tables
from .boundary import FAILURES, Guarded, call
from .catalogue import PLUGIN_KINDS, Broken, Catalogue, Entry, FileNeed
from .config import build_config, check_values, split_reference
from .discovery import Source, from_file, installed, offers, reason
from .errors import ConfigError, PluginError, did_you_mean
from .interfaces import INTERFACES
from .references import Bound


class Plugins:
    """The catalogues of one run, what is broken, and how to build a plugin from its reference in YAML."""

    def __init__(self, *, strict: bool = False) -> None:
        self.catalogues: dict[str, Catalogue] = {kind: Catalogue(kind) for kind in PLUGIN_KINDS}
        self._broken: list[Broken] = []
        self._conflicts: dict[tuple[str, str], str] = {}
        self._strict = strict

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Plugins that could not be used, in the order of loading."""
        return tuple(self._broken)

    def add(self, source: Source) -> None:
        """Load one plugin module and add what it registers; a failure is recorded (strict: raised)."""
        try:
            offered = offers(source.imported())
            entries = [
                _entry(source, offer.hook.removesuffix("s"), *offer.arguments, **offer.options)
                for offer in offered
                if offer.hook not in tables.HOOKS
            ]
        except FAILURES as error:  # a plugin may raise anything; the others must still load
            if self._strict:
                raise PluginError(f"plugin {source} does not load: {reason(error)}") from error
            self._broken.append(Broken(source.origin, source.distribution, reason(error), source.names))
            return
        for entry in entries:
            self._take(source, (entry.name,), self.catalogues[entry.kind].add, entry)
        for offer in offered:
            if offer.hook in tables.HOOKS:
                self._take(source, (), tables.add, offer, source)
            else:
                tables.declare(offer, source)

    def _take(self, source: Source, names: tuple[str, ...], add: Callable[..., None], *given: Any) -> None:
        try:
            add(*given)
        except PluginError as error:
            if self._strict:
                raise
            if isinstance(given[0], Entry):
                self._conflicts[given[0].kind, given[0].name] = str(error)
            self._broken.append(Broken(source.origin, source.distribution, error.message, names))

    def entry(self, kind: str, name: str, *, where: str = "") -> Entry:
        """The entry of a plugin. Raises PluginError for an unknown, broken or doubly registered name."""
        conflict = self._conflicts.get((kind, name))
        if conflict is not None:
            raise PluginError(f"{where}: {conflict}" if where else conflict)
        return self.catalogues[kind].get(name, where=where, broken=self.broken)

    def bind(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "", **instead: Any) -> Bound:
        """A reference, a name or a mapping with `name` and the plugin's own keys, found and checked; not built yet.

        instead: values that replace the reference's.
        """
        name, values = split_reference(reference, kind=kind, where=where)
        entry = self.entry(kind, name, where=where)
        return Bound(kind, reference, entry, _config(entry, {**values, **instead}, where), where, self)

    def config(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> Any:
        """The checked configuration of a reference."""
        return self.bind(kind, reference, where=where).config

    def files(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> tuple[FileNeed, ...]:
        """The files that a plugin reads with this configuration, without building it."""
        return self.bind(kind, reference, where=where).files

    def build(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> Any:
        """Build a plugin from its reference. Raises PluginError when its class is not that of its kind."""
        return self.bind(kind, reference, where=where).built

    def build_entry(self, entry: Entry, config: Any, where: str = "") -> Any:
        """Build a plugin with its checked configuration; see `build`."""
        kind, name = entry.kind, entry.name
        place = f"{where}: " if where else ""
        check_values(config, where or f"{kind} {name}")
        try:
            built = call(f"{place}building the {kind} '{name}' of {entry.distribution}", entry.factory, config)
        except ImportError as error:
            raise PluginError(
                f"the {kind} '{name}' of {entry.distribution} needs something that is not installed: {error}"
            ) from error
        if not isinstance(built, INTERFACES[kind]):
            raise PluginError(
                f"the {kind} '{name}' of {entry.distribution} ({entry.origin}) is a {type(built).__name__}, "
                f"not a {INTERFACES[kind].__module__}.{INTERFACES[kind].__name__}",
                hint="Its factory must return a subclass of that class.",
            )
        if isinstance(built, Guarded):
            object.__setattr__(built, "registered", name)
        return built

    def add_file(self, reference: str, *, base: Path) -> None:
        """Load a plugin file (`./my_generator.py`, relative to `base`) or an importable module of the user's."""
        before = len(self._broken)
        self.add(from_file(reference, base))
        if len(self._broken) > before:  # the pipeline asked for this one by name
            raise PluginError(f"plugins: {reference}: {self._broken[-1].reason}")


def load_plugins(extra: Iterable[str] = (), *, base: Path | None = None, strict: bool | None = None) -> Plugins:
    """Load every installed plugin, then `extra` files or modules (relative to `base`, the pipeline's folder)."""
    if strict is None:
        strict = os.environ.get("SYNTHFORGE_STRICT_PLUGINS") == "1"
    plugins = Plugins(strict=strict)
    for source in installed():
        plugins.add(source)
    for reference in extra:
        plugins.add_file(reference, base=base or Path.cwd())
    return plugins


def _config(entry: Entry, values: Mapping[str, Any], where: str) -> Any:
    """The configuration of a plugin from its keys in YAML, over those of the preset they name."""
    if not entry.presets or "preset" not in values:
        return build_config(entry.config, values, where=where)
    name = values["preset"]
    if not isinstance(name, str) or name not in entry.presets:
        raise ConfigError(
            f"{where}.preset: the {entry.kind} '{entry.name}' has no preset {name!r}",
            hint=did_you_mean(name, entry.presets),
        )
    own = {key: value for key, value in values.items() if key != "preset"}
    return build_config(entry.config, own, where=where, under=entry.presets[name].values)


def _entry(source: Source, kind: str, name: str, factory: Callable[[Any], Any], **options: Any) -> Entry:
    """The arguments of `catalogue.Register` as an entry. Raises PluginError for arguments of the wrong type."""
    config = options.get("config")
    if not isinstance(name, str) or not name:
        raise PluginError(f"register_{kind}s: the name must be a text, got {name!r}")
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise PluginError(f"register_{kind}s: the config of '{name}' must be a dataclass, got {config!r}")
    if not callable(factory):
        raise PluginError(f"register_{kind}s: the factory of '{name}' must be callable, got {factory!r}")
    options["presets"] = options.get("presets") or {}
    return Entry(kind, name, factory, **options, distribution=source.distribution, origin=source.origin)
