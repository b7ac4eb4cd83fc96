"""segmentation: a class for every pixel of a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from synthforge.core.errors import ConfigError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, class_mapping

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register


@dataclass
class SegmentationConfig:
    """schema: the classes; head: `paper` (a U-Net of `width` times the paper's channels) or `light`; prefix: of the
    dataset's field to learn from, `deca_` for what the annotator `deca` wrote. dice: weight of a soft Dice loss beside
    the cross-entropy, which counts a rare class as much as a common one.
    """

    schema: str = "synthforge"
    head: str = "paper"
    width: float = 1.0
    weight: float = 1.0
    prefix: str = ""
    dice: float = 0.0

    def __post_init__(self) -> None:
        if self.dice < 0:
            raise ValueError(f"dice is a weight of 0 or more; got {self.dice}")
        if self.head not in ("paper", "light"):
            raise ValueError(f"head is paper or light; got '{self.head}'")
        if self.schema not in CLASS_SCHEMAS:
            raise ValueError(f"schema is one of {', '.join(CLASS_SCHEMAS)}; got '{self.schema}'")


class Segmentation(Task):
    """Classes of `schema` for every pixel, as `logits` (B,K,H,W)."""

    name: ClassVar[str] = "segmentation"

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.schema = config.schema
        self.weight = config.weight
        self.fields = (f"{config.prefix}segmentation",)

    def build_head(self, channels: int) -> nn.Module:
        """The paper's U-Net or the light head."""
        from synthforge.learning.networks.heads import DenseHead

        classes = len(CLASS_SCHEMAS[self.schema])
        return DenseHead(channels, classes, "logits", head=self.config.head, width=self.config.width)

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """From these classes to those of `schema`, starting from the mapping between the two where one is known.

        Raises ConfigError for a schema that is not one of classes.
        """
        from synthforge.learning.networks.adapters import ClassAdapter

        if schema not in CLASS_SCHEMAS:
            raise ConfigError(f"the task segmentation cannot be fine-tuned to '{schema}', which is no class schema")
        try:
            mapping = class_mapping(self.schema, schema)
        except KeyError:
            mapping = None
        here, there = len(CLASS_SCHEMAS[self.schema]), len(CLASS_SCHEMAS[schema])
        return ClassAdapter(here, there, channels, mapping, head=self.config.head, width=self.config.width)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy, the mean over the pixels that are not ignored (0 where there is none), and `dice` times 1 less
        the soft F1, the mean over the classes that are there (as in V-Net, Milletari et al. 2016).
        """
        from torch.nn import functional

        logits, label = prediction["logits"].float(), target["label"]
        counted = (label != IGNORE).sum().clamp_min(1)
        loss = functional.cross_entropy(logits, label, ignore_index=IGNORE, reduction="sum") / counted
        return loss + self.config.dice * _dice_loss(logits, label) if self.config.dice else loss

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """`accuracy`, `f1` over all foreground pixels together, and `f1/<class>`, all in %."""
        import torch

        logits, label = prediction["logits"], target["label"]
        classes = logits.shape[1]
        kept = label != IGNORE
        found, wanted = logits.argmax(1)[kept], label[kept]
        table = torch.bincount(wanted * classes + found, minlength=classes * classes).view(classes, classes).double()
        right = table.diagonal()
        sizes = table.sum(0) + table.sum(1)
        values = {
            "accuracy": torch.stack([100.0 * right.sum(), table.sum()]),
            "f1": torch.stack([200.0 * right[1:].sum(), sizes[1:].sum()]),
        }
        names = _class_names(self.schema, classes)
        values |= {f"f1/{name}": torch.stack([200.0 * right[i], sizes[i]]) for i, name in enumerate(names)}
        return values


def _dice_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """1 less the soft F1 of (B,K,H,W) logits, over the whole batch, the mean over its classes; 0 without any.

    Not kornia's: before 0.9, which Python 3.10 does not get, it counts classes that no label has as well.
    """
    import torch

    kept = label != IGNORE
    likely = logits.softmax(1).movedim(1, -1)[kept]
    here = label[kept]
    sizes = torch.bincount(here, minlength=likely.shape[-1])
    right = likely.new_zeros(likely.shape[-1]).index_add(0, here, likely.gather(1, here[:, None])[:, 0])
    present = sizes > 0
    return (1.0 - 2.0 * right[present] / (sizes + likely.sum(0))[present]).sum() / present.sum().clamp_min(1)


def _class_names(schema: str, classes: int) -> list[str]:
    names = CLASS_SCHEMAS[schema].classes
    return list(names) if len(names) == classes else [str(index) for index in range(classes)]


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `segmentation`."""
    register("segmentation", Segmentation, config=SegmentationConfig, summary="a class for every pixel of a face")
