"""Catalogues of registered plugins: names, who registers them, and how they are built from a mapping in YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import PluginError, did_you_mean
from .keys import describe_keys, written_name
from .yaml12 import read_yaml

PLUGIN_KINDS = ("head", "generator", "annotator", "filter", "task", "benchmark", "executor")


class Register(Protocol):
    """The function `register` that a hook receives."""

    def __call__(
        self,
        name: str,
        factory: Callable[[Any], Any],
        *,
        config: type,
        summary: str,
        licence: str = "Apache-2.0",
        fake: Callable[[Path], Mapping[str, Path]] | None = None,
        files: Callable[[Any], Sequence[FileNeed]] | None = None,
        presets: Mapping[str, Preset] | None = None,
        default: int = 0,
        built: Callable[[], Path] | None = None,
    ) -> None: ...


@dataclass(frozen=True)
class Preset:
    """A named set of keys of a plugin's configuration: what it is for, and the keys as in YAML."""

    summary: str
    values: Mapping[str, Any]


def read_presets(folder: Path) -> dict[str, Preset]:
    """The presets in a folder: each file NAME.yaml has the keys `summary` and `values`."""
    return {path.stem: Preset(**read_yaml(path)) for path in sorted(folder.glob("*.yaml"))}


@dataclass(frozen=True)
class FileNeed:
    """A file that a plugin reads besides its configuration, mostly a licensed one that the user brings.

    asset: its row in the table of `assets.registry`; path: the user's file instead, or empty. optional: the plugin
    works without it. fields: it is required only for annotations of these kinds (`core.records.Field`).
    """

    asset: str = ""
    path: str = ""
    optional: bool = False
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One registered plugin.

    - factory(config) builds it; config: the dataclass that OmegaConf merges and checks;
    - distribution, origin: who offers it (`synthforge 0.1.0`, `./my_generator.py`);
    - licence: of what it makes or needs;
    - fake: writes made-up licensed files into a folder and returns them by asset name;
    - files(config): the files it reads. They are looked for before a pipeline starts and listed in the manifest; a
      changed one reruns the stage;
    - presets: sets of keys, chosen by the key `preset`;
    - default: rank among the plugins of its kind that are used where a configuration names none, 0 for never;
    - built(): the file that its first use on a machine builds, if that is slow.
    """

    kind: str
    name: str
    factory: Callable[[Any], Any]
    config: type
    summary: str
    licence: str = "Apache-2.0"
    distribution: str = ""
    origin: str = ""
    fake: Callable[[Path], Mapping[str, Path]] | None = None
    files: Callable[[Any], Sequence[FileNeed]] | None = None
    presets: Mapping[str, Preset] = dataclasses.field(default_factory=dict)
    default: int = 0
    built: Callable[[], Path] | None = None


@dataclass(frozen=True)
class Broken:
    """A plugin module that could not be used, and why."""

    origin: str
    distribution: str
    reason: str
    names: tuple[str, ...] = ()


class Catalogue:
    """All plugins of one kind, by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Add a plugin; a name that is registered already is an error that names both distributions."""
        taken = self._entries.get(entry.name)
        if taken is not None:
            raise PluginError(
                f"two plugins register the {self.kind} '{entry.name}': {taken.distribution} ({taken.origin}) "
                f"and {entry.distribution} ({entry.origin})",
                hint="Uninstall one of them or rename it.",
            )
        self._entries[entry.name] = entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(self._entries)

    def get(self, name: str, *, where: str = "", broken: tuple[Broken, ...] = ()) -> Entry:
        """The entry called `name`; raises PluginError with the nearest name, `where` being the YAML path and file."""
        if name in self._entries:
            return self._entries[name]
        place = f"{where}: " if where else ""
        hints = [did_you_mean(name, self.names())]
        if hints[0].startswith("Known"):
            hints.append("One of your own: install its package, or name its file (`plugins: [FILE]`, --plugin FILE).")
        # It is unknown which names a plugin that failed to import registers, so list them all.
        hints += [f"Not usable: {item.origin} ({item.distribution}): {item.reason}." for item in broken]
        raise PluginError(f"{place}there is no {self.kind} called '{name}'", hint=" ".join(hints))


def describe(entry: Entry) -> Mapping[str, Any]:
    """A plugin as data, for `synthforge plugins --json`."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "summary": entry.summary,
        "licence": entry.licence,
        "distribution": entry.distribution,
        "origin": entry.origin,
        "config": [written_name(item) for item in dataclasses.fields(entry.config)],
        "keys": list(describe_keys(entry.config)),
        "presets": {name: preset.summary for name, preset in entry.presets.items()},
    }
