"""depth: camera z for every pixel of a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import ConfigError
from synthforge.core.frames import CropFrame
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.records import FaceError, FieldKind

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register


@dataclass
class DepthConfig:
    """Depth maps."""

    head: str = key("paper", "Output head: the paper's U-Net, or a light one.", choices=("paper", "light"))
    width: float = key(1.0, "Factor on the channels of the output head.", above=0, high=64)
    normalise: str = key(
        "median",
        "`median` learns z relative to the median of the head, since a crop does not tell the distance of the camera; "
        "`none` learns metric z.",
        choices=("median", "none"),
    )
    unit: float = key(0.1, "What counts as 1 in the loss.", unit="m", above=0)
    weight: float = key(1.0, "Factor on the loss.", low=0)
    prefix: str = key("", "Prefix of the dataset's fields to learn from: `deca_` for what the annotator `deca` wrote.")


class Depth(Task):
    """Camera z in metres as `depth` (B,1,H,W), relative to the head's median where the configuration says so."""

    name: ClassVar[str] = "depth"
    output: ClassVar[str] = "depth"
    kind: ClassVar[FieldKind] = "depth"
    maps: ClassVar[tuple[str, ...]] = ("depth",)
    unit: ClassVar[str] = "m"
    meaning: ClassVar[str] = "camera z relative to the median of the head, metres"
    error: ClassVar[FaceError] = FaceError("AbsRel")

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self.weight = config.weight
        self.fields = (f"{config.prefix}depth",)

    def build_head(self, channels: int) -> nn.Module:
        """The paper's U-Net or the light output head."""
        from synthforge.learning.networks.heads import DenseHead

        c = self.config
        return DenseHead(channels, 1, "depth", head=c.head, width=c.width, unit=c.unit)

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """To another data set's depth. Raises ConfigError for a schema of classes or points."""
        from synthforge.core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
        from synthforge.learning.networks.adapters import DepthAdapter

        if schema in CLASS_SCHEMAS or schema in POINT_SCHEMAS:
            raise ConfigError(f"the task depth cannot be fine-tuned to '{schema}', which is no depth")
        c = self.config
        return DepthAdapter(channels, c.unit, head=c.head, width=c.width)

    def _wanted(self, target: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        depth, mask = target["depth"].float(), target["mask"].bool()
        return (depth - masked_median(depth, mask), mask) if self.config.normalise == "median" else (depth, mask)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Masked L1 in units of `unit`, the mean over the pixels of the mask (0 where there is none)."""
        wanted, mask = self._wanted(target)
        error = (prediction["depth"].float() - wanted).abs() * mask
        return error.sum() / mask.sum().clamp_min(1) / self.config.unit

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """`mae_mm`: mean absolute error over the mask, in millimetres, after removing both medians."""
        import torch

        depth, mask = target["depth"].float(), target["mask"].bool()
        found = prediction["depth"].float()
        error = (found - masked_median(found, mask)) - (depth - masked_median(depth, mask))
        return {"mae_mm": torch.stack([1000.0 * (error.abs() * mask).sum(), mask.sum().to(error.dtype)])}

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`depth` (B,1,H,W) from 0.5 to 1.5 m, and `mask`, everywhere."""
        import torch

        depth = 0.5 + torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(1))
        return {"depth": depth, "mask": torch.ones(count, 1, size, size, dtype=torch.bool)}

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray:
        """Near bright, far dark, within the head where it is known, with the range in millimetres."""
        from synthforge.datasets import drawing
        from synthforge.datasets.crops import region_seen

        depth = region_seen(value, frame, fill=np.nan)
        there = np.isfinite(depth) if inside is None else np.isfinite(depth) & inside
        near, far = drawing.depth_span(depth, there, cut=1)
        dimmed = np.where(there[..., None], image, (0.4 * image).astype(np.uint8))
        picture = drawing.draw_depth(depth, there, (near, far), dimmed)
        size = max(11, len(image) // 24)
        text = f"{1000 * near:+.0f} .. {1000 * far:+.0f} mm" if there.any() else ""
        return drawing.write_over(picture, text, (6, len(image) - 1.6 * size), size)

    def panels(
        self,
        image: np.ndarray,
        frame: CropFrame,
        target: np.ndarray,
        prediction: np.ndarray,
        mask: np.ndarray | None,
        schema: str,
    ) -> Sequence[tuple[str, np.ndarray]]:
        """Annotation and prediction in the same colours, after scale and shift are taken out."""
        from synthforge.datasets import drawing
        from synthforge.datasets.crops import region_seen
        from synthforge.evaluation.metrics import align

        known = (target > 0) if mask is None else mask & (target > 0)
        scale, shift = align(prediction, target, known)
        span = drawing.depth_span(target, known, cut=2)

        def panel(depth: np.ndarray, there: np.ndarray) -> np.ndarray:
            return region_seen(drawing.draw_depth(depth, there, span), frame, fill=0)

        return [
            ("photograph", image),
            ("annotation", panel(target, known)),
            ("prediction, aligned", panel(scale * prediction + shift, np.ones_like(known))),
        ]

    def readers(self, schema: str, pixel_centre: float) -> Mapping[str, Callable[[Path], np.ndarray]]:
        """`.npy` (H,W) float, or `.png`, 8 or 16 bit; any scale and shift, larger is farther."""
        from synthforge.evaluation.files import read_array, read_grey

        return {".npy": lambda path: read_array(path).astype(np.float32), ".png": read_grey}


def masked_median(depth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The median of depth (B,1,H,W) where mask holds, as (B,1,1,1); 0 where it holds nowhere."""
    import torch

    inside = torch.where(mask, depth, torch.full_like(depth, torch.nan))
    return torch.nan_to_num(inside.flatten(1).nanmedian(dim=1).values).view(-1, 1, 1, 1)


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `depth`."""
    register("depth", Depth, config=DepthConfig, summary="camera z for every pixel of a head, metres", default=3)
