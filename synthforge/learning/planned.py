"""A model before it is built: its shapes alone, on torch's device `meta`, where nothing is computed or allocated.

So a stage can be held against sizes of crops, a label fine-tuning network or an earlier model before any stage starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from ..core.errors import ConfigError, SynthForgeError
from ..core.interfaces import Benchmark, Task
from .config import FinetuneConfig, NetworkConfig
from .model import AdapterInfo, FaceModel
from .networks.widened import start_weights


def planned(network: NetworkConfig, tasks: Mapping[str, Task], input_size: int = 0) -> FaceModel:
    """The model, built for crops of `input_size` pixels, 0 for the network's own.

    Raises ConfigError, its message beginning with `network` or `input_size`, where it cannot be built.
    """
    own = dataclasses.replace(network, input_size=input_size or network.input_size)
    with torch.device("meta"):
        return FaceModel(own, tasks, {name: {} for name in tasks})


def check_sizes(model: FaceModel, sizes: Mapping[str, int], *, batch: int = 2, adapted: str = "") -> None:
    """Raise ConfigError unless backbone and output heads take crops of all the sizes, by the key that asks for each.

    batch: of the crops: batch norm has nothing to learn from a single number. adapted: the task whose label
    fine-tuning network takes part.
    """
    for key, size in sizes.items():
        try:
            with torch.no_grad():
                images = torch.empty(batch, 3, size, size, device="meta")
                features, reads = model.features_for(images, tuple(model.tasks))
                answers = model.run_heads(features)
                if adapted:
                    model.adapters[adapted](answers[adapted], reads[adapted])
        except SynthForgeError as error:
            raise ConfigError(f"{key}: crops of {size} px: {error.message}", hint=error.hint) from None
        except Exception as error:
            if "meta" in str(error):  # it reads numbers, which are not there: only a real run can tell
                continue
            raise ConfigError(
                f"{key}: the network cannot take {batch} crop{'s' * (batch > 1)} of {size} px: "
                f"{' '.join(str(error).split())[:200]}",
                hint="Choose another size, a multiple of 32, or another backbone.",
            ) from error


def adapter_info(config: FinetuneConfig, benchmark: Benchmark, name: str) -> AdapterInfo:
    """The label fine-tuning network of a configuration, for a benchmark that the description calls `name`."""
    return AdapterInfo(
        schema=benchmark.schema,
        with_features=config.with_features,
        benchmark=name,
        options=dict(config.adapter),
        with_levels=config.with_levels,
        own_encoder=config.own_encoder,
        second_look=config.second_look,
    )


def check_adapter(model: FaceModel, task: str, info: AdapterInfo) -> None:
    """Give the model a label fine-tuning network. Raises ConfigError where it cannot have one."""
    with torch.device("meta"):
        model.add_adapter(task, info)


def check_start(model: FaceModel, given: FaceModel) -> None:
    """Raise ConfigError where a model cannot start from the weights of another (`networks.widened`)."""
    try:
        start_weights(given, model)
    except ValueError as error:
        raise ConfigError(
            f"it has another network or other tasks: {error}",
            hint="Give `network` and the keys of its tasks as that model was trained with, or with more channels.",
        ) from error
