"""Annotations that a replayed dataset brings along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthforge.core.errors import AnnotationError, UserError
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering
from synthforge.datasets.layout import fields_from_json
from synthforge.datasets.reader import read_manifest

from .config import StoredConfig
from .layouts import ReadOptions, layout_named


class StoredAnnotator(Annotator):
    """Passes `Rendering.stored` on, unchanged."""

    def __init__(self, config: StoredConfig) -> None:
        known = {item.name: item for item in _known_fields(config) if item.kind != "image"}
        unknown = [name for name in config.fields if name not in known]
        if unknown:
            raise UserError(
                f"stored: the layout '{config.layout}' has no field {', '.join(unknown)}",
                hint=f"It has: {', '.join(known)}.",
            )
        self.fields = tuple(known[name] for name in config.fields or known)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        missing = [item.name for item in self.fields if item.name not in rendering.stored]
        if missing:
            raise AnnotationError(
                f"this rendering brings no {', '.join(missing)} along",
                hint="The annotator 'stored' goes with the generator 'recorded', with the same layout and options.",
            )
        return {item.name: rendering.stored[item.name] for item in self.fields}


def _known_fields(config: StoredConfig) -> tuple[Field, ...]:
    if config.layout != "shards":
        options = ReadOptions(config.schema, config.point_schema, metric_depth=config.metric_depth)
        return layout_named(config.layout).fields(options)
    if not config.root:
        raise UserError("stored: the layout 'shards' needs the root of the dataset, to know what it holds")
    return fields_from_json(read_manifest(Path(config.root))["fields"])
