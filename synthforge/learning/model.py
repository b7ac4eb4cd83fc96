"""A trained model: backbone, output heads, label fine-tuning networks; saved as safetensors and JSON, not pickles."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from ..core.config import build_config
from ..core.errors import ConfigError, DataError, UserError, at
from ..core.files import write_json
from ..core.foreign import boundary
from ..core.interfaces import Task
from ..core.plugins import Plugins, load_plugins
from ..core.references import Bound
from ..core.shipped import DESCRIPTION
from ..core.storage import place
from .config import NetworkConfig
from .hardware import native_bf16
from .looks import LOOKS, SecondLook, build_looks, looks_of
from .losses import to_size
from .networks.adapters import WithEncoder
from .networks.backbone import BACKBONES, build_backbone
from .networks.folded import Folded
from .networks.pyramid import Pyramid, stacked
from .weights import (
    DIGESTS,
    FORMAT,
    WEIGHTS,
    description_digest,
    read_description,
    read_weights,
    write_weights,
    written_digest,
)

#: of batch normalisation: how many batches it has seen, which it never reads; files are 8 kB smaller without
_COUNTER = ".num_batches_tracked"

Prediction = dict[str, torch.Tensor]
#: a feature map, or `Pyramid.parts`
Features = torch.Tensor | list[torch.Tensor]


def feature_map(features: Features) -> torch.Tensor:
    """The feature map (B,C,h,w) of what `FaceModel.features` gives."""
    return features if isinstance(features, torch.Tensor) else features[0]


@dataclasses.dataclass(frozen=True)
class AdapterInfo:
    """A label fine-tuning network: what it translates to, and whether it reads the feature map.

    options: keys of the task's configuration that it is built with where they differ from its output head's.
    with_levels: it reads the encoder's maps of every size as well. own_encoder: it stands behind an encoder and an
    output head of its own. lean: constant label offset, the mean of `Task.offset` over the faces it learned
    from; for points how far right and below annotations lie, in sides of the crop. `predict` adds it. second_look:
    factor on the shares of the model's second look, which corrects its answers too; 0 for none.
    """

    schema: str
    with_features: bool
    benchmark: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    with_levels: bool = False
    own_encoder: bool = False
    lean: Sequence[float] = (0.0, 0.0)
    second_look: float = 0.0


class FaceModel(nn.Module):
    """Backbone and one output head a task; where a task has been fine-tuned, its adapter behind that head.

    tasks: built tasks by name; references: how to build them again; adapters: by task name; looks: of
    `learning.looks`. `info` is what `model.json` says besides: crop scale, training data, seed, versions, licences.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: NetworkConfig,
        tasks: Mapping[str, Task],
        references: Mapping[str, Mapping[str, Any]],
        *,
        adapters: Mapping[str, AdapterInfo] | None = None,
        looks: Sequence[Mapping[str, Any]] = (),
        info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.tasks, self.references = network, dict(tasks), dict(references)
        self.info: dict[str, Any] = dict(info or {})
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1), persistent=False)
        self.backbone = build_backbone(network)
        self._folded = Folded(self.backbone)
        self._frozen = False
        self.heads = nn.ModuleDict()
        self.wide: set[str] = set()  # tasks whose output head reads `Pyramid.parts`
        for name, task in tasks.items():
            self.heads[name] = self._build_head(task)
        schemas = {name: task.schema for name, task in tasks.items()}
        self.looks = build_looks(looks, schemas, network.mean, network.std)
        self.adapters = nn.ModuleDict()
        self.adapter_info: dict[str, AdapterInfo] = {}
        for name, adapter in (adapters or {}).items():
            self.add_adapter(name, adapter)

    def freeze(self) -> None:
        """Keep the encoder as it is in training: its weights, and the statistics of its normalisation."""
        self._frozen = True
        self.backbone.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FaceModel:
        """As of any module; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self._frozen:
            self.backbone.eval()
        return self

    @property
    def input_size(self) -> int:
        """Side of the square crops this model was trained on, in pixels."""
        return self.network.input_size

    @property
    def crop_scale(self) -> float:
        """Side of those crops in units of the tight landmark box's larger side."""
        return float(self.info.get("crop_scale", 1.3))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.mean.device

    def size_of(self, task: str) -> int:
        """Side in pixels of the crops a task is best at: `task_sizes` of the description, or the model's own size."""
        return int(self.info.get("task_sizes", {}).get(task, self.input_size))

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The tasks that by the model's description are answered by the mean with the mirrored crop."""
        return tuple(self.info.get("mirrored", ()))

    def mirrors(self, task: str, flip: bool | None = None) -> bool:
        """Whether a task is answered so: as `flip` says, or where that is None as the model's description does."""
        return task in self.mirrored if flip is None else flip

    def looks_for(self, task: str) -> list[SecondLook]:
        """The networks of a second look at a task's points, behind a label network as `AdapterInfo` says."""
        factor = self.adapter_info[task].second_look if task in self.adapter_info else 1.0
        return [look.weighed(factor) for look in looks_of(self.looks) if look.info.task == task and factor]

    def _build_head(self, task: Task) -> nn.Module:
        inputs = self.backbone.level_channels if isinstance(self.backbone, Pyramid) else 0
        head = task.build_wide_head(self.network.channels, inputs) if inputs else None
        if head is not None:
            self.wide.add(task.name)
        return head or task.build_head(self.network.channels)

    def schema(self, task: str) -> str:
        """The schema that `predict` answers a task in."""
        info = self.adapter_info.get(task)
        return info.schema if info else self.tasks[task].schema

    def add_adapter(self, task: str, info: AdapterInfo) -> nn.Module:
        """Put a fresh label fine-tuning network behind an output head, in the place of any that is there.

        Raises ConfigError for options that the task's configuration does not have, and where a backbone without a
        feature pyramid has no levels to read. A second look at points of another schema is refused likewise.
        """
        if info.second_look and info.schema != self.tasks[task].schema:
            raise ConfigError(f"second_look: it answers points of '{self.tasks[task].schema}', not of '{info.schema}'")
        learned = _with_options(self.tasks[task], info.options)
        if not info.with_levels:
            adapter = learned.build_adapter(info.schema, self.network.channels if info.with_features else 0)
        elif isinstance(self.backbone, Pyramid):
            adapter = learned.build_wide_adapter(info.schema, self.backbone.level_channels)
        else:
            raise ConfigError(f"with_levels: the backbone '{self.network.backbone}' has no feature pyramid")
        if info.own_encoder:
            encoder, head = (copy.deepcopy(part).requires_grad_(True) for part in (self.backbone, self.heads[task]))
            adapter = WithEncoder(encoder, head, adapter, wide=task in self.wide, levels=info.with_levels)
        self.adapters[task] = adapter
        self.adapter_info[task] = info
        return self.adapters[task]

    def adapter_task(self, task: str) -> Task:
        """The task as the adapter behind its output head was configured: what this one learns by."""
        return _with_options(self.tasks[task], self.adapter_info[task].options)

    def is_apart(self, task: str) -> bool:
        """Whether a label network answers the task that needs nothing of the frozen model (`AdapterInfo`)."""
        return task in self.adapter_info and self.adapter_info[task].own_encoder

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B,3,H,W) in [0,1] as encoders see them."""
        return (images - self.mean) / self.std

    def features(self, images: torch.Tensor) -> Features:
        """What the output heads read of images (B,3,H,W) in [0,1], see `features_for`."""
        return self.features_for(images, tuple(self.tasks))[0]

    def head(self, task: str, features: Features) -> Prediction:
        """An output head's own prediction from what `features_for` gives, which may be more than it reads."""
        prediction: Prediction = self.heads[task](features if task in self.wide else feature_map(features))
        return prediction

    def features_for(
        self, images: torch.Tensor, tasks: Sequence[str], *, folded: bool = False
    ) -> tuple[Features, dict[str, torch.Tensor | None]]:
        """The feature map (B,C,h,w) of images (B,3,H,W) in [0,1], for the heads, and by task what its adapter, if it
        has one, reads beside the head's prediction. That is a feature map, or pixels for an encoder of its own. Where
        the output head of one of these tasks reads more (`Task.build_wide_head`), `Pyramid.parts` instead of the
        feature map alone. folded: normalisation is folded into the backbone's convolutions, which is faster where
        nothing is learned."""
        infos = {task: self.adapter_info[task] for task in tasks if task in self.adapter_info}
        backbone = self._folded() if folded or self._frozen else self.backbone
        pixels = self.pixels(images)
        wide = not self.wide.isdisjoint(tasks)
        stack = any(info.with_levels and not info.own_encoder for info in infos.values())
        parts = backbone.parts(pixels) if isinstance(backbone, Pyramid) and (wide or stack) else [backbone(pixels)]
        features, levels = parts[0], stacked(parts) if stack else None
        return parts if wide else features, {
            task: pixels
            if info.own_encoder
            else (levels if info.with_levels else features if info.with_features else None)
            for task, info in infos.items()
        }

    def run_heads(self, features: Features) -> dict[str, Prediction]:
        """Every output head's own prediction, dense maps at the resolution it works in."""
        return {name: self.head(name, features) for name in self.heads}

    def forward(self, images: torch.Tensor) -> dict[str, Prediction]:
        """Images (B,3,H,W) in [0,1] -> predictions by task, before label fine-tuning; dense maps are (B,K,H,W)."""
        size = (images.shape[-2], images.shape[-1])
        return {name: to_size(self.tasks[name], p, size) for name, p in self.run_heads(self.features(images)).items()}

    @torch.no_grad()
    def predict(
        self,
        images: torch.Tensor,
        *,
        adapted: bool = True,
        flip: bool | None = None,
        tasks: Sequence[str] | None = None,
    ) -> dict[str, Prediction]:
        """Images (B,3,H,W) in [0,1] -> predictions by task, through the adapters unless `adapted` is False.

        flip: also look at the mirrored images and take the mean of the two answers, see `mirrors`. tasks: only these.
        float32; the encoder works in bf16 where the device multiplies it natively. The model is used as it is: put it
        in `eval()` mode (`load_model` does).
        """
        chosen = [name for name in self.heads if tasks is None or name in tasks]
        twice = [name for name in chosen if self.mirrors(name, flip)]
        if twice == chosen:  # one batch: weights are read once, which counts where faces are few
            both = self._predict(torch.cat([images, images.flip(-1)]), adapted, chosen)
            halves = slice(len(images)), slice(len(images), None)
            found, mirrored = (
                {name: {key: value[half] for key, value in each.items()} for name, each in both.items()}
                for half in halves
            )
        else:
            found = self._predict(images, adapted, chosen)
            mirrored = self._predict(images.flip(-1), adapted, twice) if twice else {}
        for name, value in mirrored.items():
            task = self.tasks[name]
            turned = task.flip(value, self.schema(name) if adapted else task.schema)
            found[name] = task.mean([found[name], turned])
        for name, info in self.adapter_info.items() if adapted else ():
            if any(info.lean) and name in found:
                found[name] = self.tasks[name].shifted(found[name], info.lean)
        size = (images.shape[-2], images.shape[-1])
        return {name: to_size(self.tasks[name], prediction, size) for name, prediction in found.items()}

    def _predict(self, images: torch.Tensor, adapted: bool, chosen: Sequence[str]) -> dict[str, Prediction]:
        """Predictions by task, dense maps at the resolution that output heads and adapters work in."""
        images = images.contiguous(memory_format=torch.channels_last)  # a quarter faster on a CPU
        kind, quick = images.device.type, native_bf16(images.device.type)
        found: dict[str, Prediction] = {}
        rest = [name for name in chosen if not (adapted and self.is_apart(name))]
        with torch.autocast(kind, torch.bfloat16, enabled=quick):
            for name in set(chosen).difference(rest):
                found[name] = self.adapters[name]({}, self.pixels(images))
            features, reads = self.features_for(images, rest, folded=True) if rest else ([], {})
        features = features.float() if isinstance(features, torch.Tensor) else [part.float() for part in features]
        for name in rest:
            found[name] = self.head(name, features)
            if adapted and name in reads:
                read = reads[name]
                found[name] = self.adapters[name](found[name], None if read is None else read.float())
        return {name: {k: v.float() for k, v in found[name].items()} for name in chosen}

    def describe(self) -> dict[str, Any]:
        """What `model.json` holds."""
        return {
            **self.info,
            "format": FORMAT,
            "network": dataclasses.asdict(self.network),
            "input_size": self.input_size,
            "crop_scale": self.crop_scale,
            "tasks": [dict(self.references[name]) for name in self.tasks],
            "schemas": {name: self.schema(name) for name in self.tasks},
            "adapters": {name: dataclasses.asdict(info) for name, info in self.adapter_info.items()},
            **({LOOKS: looks} if (looks := [dataclasses.asdict(look.info) for look in looks_of(self)]) else {}),
            "parameters": sum(p.numel() for p in self.parameters()),
        }

    def save(self, folder: Path | str, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write `model.safetensors` and, after it, `model.json`, each atomically; weights: instead of its own.

        `model.json` holds the SHA-256 of both. Raises SynthForgeError for weights that are not finite.
        """
        folder = place(folder)
        weights = self.state_dict() if weights is None else weights
        digest = write_weights(folder / WEIGHTS, {k: v for k, v in weights.items() if not k.endswith(_COUNTER)})
        described = self.describe()
        described[DIGESTS] = {WEIGHTS: digest, DESCRIPTION: description_digest(described)}
        write_json(folder / DESCRIPTION, described)


def _with_options(task: Task, options: Mapping[str, Any]) -> Task:
    """The task of a label network: built with other values of its configuration, without those of the output head.

    Raises ConfigError where it has no such keys.
    """
    if not options and not task.head_keys:
        return task
    config = task.config
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise ConfigError(f"adapter: the task '{task.name}' has no configuration to change for its label network")
    rebuild: Any = type(task)
    for name in task.head_keys:
        if name in options:
            raise ConfigError(f"adapter.{name}: belongs to the output head of the task '{task.name}' alone")
    kept = {name: value for name, value in dataclasses.asdict(config).items() if name not in task.head_keys}
    rebuilt: Task = rebuild(build_config(type(config), {**kept, **options}, where="adapter"))
    return rebuilt


def build_tasks(
    references: Sequence[Any], plugins: Plugins | None = None, *, where: str = ""
) -> tuple[dict[str, Task], dict[str, dict[str, Any]]]:
    """Tasks by name and, by the same names, complete references: every key of their configuration spelled out.

    references: bound when a pipeline was read (`references.Bound`), or plain ones, which are looked up in `plugins`, by
    default everything installed. where: what stands before `tasks[0]` in messages. Raises UserError when two of them
    have one name, PluginError and ConfigError as the catalogue does.
    """
    tasks: dict[str, Task] = {}
    complete: dict[str, dict[str, Any]] = {}
    for index, reference in enumerate(references):
        if isinstance(reference, Bound):
            bound = reference
        else:
            plugins = plugins or load_plugins()
            bound = plugins.bind("task", reference, where=f"{where}tasks[{index}]")
        task: Task = bound.built
        if task.name in tasks:
            raise UserError(f"{bound.where}: the task '{task.name}' is there twice")
        tasks[task.name] = task
        complete[task.name] = {"name": bound.name, **dataclasses.asdict(bound.config)}
    return tasks, complete


def load_model(
    folder: Path | str,
    *,
    plugins: Plugins | None = None,
    device: torch.device | str = "cpu",
    input_size: int = 0,
    task: str = "",
) -> FaceModel:
    """Open a model folder written by training or fine-tuning; the model is in eval mode.

    plugins: where its tasks are found, by default everything installed. input_size: pixels of a crop; 0 for those that
    `task` is best at by the model's own description, or without a task those it was trained on. Raises
    DataError for a folder that holds no model or a damaged one; PluginError when a task it needs is not installed;
    ConfigError when the network cannot take crops of that size.
    """
    folder = place(folder)
    description = read_description(folder)
    with boundary(folder / DESCRIPTION, "the description of a model"):
        digest, of_weights = (written_digest(description, name) for name in (DESCRIPTION, WEIGHTS))
        description.pop(DIGESTS, None)
        network = build_config(NetworkConfig, description["network"], where=f"{folder / DESCRIPTION}: network")
        own_size = network.input_size
        best = int(description.get("task_sizes", {}).get(task, own_size))
        network = dataclasses.replace(network, input_size=input_size or best)
        tasks, references = build_tasks(description["tasks"], plugins, where=f"{folder / DESCRIPTION}: ")
        adapters = {name: AdapterInfo(**info) for name, info in description["adapters"].items()}
        looks = description.get(LOOKS, [])
        weights = read_weights(folder / WEIGHTS, of_weights)
        if BACKBONES[network.backbone].on_meta:
            with at(f"{folder / DESCRIPTION}:"), torch.device("meta"):
                parts = {"adapters": adapters, "looks": looks}
                count = sum(p.numel() for p in FaceModel(network, tasks, references, **parts).parameters())
            if count > len(weights):
                raise ValueError(f"it asks for {count:,} parameters, {WEIGHTS} has {len(weights):,} bytes")
        with at(f"{folder / DESCRIPTION}:"):
            model = FaceModel(network, tasks, references, adapters=adapters, looks=looks, info=description)
        numbers = [model.crop_scale, *map(model.size_of, tasks), *(x for a in adapters.values() for x in a.lean)]
        if not all(map(math.isfinite, numbers)) or not set(model.mirrored) <= set(tasks):
            raise ValueError("crop_scale, task_sizes and lean are finite numbers, and mirrored names tasks")
        if not all(0 <= each.second_look <= 1 for each in adapters.values()):
            raise ValueError("second_look is in [0, 1]")
    try:
        counters = {name: value for name, value in model.state_dict().items() if name.endswith(_COUNTER)}
        model.load_state_dict(counters | safetensors.torch.load(weights))
    except (RuntimeError, safetensors.SafetensorError) as error:
        if network.input_size != own_size:
            raise ConfigError(
                f"input_size: the network of {folder} takes crops of {own_size} pixels, not of {network.input_size}"
            ) from error
        raise DataError(
            f"{folder / WEIGHTS} does not fit {DESCRIPTION}: {' '.join(str(error).split())[:300]}",
            hint="The folder is incomplete or was edited; train again or restore it.",
        ) from error
    if digest not in ("", description_digest(description)):
        raise DataError(
            f"{folder / DESCRIPTION} was changed or damaged after it was written",
            hint=f"Restore it from a copy. If you changed it yourself, remove its key '{DIGESTS}' to accept it.",
        )
    return model.to(device).eval()
