"""Plugins named in a configuration, resolved and checked once, when the pipeline is read.

After that, objects are passed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .boundary import call
from .catalogue import Entry, FileNeed
from .keys import default_of

if TYPE_CHECKING:
    from .plugins import Plugins


@dataclass(frozen=True)
class Bound:
    """A plugin that a configuration names, with its checked configuration; built at the first use and kept.

    reference: as the YAML gives it, a name or a mapping; where: file and YAML path for messages.
    """

    kind: str
    reference: str | Mapping[str, Any]
    entry: Entry
    config: Any
    where: str
    plugins: Plugins = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self.entry.name

    @cached_property
    def built(self) -> Any:
        """The plugin. Raises PluginError when its class is not that of its kind."""
        return self.plugins.build_entry(self.entry, self.config, self.where)

    @cached_property
    def files(self) -> tuple[FileNeed, ...]:
        """The files that it reads with this configuration; known without building it."""
        what = f"{self.where}: the function `files` of the {self.kind} '{self.name}'"
        return tuple(call(what, self.entry.files, self.config)) if self.entry.files else ()

    def having(self, **values: Any) -> Bound:
        """The same plugin with values in place of some of its keys; `reference` stays as the YAML gives it."""
        return self.plugins.bind(self.kind, self.reference, where=self.where, **values)


def bind_keys(config: Any, kinds: Mapping[str, str], plugins: Plugins, where: str) -> None:
    """Replace the references in a configuration by bound plugins.

    kinds: keys that hold a reference, a list of them or None, each with the kind of plugin. A key named KEY_root beside
    KEY replaces the plugin's own key "root".
    """
    for key, kind in kinds.items():
        value, place = getattr(config, key), f"{where}.{key}"
        default = next(default_of(item) for item in dataclasses.fields(config) if item.name == key)
        if isinstance(default, (list, tuple)):
            bound: Any = [plugins.bind(kind, item, where=f"{place}[{index}]") for index, item in enumerate(value)]
        elif value is None and default is None:
            continue
        else:
            root = getattr(config, f"{key}_root", "")
            bound = plugins.bind(kind, value, where=place, **({"root": root} if root else {}))
        setattr(config, key, bound)
