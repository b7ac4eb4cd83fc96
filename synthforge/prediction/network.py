"""What a predictor needs of a model, and any function as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..core.interfaces import Task
from ..learning.looks import Look


class Network(Protocol):
    """What a predictor needs of a model: `learning.model.FaceModel`, or anything like it."""

    @property
    def tasks(self) -> Mapping[str, Task]: ...

    @property
    def info(self) -> Mapping[str, Any]: ...

    @property
    def adapter_info(self) -> Mapping[str, Any]: ...

    @property
    def crop_scale(self) -> float: ...

    @property
    def device(self) -> torch.device: ...

    def size_of(self, task: str) -> int: ...

    def schema(self, task: str) -> str: ...

    def mirrors(self, task: str, flip: bool | None = None) -> bool: ...

    def looks_for(self, task: str) -> Sequence[Look]: ...

    def predict(
        self, images: torch.Tensor, *, adapted: bool, flip: bool | None, tasks: Sequence[str]
    ) -> Mapping[str, Mapping[str, torch.Tensor]]: ...


@dataclass(frozen=True)
class Function:
    """Any function as the network of a predictor, for one task.

    call: crops (B,3,input_size,input_size) float32 in [0,1] -> the task's prediction, in `answers` (a schema, empty for
    the task's own). crop_scale: side of the crop in units of the face box's larger side.
    """

    call: Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
    task: Task
    answers: str = ""
    input_size: int = 256
    crop_scale: float = 1.0

    @property
    def device(self) -> torch.device:
        """Where crops are put."""
        return torch.device("cpu")

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The one task by its name."""
        return {self.task.name: self.task}

    @property
    def info(self) -> Mapping[str, Any]:
        """Nothing is known of what it learned from."""
        return {}

    @property
    def adapter_info(self) -> Mapping[str, Any]:
        """No label fine-tuning network."""
        return {}

    def size_of(self, task: str) -> int:
        """See `Network`, as below."""
        return self.input_size

    def schema(self, task: str) -> str:
        """The schema of the answers."""
        return self.answers or self.task.schema

    def mirrors(self, task: str, flip: bool | None = None) -> bool:
        """Whether the mirrored crop is looked at too: when asked."""
        return bool(flip)

    def looks_for(self, task: str) -> Sequence[Look]:
        """No second look."""
        return ()

    def predict(
        self, images: torch.Tensor, *, adapted: bool, flip: bool | None, tasks: Sequence[str]
    ) -> Mapping[str, Mapping[str, torch.Tensor]]:
        """The function's answer by the task's name, or its mean with that for the mirrored images."""
        found = self.call(images)
        if flip:
            turned = self.task.flip(self.call(images.flip(-1)), self.schema(""))
            found = self.task.mean([found, turned])
        return {self.task.name: found}
