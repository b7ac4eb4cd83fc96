"""depth: camera z for every pixel of a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from synthforge.core.errors import ConfigError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register


@dataclass
class DepthConfig:
    """head: `paper` (a U-Net of `width` times the paper's channels) or `light`; unit: metres that are 1 in the loss.

    normalise: `median` learns z relative to the median of the head, since a crop does not tell the distance of the
    camera; `none` learns metric z. prefix: of the dataset's field to learn from, `deca_` for what the annotator `deca`
    wrote.
    """

    head: str = "paper"
    width: float = 1.0
    normalise: str = "median"
    unit: float = 0.1
    weight: float = 1.0
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.head not in ("paper", "light"):
            raise ValueError(f"head is paper or light; got '{self.head}'")
        if self.normalise not in ("none", "median"):
            raise ValueError(f"normalise is none or median; got '{self.normalise}'")
        if self.unit <= 0:
            raise ValueError(f"unit must be positive, got {self.unit}")


class Depth(Task):
    """Camera z in metres as `depth` (B,1,H,W), relative to the head's median where the configuration says so."""

    name: ClassVar[str] = "depth"

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self.schema = ""
        self.weight = config.weight
        self.fields = (f"{config.prefix}depth",)

    def build_head(self, channels: int) -> nn.Module:
        """The paper's U-Net or the light head."""
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


def masked_median(depth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The median of depth (B,1,H,W) where mask holds, as (B,1,1,1); 0 where it holds nowhere."""
    import torch

    inside = torch.where(mask, depth, torch.full_like(depth, torch.nan))
    return torch.nan_to_num(inside.flatten(1).nanmedian(dim=1).values).view(-1, 1, 1, 1)


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `depth`."""
    register("depth", Depth, config=DepthConfig, summary="camera z for every pixel of a head, metres")
