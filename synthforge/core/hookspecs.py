"""The hooks a plugin can implement. Each hook receives `register` and calls it once for each plugin or record.

Plugins are `register(name, factory, config=..., summary=...)` (`catalogue.Register`), data is `register(record)`.
Keep the module that holds the hooks light: import torch and the like inside `factory`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .catalogue import Register

PROJECT = "synthforge"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_heads(register: Register) -> None:
    """Offer parametric head models (`interfaces.HeadModel`): shared geometry for generators and annotators."""


@hookspec
def register_generators(register: Register) -> None:
    """Offer generators (`interfaces.Generator`): scenes into renderings."""


@hookspec
def register_annotators(register: Register) -> None:
    """Offer annotators (`interfaces.Annotator`): labels read off a rendering's own geometry."""


@hookspec
def register_filters(register: Register) -> None:
    """Offer quality filters (`interfaces.Filter`): accept or reject a finished sample."""


@hookspec
def register_tasks(register: Register) -> None:
    """Offer tasks (`interfaces.Task`): an output head, a loss and a metric for one kind of label."""


@hookspec
def register_benchmarks(register: Register) -> None:
    """Offer benchmarks (`interfaces.Benchmark`): a real dataset with its labels, crop and metric."""


@hookspec
def register_executors(register: Register) -> None:
    """Offer executors (`interfaces.Executor`): where the shards of a dataset are made."""


@hookspec
def register_schemas(register: Any) -> None:
    """Offer label schemas (`schemas.PointSchema`, `schemas.ClassSchema`): names, sides and colours of labels."""


@hookspec
def register_mappings(register: Any) -> None:
    """Offer mappings between schemas of classes (`schemas.ClassMapping`) and of points (`schemas.PointMapping`)."""


@hookspec
def register_assets(register: Any) -> None:
    """Offer licensed files that the user brings (`assets.registry.Asset`): where from, which licence, how checked."""


@hookspec
def register_policies(register: Any) -> None:
    """Offer augmentation policies (`learning.policies.Policy`)."""


@hookspec
def register_backbones(register: Any) -> None:
    """Offer feature encoders (`learning.networks.backbone.Backbone`)."""


@hookspec
def register_detectors(register: Any) -> None:
    """Offer face detectors (`prediction.detectors.Detector`), with what their boxes and points mean."""


@hookspec
def register_formats(register: Any) -> None:
    """Offer formats of other tools (`datasets.formats.Format`) that finished datasets are exported to."""


HOOKS = tuple(name.removeprefix("register_") for name in list(globals()) if name.startswith("register_"))
