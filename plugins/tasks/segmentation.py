"""segmentation: a class for every pixel of a face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import ConfigError, UserError
from synthforge.core.frames import CropFrame
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.records import FaceError, FieldKind
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, class_mapping

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register


@dataclass
class SegmentationConfig:
    """A class for every pixel."""

    schema: str = key("synthforge", "Class schema: which classes in which order.")
    head: str = key(
        "paper",
        "Output head: the paper's U-Net, a light one, or `tokens`. There each class is a token that looks at the whole "
        "picture, on a grid twice as fine as the features; it needs a backbone with a feature pyramid.",
        choices=("paper", "light", "tokens"),
    )
    width: float = key(1.0, "Factor on the channels of the output head.", above=0, high=64)
    weight: float = key(1.0, "Factor on the loss.", low=0)
    prefix: str = key("", "Prefix of the dataset's fields to learn from: `deca_` for what the annotator `deca` wrote.")
    dice: float = key(
        0.0,
        "Weight of a soft Dice loss beside the cross-entropy; it counts a rare class as much as a common one.",
        low=0,
    )

    class_weights: dict[str, float] = key(
        {},
        "By class: how much a pixel of it counts in the cross-entropy of the output head; 1 for one that is not named.",
        low=0,
    )

    def __post_init__(self) -> None:
        if self.schema not in CLASS_SCHEMAS:
            raise ValueError(f"schema: '{self.schema}' is not one of {', '.join(CLASS_SCHEMAS)}")
        for name in self.class_weights:
            if name not in CLASS_SCHEMAS[self.schema].classes:
                raise ValueError(f"class_weights: {self.schema} has no class '{name}'")


# Log-probability of a class that no class of the model's schema maps to; finite, so that interpolation stays finite.
UNREACHABLE = 1e-12


class Segmentation(Task):
    """Classes of `schema` for every pixel, as `logits` (B,K,H,W)."""

    name: ClassVar[str] = "segmentation"
    output: ClassVar[str] = "logits"
    kind: ClassVar[FieldKind] = "label"
    maps: ClassVar[tuple[str, ...]] = ("logits",)
    head_keys: ClassVar[tuple[str, ...]] = ("class_weights",)
    unit: ClassVar[str] = "class id"
    error: ClassVar[FaceError] = FaceError("100 - mean F1", "%")

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.schema = config.schema
        self.weight = config.weight
        self.fields = (f"{config.prefix}segmentation",)

    def build_head(self, channels: int) -> nn.Module:
        """The paper's U-Net or the light output head. Raises ConfigError for `tokens`."""
        from synthforge.learning.networks.heads import DenseHead

        if self.config.head == "tokens":
            raise ConfigError("head: `tokens` needs a backbone with a feature pyramid")
        classes = len(CLASS_SCHEMAS[self.schema])
        return DenseHead(channels, classes, "logits", head=self.config.head, width=self.config.width)

    def build_wide_head(self, channels: int, inputs: int) -> nn.Module | None:
        """The output head `tokens`."""
        from synthforge.learning.networks.tokens import TokenHead

        if self.config.head != "tokens":
            return None
        classes = len(CLASS_SCHEMAS[self.schema])
        return TokenHead(channels, inputs, classes, "logits", width=self.config.width)

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """From these classes to those of `schema`, starting from the mapping between the two where one is known.

        Raises ConfigError for a schema that is not one of classes. It is light instead of `tokens`, which read more.
        """
        return self._adapter(schema, channels, "light" if self.config.head == "tokens" else self.config.head)

    def build_wide_adapter(self, schema: str, channels: int) -> nn.Module:
        """The same, where the encoder's maps are read: `tokens` too."""
        return self._adapter(schema, channels, self.config.head)

    def _adapter(self, schema: str, channels: int, head: str) -> nn.Module:
        from synthforge.learning.networks.adapters import ClassAdapter

        if schema not in CLASS_SCHEMAS:
            raise ConfigError(f"the task segmentation cannot be fine-tuned to '{schema}', which is no class schema")
        try:
            mapping = class_mapping(self.schema, schema)
        except KeyError:
            mapping = None
        here, there = len(CLASS_SCHEMAS[self.schema]), len(CLASS_SCHEMAS[schema])
        return ClassAdapter(here, there, channels, mapping, head=head, width=self.config.width)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy + `dice` * (1 - soft F1) (V-Net, Milletari et al. 2016).

        Cross-entropy is the mean over pixels that are not ignored (0 if there is none), F1 over the classes present.
        """
        from torch.nn import functional

        logits, label = prediction["logits"].float(), target["label"]
        counted = (label != IGNORE).sum().clamp_min(1)
        weight = self._weights.to(logits) if self.config.class_weights else None
        loss = functional.cross_entropy(logits, label, weight, ignore_index=IGNORE, reduction="sum") / counted
        return loss + self.config.dice * _dice_loss(logits, label) if self.config.dice else loss

    @cached_property
    def _weights(self) -> torch.Tensor:
        """`class_weights` (K,) of the task's own classes."""
        import torch

        names = CLASS_SCHEMAS[self.schema].classes
        return torch.tensor([self.config.class_weights.get(name, 1.0) for name in names])

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

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`label` (B,H,W) int64 of the first three classes."""
        import torch

        return {"label": torch.randint(0, 3, (count, size, size), generator=torch.Generator().manual_seed(1))}

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """The map is turned back, and left and right classes change places."""
        known = CLASS_SCHEMAS[schema]
        return {"logits": prediction["logits"].flip(-1)[:, known.mirror[: len(known)].astype(int).tolist()]}

    def moving(self, prediction: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The classes' probabilities."""
        return {"logits": prediction["logits"].float().softmax(1)}

    def in_schema(self, prediction: Mapping[str, torch.Tensor], schema: str) -> Mapping[str, torch.Tensor]:
        """Log-probabilities in another class schema: each target class takes the summed probability of the classes
        mapped to it (`core.schemas.class_mapping`), so that several that share a target vote together.
        """
        if schema == self.schema:
            return prediction
        try:
            table = class_mapping(self.schema, schema)
        except KeyError as error:
            raise UserError(f"'{self.schema}' cannot be scored as '{schema}': {error.args[0]}") from error
        import torch

        logits = prediction["logits"]
        probabilities = logits.float().softmax(dim=1)
        mapped = probabilities.new_zeros((logits.shape[0], len(CLASS_SCHEMAS[schema]), *logits.shape[2:]))
        into = torch.as_tensor(table[: logits.shape[1]].astype("int64"), device=logits.device)
        mapped.index_add_(1, into, probabilities)
        return {**prediction, "logits": mapped.clamp_min(UNREACHABLE).log()}

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """Class ids (h,w) uint8, chosen at the photograph's resolution; 0 outside of the crop."""
        return frame.largest(value.float()).astype(np.uint8)

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray:
        """The classes in their colours, the background dimmed."""
        from synthforge.datasets import drawing
        from synthforge.datasets.crops import region_seen

        label = region_seen(value, frame, fill=0)
        dimmed = (0.55 * image).astype(np.uint8)
        return np.where((label == 0)[..., None], dimmed, drawing.draw_labels(label, schema, image, 0.55))

    def panels(
        self,
        image: np.ndarray,
        frame: CropFrame,
        target: np.ndarray,
        prediction: np.ndarray,
        mask: np.ndarray | None,
        schema: str,
    ) -> Sequence[tuple[str, np.ndarray]]:
        """Both maps over the photograph, and where they differ."""
        from synthforge.datasets import drawing
        from synthforge.datasets.crops import region_seen

        known, found = (region_seen(label, frame, fill=IGNORE) for label in (target, prediction))
        return [
            ("photograph", image),
            ("annotation", drawing.draw_labels(known, schema, image)),
            ("prediction", drawing.draw_labels(found, schema, image)),
            ("where they differ", drawing.draw_differences(known, found, image)),
        ]

    def legend(self, values: Sequence[np.ndarray], schema: str) -> Sequence[tuple[tuple[int, int, int], str]]:
        """The classes that occur, without the background."""
        from synthforge.datasets import drawing

        ids = sorted({int(i) for value in values for i in np.unique(value)} - {0})
        colours = drawing.palette(schema).tolist()
        return [(tuple(colours[i]), drawing.class_name(schema, i)) for i in ids]

    def record(self, value: np.ndarray, schema: str, index: int) -> dict[str, Any]:
        """`classes`: the schema, and the share of the crop that each class takes."""
        from synthforge.datasets import drawing

        counts = enumerate(np.bincount(value.ravel(), minlength=1).tolist())
        shares = {drawing.class_name(schema, i): round(n / value.size, 6) for i, n in counts if n}
        return {"classes": {"schema": schema, "shares": shares}}

    def suffixes(self) -> tuple[str, ...]:
        """The label map."""
        return (".labels.png",)

    def files(
        self, values: Sequence[np.ndarray], frames: Sequence[CropFrame], shape: tuple[int, int], schema: str
    ) -> dict[str, bytes]:
        """One label map of the photograph, a palette PNG whose pixel values are the class ids."""
        from PIL import Image

        from synthforge.datasets import drawing

        label = Image.fromarray(merge_labels(values, frames, shape))
        label.putpalette(drawing.palette(schema).tobytes())
        return {".labels.png": drawing.encoded(label, "PNG")}

    def readers(self, schema: str, pixel_centre: float) -> Mapping[str, Callable[[Path], np.ndarray]]:
        """`.png`, 8 bit, the class ids of `schema`, of the photograph's size."""
        from synthforge.evaluation.files import read_label

        return {".png": lambda path: read_label(path, len(CLASS_SCHEMAS[schema]))}


def merge_labels(values: Sequence[np.ndarray], frames: Sequence[CropFrame], shape: tuple[int, int]) -> np.ndarray:
    """One label map (H,W) uint8 of several faces' (h,w), each over the region of its frame.

    Where crops meet, the nearer crop's class that is not background decides; distances are counted from the crops'
    centres in their own sides.
    """
    merged = np.zeros(shape, np.uint8)
    nearest = np.full(shape, np.inf, np.float32)
    for label, frame in zip(values, frames, strict=True):
        left, top, right, bottom = frame.region
        window = np.s_[top:bottom, left:right]
        if len(values) == 1:
            merged[window] = label
            continue
        m = frame.matrix / frame.size
        x = (np.arange(left, right) + 0.5) * m[0, 0] + m[0, 2] - 0.5
        y = (np.arange(top, bottom) + 0.5) * m[1, 1] + m[1, 2] - 0.5
        distance = np.hypot(x[None], y[:, None]).astype(np.float32)
        wins = (label != 0) & (distance < nearest[window])
        merged[window][wins] = label[wins]
        nearest[window][wins] = distance[wins]
    return merged


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
    register(
        "segmentation", Segmentation, config=SegmentationConfig, summary="a class for every pixel of a face", default=2
    )
