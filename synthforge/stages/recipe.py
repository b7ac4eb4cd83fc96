"""A recipe: the generator, annotators and filters that make the samples of a dataset, bound, as one object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..core.files import cache_dir, sha256_of, write_bytes
from ..core.interfaces import SceneFilter
from ..core.plugins import load_plugins
from ..core.records import MEMBER_FIELDS, Members
from ..core.references import Bound

if TYPE_CHECKING:
    from ..assets.needs import Use
    from ..core.catalogue import Entry
    from ..core.interfaces import Filter
    from ..core.records import Field


@dataclass(frozen=True)
class Recipe:
    """The plugins that make samples. In another process they are bound again, from the same references and plugin
    files.

    plugin_files: of the pipeline, relative to its folder `base`.
    """

    generator: Bound
    annotators: tuple[Bound, ...]
    filters: tuple[Bound, ...]
    plugin_files: tuple[str, ...] = ()
    base: Path = Path()

    @property
    def all(self) -> tuple[Bound, ...]:
        """Every plugin, the generator first."""
        return (self.generator, *self.annotators, *self.filters)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the annotators write, and with several members a scene the fields of members.

        Raises ConfigError when two of them write the same field.
        """
        together = MEMBER_FIELDS if self.members.count > 1 else ()
        owner = {item.name: self.generator.name for item in together}
        for annotator in self.annotators:
            for item in annotator.built.fields:
                if item.name in owner:
                    raise ConfigError(
                        f"{annotator.where}: '{annotator.name}' writes the field '{item.name}', "
                        f"as '{owner[item.name]}' does"
                    )
                owner[item.name] = annotator.name
        return (*(item for annotator in self.annotators for item in annotator.built.fields), *together)

    @property
    def members(self) -> Members:
        """Which samples show one scene together, as the generator's configuration says."""
        return members_of(self.generator)

    @cached_property
    def named_filters(self) -> dict[str, Filter]:
        """The filters by name, `name[index]` for one that is listed several times; those that judge scenes come first.

        Raises ConfigError when one reads an annotation that no annotator writes.
        """
        names = [item.name for item in self.filters]
        written = {item.name for item in self.fields}
        for item in self.filters:
            absent = [name for name in item.built.fields if name not in written]
            if absent:
                raise ConfigError(
                    f"{item.where}: '{item.name}' reads {', '.join(absent)}, which no annotator writes",
                    hint=f"Written: {', '.join(sorted(written)) or 'nothing'}. Add the annotator to `annotators`.",
                )
        named = {
            name if names.count(name) == 1 else f"{name}[{index}]": item.built
            for index, (name, item) in enumerate(zip(names, self.filters, strict=True))
        }
        return dict(sorted(named.items(), key=lambda each: not isinstance(each[1], SceneFilter)))

    @property
    def scene_filters(self) -> dict[str, SceneFilter]:
        """Those of the filters that judge scenes."""
        return {name: item for name, item in self.named_filters.items() if isinstance(item, SceneFilter)}

    @property
    def uses(self) -> list[Use]:
        """The licensed files that are read, and the plugins that read them."""
        from ..assets.needs import Use

        return [Use(f"{item.kind} {item.name}", need) for item in self.all for need in item.files]

    def offered_by(self, entry: Entry) -> str:
        """The origin of a plugin: a distribution with its version, or the pipeline's own file with its checksum,
        independent of the folder."""
        path = self.base / entry.origin
        own = entry.origin in self.plugin_files and path.is_file()
        return f"{entry.origin} sha256 {sha256_of(path)}" if own else entry.distribution

    def read(self) -> dict[str, Any]:
        """Digests of the files read, and descriptions of the filters: detectors differ between versions."""
        from ..assets.needs import contents

        judges = {f"filter {name}": item.provenance() for name, item in self.named_filters.items()}
        return {**contents(self.uses), **judges}

    def __reduce__(self) -> Any:
        references = [(item.kind, item.reference, item.where) for item in self.all]
        files = {name: (self.base / name).read_bytes() for name in self.plugin_files if name.endswith(".py")}
        return _bind, (references, len(self.annotators), self.plugin_files, self.base, files)


def members_of(generator: Bound) -> Members:
    """Which samples of a generator show one scene together, as its configuration says."""
    return getattr(generator.config, "members", None) or Members()


def _bind(
    references: list[tuple[str, str | Mapping[str, Any], str]],
    annotators: int,
    names: tuple[str, ...],
    base: Path,
    files: Mapping[str, bytes],
) -> Recipe:
    plugins = load_plugins([_here(name, base, files.get(name)) for name in names], base=base)
    first, *rest = (plugins.bind(kind, reference, where=where) for kind, reference, where in references)
    return Recipe(first, tuple(rest[:annotators]), tuple(rest[annotators:]), names, base)


def _here(name: str, base: Path, data: bytes | None) -> str:
    """A plugin file on this machine: the pipeline's, else a copy of the content that was sent."""
    place = base / name
    if data is None or (place.is_file() and place.read_bytes() == data):
        return name
    copy = cache_dir() / "plugin_files" / hashlib.sha256(data).hexdigest() / place.name
    if not copy.is_file():
        write_bytes(copy, data)
    return str(copy)
