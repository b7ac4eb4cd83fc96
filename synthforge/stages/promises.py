"""What the inputs of a stage will contain, known before the first stage runs: from earlier stages, or from folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, at, did_you_mean
from ..core.pipeline import Promise, StageContext
from ..core.records import Field

if TYPE_CHECKING:
    from ..learning.model import FaceModel


def of_input(context: StageContext, name: str, *wanted: str) -> Promise:
    """The promise of the input `name`. Raises ConfigError unless it is of one of the `wanted` kinds."""
    promise, where = context.promised.get(name), f"{context.where}.{name}"
    if name not in context.inputs:
        raise ConfigError(f"{where}: this key must be given", hint="Name an earlier stage or a folder.")
    folder = context.inputs[name]
    if promise is None:
        with at(f"{where}:"):
            promise = _of_folder(folder)
    if promise.what not in wanted:
        found = f" but a {promise.what}" if promise.what else ""
        raise ConfigError(f"{where}: {folder} is no {' or '.join(wanted)}{found}")
    return promise


def _of_folder(folder: Path) -> Promise:
    from ..core.config import build_config
    from ..core.foreign import boundary, read_json
    from ..core.shipped import DESCRIPTION
    from ..datasets.layout import MANIFEST
    from ..datasets.reader import read_manifest
    from ..learning.config import NetworkConfig

    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        fields = [Field(**{k: v for k, v in item.items() if k in _FIELD}) for item in manifest["fields"]]
        return Promise("dataset", {item.name: item for item in fields}, int(manifest["count"]))
    if (folder / DESCRIPTION).is_file():
        description = read_json(folder / DESCRIPTION)
        tasks = description.get("tasks", []) if isinstance(description, dict) else []
        rows = tasks.values() if isinstance(tasks, Mapping) else tasks
        named = {str(row["name"]): row for row in rows if isinstance(row, Mapping) and "name" in row}
        with boundary(folder / DESCRIPTION, "the description of a model"):
            network = build_config(NetworkConfig, description["network"], where=f"{folder / DESCRIPTION}: network")
        seen = isinstance(description, dict) and bool(description.get("real_data") or description.get("adapters"))
        return Promise("model", tasks=named, network=network, photographs=seen)
    return Promise("")


_FIELD = ("name", "kind", "unit", "frame", "schema", "description")


def model(context: StageContext, name: str, input_size: int = 0) -> FaceModel:
    """The model of the input `name`, without weights, built for crops of `input_size` pixels, 0 for its own."""
    from ..core.shipped import DESCRIPTION
    from ..learning.model import build_tasks
    from ..learning.planned import planned

    promise, where = of_input(context, name, "model"), f"{context.where}.{name}:"
    if name not in context.promised:
        where = f"{where} {context.inputs[name] / DESCRIPTION}:"
    with at(where):
        tasks, _ = build_tasks(list(promise.tasks.values()), context.plugins)
        return planned(promise.network, tasks, input_size)


def known_task(promise: Promise, task: str, where: str, why: str) -> Mapping[str, Any]:
    """The reference of a model's task. Raises ConfigError if the model lacks it."""
    if task not in promise.tasks:
        raise ConfigError(
            f"{where}: it has no task '{task}', which {why}", hint=did_you_mean(task, promise.tasks, "It has")
        )
    return promise.tasks[task]
