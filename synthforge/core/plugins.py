"""Finding plugins: entry points one at a time, then the files and modules a pipeline names itself.

A plugin that fails to import is listed as broken with its reason and raises only when a pipeline asks for it;
`SYNTHFORGE_STRICT_PLUGINS=1` raises at once, `SYNTHFORGE_TRACE_PLUGINS=1` says on stderr what is loaded from where.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from . import hookspecs
from .catalogue import KINDS, Broken, Catalogue, Entry, FileNeed, Preset
from .config import build_config, split_reference
from .errors import ConfigError, PluginError, SynthForgeError, did_you_mean
from .interfaces import INTERFACES

#: raised when the hook interfaces change in a way that old plugins cannot follow
API_VERSION = 1
GROUP = "synthforge"


class Plugins:
    """The catalogues of one run, what is broken, and how to build a plugin from its reference in YAML."""

    def __init__(self, *, strict: bool = False) -> None:
        self.catalogues: dict[str, Catalogue] = {kind: Catalogue(kind) for kind in KINDS}
        self._broken: list[Broken] = []
        self._conflicts: dict[tuple[str, str], str] = {}
        self._strict = strict

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Plugins that could not be used, in the order they were met."""
        return tuple(self._broken)

    def add(self, load: Callable[[], Any], *, origin: str, distribution: str, names: tuple[str, ...]) -> None:
        """Load one plugin and take in what it registers; a failure is recorded (strict: raised)."""
        if os.environ.get("SYNTHFORGE_TRACE_PLUGINS") == "1":
            print(f"synthforge: loading plugin {origin} ({distribution})", file=sys.stderr)
        offered: list[Entry] = []
        try:
            _collect(load(), partial(_offer, offered, distribution=distribution, origin=origin))
        except Exception as error:  # a plugin may raise anything; it must not disturb the others
            if self._strict:
                raise PluginError(f"plugin {origin} ({distribution}) does not load: {_reason(error)}") from error
            self._broken.append(Broken(origin, distribution, _reason(error), names))
            return
        for entry in offered:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        try:
            self.catalogues[entry.kind].add(entry)
        except PluginError as error:
            if self._strict:
                raise
            self._conflicts[entry.kind, entry.name] = str(error)
            self._broken.append(Broken(entry.origin, entry.distribution, error.message, (entry.name,)))

    def entry(self, kind: str, name: str, *, where: str = "") -> Entry:
        """The entry of a plugin. Raises PluginError for an unknown, broken or doubly registered name."""
        conflict = self._conflicts.get((kind, name))
        if conflict is not None:
            raise PluginError(f"{where}: {conflict}" if where else conflict)
        return self.catalogues[kind].get(name, where=where, broken=self.broken)

    def config(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> Any:
        """The checked configuration of a reference: a name, or a mapping with `name` and the plugin's own keys."""
        name, values = split_reference(reference, kind=kind, where=where)
        return _config(self.entry(kind, name, where=where), values, where)

    def files(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> tuple[FileNeed, ...]:
        """The files that a plugin reads with this configuration, without building it."""
        name, _ = split_reference(reference, kind=kind, where=where)
        entry = self.entry(kind, name, where=where)
        return tuple(entry.files(self.config(kind, reference, where=where))) if entry.files else ()

    def build(self, kind: str, reference: str | Mapping[str, Any], *, where: str = "") -> Any:
        """Build a plugin from its reference. Raises PluginError when it is not of the kind it was registered as."""
        name, values = split_reference(reference, kind=kind, where=where)
        entry = self.entry(kind, name, where=where)
        config: Any = _config(entry, values, where)
        try:
            built = entry.factory(config)
        except SynthForgeError:
            raise
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
        return built

    def add_file(self, reference: str, *, base: Path) -> None:
        """Take in a plugin file (`./my_generator.py`, relative to `base`) or an importable module of the user's."""
        path = (base / reference).resolve() if reference.endswith(".py") else None
        if path is not None and not path.is_file():
            raise PluginError(f"plugins: there is no file {reference} beside {base}")
        before = len(self._broken)
        load = partial(_module_from_file, path) if path else partial(importlib.import_module, reference)
        self.add(load, origin=reference, distribution=str(path or reference), names=())
        if len(self._broken) > before:  # the pipeline asked for this one by name
            raise PluginError(f"plugins: {reference}: {self._broken[-1].reason}")


def load_plugins(extra: Iterable[str] = (), *, base: Path | None = None, strict: bool | None = None) -> Plugins:
    """Load every installed plugin, then `extra` files or modules (relative to `base`, the pipeline's folder)."""
    if strict is None:
        strict = os.environ.get("SYNTHFORGE_STRICT_PLUGINS") == "1"
    plugins = Plugins(strict=strict)
    for entry_point, distribution in _entry_points():
        plugins.add(
            entry_point.load,
            origin=entry_point.value,
            distribution=f"{distribution.metadata['Name']} {distribution.version}",
            names=(entry_point.name.rpartition(".")[2],),
        )
    for reference in extra:
        plugins.add_file(reference, base=base or Path.cwd())
    return plugins


def _config(entry: Entry, values: Mapping[str, Any], where: str) -> Any:
    """The configuration of a plugin from its keys in YAML, over those of the preset they name."""
    if not entry.presets or "preset" not in values:
        return build_config(entry.config, values, where=where)
    name = values["preset"]
    if name not in entry.presets:
        raise ConfigError(
            f"{where}.preset: the {entry.kind} '{entry.name}' has no preset '{name}'",
            hint=did_you_mean(name, entry.presets),
        )
    own = {key: value for key, value in values.items() if key != "preset"}
    return build_config(entry.config, own, where=where, under=entry.presets[name].values)


def _entry_points() -> list[tuple[EntryPoint, Distribution]]:
    """Entry points of our group, each once, in a fixed order."""
    found: dict[tuple[str, str], tuple[EntryPoint, Distribution]] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points:
            if entry_point.group == GROUP:
                found.setdefault((distribution.metadata["Name"] or "", entry_point.name), (entry_point, distribution))
    return [found[key] for key in sorted(found)]


def _collect(module: Any, offer: Callable[..., None]) -> None:
    """Call the hooks of one plugin, checked by pluggy on its own, so that one cannot disturb another."""
    wanted = getattr(module, "SYNTHFORGE_API", API_VERSION)
    if wanted != API_VERSION:
        raise PluginError(f"it is written for plugin API {wanted}, this synthforge has {API_VERSION}")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    hooks = 0
    for kind in KINDS:
        hook = getattr(manager.hook, f"register_{kind}s")
        hooks += len(hook.get_hookimpls())
        hook(register=partial(offer, kind))
    if not hooks:
        raise PluginError("it has no hook (a function `register_generators(register)` marked @hookimpl, or the like)")


def _offer(
    offered: list[Entry],
    kind: str,
    name: str,
    factory: Callable[[Any], Any],
    *,
    config: type,
    summary: str,
    licence: str = "Apache-2.0",
    fake: Callable[[Path], Mapping[str, Path]] | None = None,
    files: Callable[[Any], Sequence[FileNeed]] | None = None,
    presets: Mapping[str, Preset] | None = None,
    distribution: str,
    origin: str,
) -> None:
    if not isinstance(name, str) or not name:
        raise PluginError(f"register_{kind}s: the name must be a text, got {name!r}")
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise PluginError(f"register_{kind}s: the config of '{name}' must be a dataclass, got {config!r}")
    if not callable(factory):
        raise PluginError(f"register_{kind}s: the factory of '{name}' must be callable, got {factory!r}")
    offered.append(
        Entry(kind, name, factory, config, summary, licence, distribution, origin, fake, files, presets or {})
    )


def _module_from_file(path: Path) -> ModuleType:
    # A name of its own for each path: two files called `generator.py` must not be one module.
    name = f"synthforge_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reason(error: BaseException) -> str:
    if isinstance(error, SynthForgeError):
        return error.message
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
