"""keypoints: facial landmarks as heatmaps and their soft-argmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synthforge.core.config import key
from synthforge.core.errors import ConfigError
from synthforge.core.foreign import boundary, read_json
from synthforge.core.frames import CropFrame, apply
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.records import FaceError, FieldKind
from synthforge.core.schemas import POINT_SCHEMAS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register

LOSSES = ("l2", "smooth", "wing")


@dataclass
class KeypointsConfig:
    """Landmarks."""

    schema: str = key("ibug68", "Point schema: which points in which order.")
    head: str = key("paper", "Output head: the paper's stacked hourglass, or a light one.", choices=("paper", "light"))
    size: int = key(64, "Side of the heatmaps of the output head `paper`.", unit="px", low=4, high=1024)
    width: int = key(128, "Channels inside the output head.", low=1, high=4096)
    stacks: int = key(2, "Hourglass stacks of the output head `paper`.", low=1, high=16)
    loss: str = key(
        "l2",
        "`l2` is the norm of the difference, summed over points (the paper's), `smooth` Huber's, `wing` that of Feng "
        "et al. 2018.",
        choices=LOSSES,
    )
    hidden_weight: float = key(1.0, "Weight of a point that nothing of the image shows.", low=0)
    weight: float = key(1.0, "Factor on the loss.", low=0)
    prefix: str = key("", "Prefix of the dataset's fields to learn from: `deca_` for what the annotator `deca` wrote.")

    def __post_init__(self) -> None:
        if self.schema not in POINT_SCHEMAS:
            raise ValueError(f"schema: '{self.schema}' is not one of {', '.join(POINT_SCHEMAS)}")


class Keypoints(Task):
    """Landmarks as `points` (B,N,2) in [0,1] of the image, with `heatmaps` and the points of every stack, `stacks`."""

    name: ClassVar[str] = "keypoints"
    output: ClassVar[str] = "points"
    kind: ClassVar[FieldKind] = "points2d"
    unit: ClassVar[str] = "pixels"
    error: ClassVar[FaceError] = FaceError("NME", "%", limit=10.0)
    locates: ClassVar[bool] = True

    def __init__(self, config: KeypointsConfig) -> None:
        self.config = config
        self.schema = config.schema
        self.weight = config.weight
        self.fields = (f"{config.prefix}landmarks2d", f"{config.prefix}landmark_visibility")

    def build_head(self, channels: int) -> nn.Module:
        """The paper's or the light output head."""
        from synthforge.learning.networks.heads import PointHead

        c = self.config
        points = len(POINT_SCHEMAS[c.schema])
        return PointHead(channels, points, head=c.head, size=c.size, width=c.width, stacks=c.stacks)

    def build_adapter(self, schema: str, channels: int) -> nn.Module:
        """From these points to those of `schema`. Raises ConfigError for a schema that is not one of points."""
        from synthforge.learning.networks.adapters import PointAdapter

        if schema not in POINT_SCHEMAS:
            raise ConfigError(f"the task keypoints cannot be fine-tuned to '{schema}', which is no point schema")
        c = self.config
        here, there = len(POINT_SCHEMAS[c.schema]), len(POINT_SCHEMAS[schema])
        return PointAdapter(here, there, channels, head=c.head, size=c.size, width=c.width, stacks=c.stacks)

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean over faces of the sum over points, averaged over the stacks (intermediate supervision).

        Points that are not finite (behind the camera, say) cost nothing.
        """
        import torch

        given = target["points"].float()
        wanted = given.nan_to_num(0.0, 0.0, 0.0)  # not left to the weight: NaN times 0 is NaN
        stacks = prediction.get("stacks", prediction["points"][:, None]).float()
        error = _penalty(stacks - wanted[:, None], self.config.loss)
        weight = torch.where(target["visible"].bool(), 1.0, self.config.hidden_weight) if "visible" in target else None
        if weight is None:
            weight = torch.ones_like(wanted[..., 0])
        # A soft-argmax cannot leave the image, so what lies outside must not pull.
        weight = weight * ((given >= 0) & (given <= 1)).all(-1)
        return (error * weight[:, None]).sum(-1).mean()

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """`nme` in % of the distance of the outer eye corners, over all finite points and by region."""
        import torch

        # The targets' own schema is known by its number of points; regions are reported where it is ours.
        schema = POINT_SCHEMAS[self.schema]
        wanted, found = target["points"].float(), prediction["points"].float()
        a, b = schema.eye_corners
        scale = (wanted[:, a] - wanted[:, b]).norm(dim=-1).clamp_min(1e-6)
        error = 100.0 * (found - wanted).norm(dim=-1) / scale[:, None]
        values: dict[str, Any] = {}
        for name, members in {
            "nme": range(wanted.shape[1]),
            **{f"nme/{k}": v for k, v in schema.regions.items()},
        }.items():
            each = error[:, list(members)].nanmean(1)
            faces = each.isfinite()
            values[name] = torch.stack([each[faces].sum(), faces.sum().float()])
        return values

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`points` (B,N,2) anywhere in the crop, and `visible` (B,N), all of them."""
        import torch

        points = len(POINT_SCHEMAS[self.schema])
        drawn = torch.rand(count, points, 2, generator=torch.Generator().manual_seed(1))
        return {"points": drawn, "visible": torch.ones(count, points, dtype=torch.bool)}

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """x becomes 1 - x, heatmaps are turned back, and left and right points change places."""
        import torch

        order = list(POINT_SCHEMAS[schema].mirror)
        found = {}
        for name, value in prediction.items():
            if name == "heatmaps":
                found[name] = value[:, order].flip(-1)
            else:
                found[name] = torch.stack([1.0 - value[..., 0], value[..., 1]], dim=-1)[..., order, :]
        return found

    def moving(self, prediction: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The points."""
        return {"points": prediction["points"]}

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """Points (N,2) float64 in pixels of the photograph."""
        return frame.points(value)

    def offset(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """How far each annotated point lies right and below of the predicted one, shares of the crop: (M,2)."""
        wanted = target["points"].double()
        return (wanted - prediction["points"])[((wanted >= 0) & (wanted <= 1)).all(-1)]

    def shifted(self, prediction: Mapping[str, torch.Tensor], offset: Sequence[float]) -> dict[str, torch.Tensor]:
        """The points moved by `offset` (x, y)."""
        import torch

        points = prediction["points"]
        return {**prediction, "points": points + torch.tensor(offset, device=points.device)}

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray:
        """The points with the edges of their schema, a colour a region."""
        from synthforge.datasets import drawing

        return drawing.draw_points(image, [drawing.Points(apply(frame.matrix, value), schema, radius=1.75)])

    def panels(
        self,
        image: np.ndarray,
        frame: CropFrame,
        target: np.ndarray,
        prediction: np.ndarray,
        mask: np.ndarray | None,
        schema: str,
    ) -> Sequence[tuple[str, np.ndarray]]:
        """The annotation in green, and the prediction in red over it."""
        from synthforge.datasets import drawing

        known = drawing.Points(apply(frame.matrix, target), schema, drawing.TRUTH)
        found = drawing.Points(apply(frame.matrix, prediction), schema, drawing.PREDICTION)
        return [
            ("annotation", drawing.draw_points(image, [known])),
            ("prediction (red) over annotation", drawing.draw_points(image, [known, found])),
        ]

    def legend(self, values: Sequence[np.ndarray], schema: str) -> Sequence[tuple[tuple[int, int, int], str]]:
        """The colours of the regions."""
        from synthforge.datasets import drawing

        regions = POINT_SCHEMAS[schema].regions if schema in POINT_SCHEMAS else {}
        return [(drawing.REGIONS.get(name, drawing.MARK), name) for name in regions]

    def record(self, value: np.ndarray, schema: str, index: int) -> dict[str, Any]:
        """`landmarks`: the schema, and the points rounded to a thousandth of a pixel."""
        return {"landmarks": {"schema": schema, "points": [[round(float(v), 3) for v in point] for point in value]}}

    def readers(self, schema: str, pixel_centre: float) -> Mapping[str, Callable[[Path], np.ndarray]]:
        """`.pts`, 1-based; `.txt`, a line `x y` for each point; `.json`, pairs or `{"points": pairs}`; `.npy` (N,2)."""
        from synthforge.evaluation.files import read_array, read_pairs, read_pts

        shift = 0.5 - pixel_centre
        return {
            ".pts": lambda path: read_pts(path, len(POINT_SCHEMAS[schema])),
            ".txt": lambda path: read_pairs(path) + shift,
            ".json": lambda path: _json_points(path) + shift,
            ".npy": lambda path: read_array(path).astype(np.float64) + shift,
        }


def _json_points(path: Path) -> np.ndarray:
    data = read_json(path)
    with boundary(path, "a list of points", hint="Write [[x, y], ...]."):
        points = np.array(data["points"] if isinstance(data, dict) else data)
        if points.dtype.kind not in "iuf":
            raise ValueError("not every value is a number")
        return points.astype(np.float64)


def _penalty(difference: torch.Tensor, kind: str) -> torch.Tensor:
    """(...,2) -> (...): what a difference of normalised coordinates costs."""
    import torch

    if kind == "l2":
        return difference.square().sum(-1).add(1e-12).sqrt()
    if kind == "smooth":
        return (
            torch.nn.functional.huber_loss(difference, torch.zeros_like(difference), delta=0.02, reduction="none").sum(
                -1
            )
            / 0.02
        )
    size = difference.abs()
    width, curve = 0.05, 0.0125  # Feng et al. 2018: w = 10, epsilon = 2 at 256 pixels, scaled to unit coordinates
    offset = width - width * math.log1p(width / curve)
    return torch.where(size < width, width * torch.log1p(size / curve), size - offset).sum(-1)


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `keypoints`."""
    register(
        "keypoints",
        Keypoints,
        config=KeypointsConfig,
        summary="facial landmarks by heatmaps and soft-argmax",
        default=1,
    )
