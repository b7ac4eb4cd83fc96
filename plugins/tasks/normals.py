"""normals: which way the surface of a head faces, at every pixel of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
class NormalsConfig:
    """The network and the field it learns from."""

    head: str = key("paper", "The output head: a U-Net, or one convolution of 3 x 3.", choices=("paper", "light"))
    width: float = key(1.0, "Channels of the output head, times those of the paper.", above=0)
    weight: float = key(1.0, "Weight of the loss among those of all tasks.", low=0)
    prefix: str = key("", "Prefix of the dataset's field to learn from: `deca_` for what the annotator `deca` wrote.")


class Normals(Task):
    """Unit normals in the camera frame (x right, y down, z into the picture) as `normals` (B,3,H,W), of any length."""

    name: ClassVar[str] = "normals"
    output: ClassVar[str] = "normals"
    kind: ClassVar[FieldKind] = "normals"
    maps: ClassVar[tuple[str, ...]] = ("normals",)
    meaning: ClassVar[str] = "unit surface normals in the camera frame: x right, y down, z into the picture"
    error: ClassVar[FaceError] = FaceError("mean angle", "degrees")

    def __init__(self, config: NormalsConfig) -> None:
        self.config, self.weight = config, config.weight
        self.fields = (f"{config.prefix}normals",)

    def build_head(self, channels: int) -> nn.Module:
        """The paper's U-Net or the light output head."""
        from synthforge.learning.networks.heads import DenseHead

        return DenseHead(channels, 3, self.output, head=self.config.head, width=self.config.width)

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """A correction of the map. Raises ConfigError for a schema: normals have none."""
        from synthforge.learning.networks.adapters import MapAdapter

        if schema:
            raise ConfigError(f"the task normals cannot be fine-tuned to '{schema}', which is no map of normals")
        return MapAdapter(self.output, 3, channels, head=self.config.head, width=self.config.width)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """1 less the cosine of the angle, the mean over the pixels of the mask (0 where there is none)."""
        cosine, mask = _cosine(prediction, target)
        return ((1.0 - cosine) * mask).sum() / mask.sum().clamp_min(1)

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """`angle_deg`: the mean angle over the mask, in degrees."""
        import torch

        cosine, mask = _cosine(prediction, target)
        angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
        return {"angle_deg": torch.stack([(angle * mask).sum(), mask.sum().to(angle.dtype)])}

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`normals` (B,3,H,W) that face the camera within 60 degrees, and `mask` (B,1,H,W), everywhere."""
        import torch

        across = torch.rand(count, 2, size, size, generator=torch.Generator().manual_seed(1)) - 0.5
        normals = torch.cat([across, -torch.ones(count, 1, size, size)], 1)
        mask = torch.ones(count, 1, size, size, dtype=torch.bool)
        return {"normals": torch.nn.functional.normalize(normals, dim=1), "mask": mask}

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """The map is turned back and x points the other way."""
        normals = prediction["normals"].flip(-1)
        return {**prediction, "normals": normals * normals.new_tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)}

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """Unit normals (h,w,3) float32."""
        normals = super().to_photograph(value, frame)
        return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6))

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray:
        """x, y and z as red, green and blue, within the head where it is known."""
        from synthforge.datasets import drawing
        from synthforge.datasets.crops import region_seen

        normals = region_seen(value, frame, fill=0)
        return drawing.draw_normals(normals if inside is None else normals * inside[..., None], image)


def _cosine(
    prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The cosine of the angle between prediction and target (B,1,H,W), and where it counts, the same."""
    from torch.nn.functional import cosine_similarity

    cosine = cosine_similarity(prediction["normals"].float(), target["normals"].float(), dim=1)
    return cosine[:, None], target["mask"].bool()


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `normals`."""
    register("normals", Normals, config=NormalsConfig, summary="surface normals for every pixel of a head")
