"""mesh: points all over the face, in the image and in space, with how far each may be off and whether it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synthforge.core.config import key
from synthforge.core.frames import CropFrame, apply
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Task
from synthforge.core.records import FaceError, Field
from synthforge.core.schemas import POINT_SCHEMAS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthforge.core.catalogue import Register
    from synthforge.core.interfaces import TargetPlan
    from synthforge.learning.fields import Moved

#: Metres. One crop does not tell how large a head is, so points in space have a fixed size. At it their root mean
#: square distance from their centroid is this, as on the average adult head of anny.
RADIUS = 0.054
#: columns of the prediction: x, y; X, Y, Z; the logarithms of their standard deviations; the logit of being seen
PLACE, SPACE, SPREAD_PLACE, SPREAD_SPACE, SEEN = slice(0, 2), slice(2, 5), slice(5, 7), slice(7, 10), 10
COLUMNS = 11
#: errors that cost 1 before the likelihood counts: sides of the crop, metres
_UNITS = (0.02, 0.01)
#: of points, what a unit of the output layer is; that of logarithms and logits, which are larger, is 1
_STEP = 0.1
#: share of a Gaussian within one standard deviation
_WITHIN = 0.6827
#: the first standard deviations as natural logarithms, and their limits
_START, _LIMITS = (-3.5, -4.5), (-9.0, 1.0)


@dataclass
class MeshConfig:
    """Points of the head's mesh."""

    schema: str = key("mediapipe478", "Point schema: which points in which order.")
    width: int = key(40, "Channels inside the output head.", low=1, high=4096)
    stride: int = key(2, "Of the output head's maps, in places of the feature map.", low=1, high=8)
    share: int = key(16, "Numbers that stand for a point.", low=1, high=4096)
    context: int = key(24, "Numbers of the whole face that every point knows.", low=1, high=4096)
    hidden: int = key(64, "Width of the perceptron that all points share.", low=1, high=4096)
    warm_up: int = key(300, "Steps without the likelihood, in which only the points learn.", low=0)
    likelihood: float = key(0.1, "Weight of the Gaussian likelihood of the errors.", low=0)
    weight: float = key(1.0, "Factor on the loss.", low=0)

    def __post_init__(self) -> None:
        if self.schema not in POINT_SCHEMAS:
            raise ValueError(f"schema: '{self.schema}' is not one of {', '.join(POINT_SCHEMAS)}")


@dataclass(frozen=True)
class SpaceTarget:
    """Points (N,3) in the camera's axes about their centroid, at the size that `RADIUS` states."""

    mirror: tuple[int, ...]

    def cut(self, value: Any, matrix: np.ndarray, size: int) -> np.ndarray:
        """The same in every crop."""
        points = np.asarray(value, np.float64)
        points = points - points.mean(0)
        return (points * (RADIUS / max(np.sqrt((points**2).sum(1).mean()), 1e-9))).astype(np.float32)

    def move(self, value: torch.Tensor, moved: Moved) -> dict[str, torch.Tensor]:
        """They turn with the picture; mirrored, left and right change places."""
        import torch

        from synthforge.learning.fields import swapped

        across = value[..., :2] @ moved.turn.transpose(1, 2)
        return {"space": swapped(torch.cat([across, value[..., 2:]], -1), moved.flipped, self.mirror)}


class Mesh(Task):
    """`mesh` (B,N,11): x, y in [0,1] of the crop; X, Y, Z in metres at the size of `RADIUS`, camera axes, from the
    centroid of the points; natural logarithms of the five standard deviations; logit of being seen."""

    name: ClassVar[str] = "mesh"
    output: ClassVar[str] = "mesh"
    unit: ClassVar[str] = "pixels; metres at the stated size"
    meaning: ClassVar[str] = (
        f"points of the head's surface with standard deviations and visibility; in space, camera axes, from their "
        f"centroid, at the size at which their root mean square distance from it is {RADIUS} m"
    )
    raw: ClassVar[str] = (
        "the columns: x, y in [0, 1] of the crop; X, Y, Z in metres; natural logarithms of the standard deviations of "
        "these five in the same units; logit of being seen"
    )
    error: ClassVar[FaceError] = FaceError("NME", "%", limit=10.0)
    calibrates: ClassVar[bool] = True
    on_request: ClassVar[bool] = True

    def __init__(self, config: MeshConfig) -> None:
        self.config, self.schema, self.weight = config, config.schema, config.weight
        self.fields = ("mesh2d", "mesh3d", "mesh_visibility")

    def build_head(self, channels: int) -> nn.Module:
        """A map a point, and its numbers from what it reads there."""
        import torch

        from synthforge.learning.networks.heads import PlacesHead

        start, unit = torch.zeros(COLUMNS), torch.ones(COLUMNS)
        start[SPREAD_PLACE], start[SPREAD_SPACE] = _START
        unit[PLACE] = unit[SPACE] = _STEP
        points = len(POINT_SCHEMAS[self.schema])
        c = self.config
        sizes = {name: getattr(c, name) for name in ("width", "stride", "share", "context", "hidden")}
        return PlacesHead(channels, self.output, points, start, unit, **sizes)

    def target_plan(self, field: Field, schema: str) -> TargetPlan | None:
        """Points in space turn with the crop."""
        return SpaceTarget(POINT_SCHEMAS[self.schema].mirror) if field.kind == "points3d" else None

    def loss(self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean over points of the distances, the cross-entropy of being seen, and after the warm-up the likelihood.

        The likelihood is Gaussian, one standard deviation a coordinate. Points that are not finite cost nothing.
        """
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        found = prediction["mesh"].float()
        error, spread, known = _errors(found, target)
        place, space = (e.square().sum(-1).add(1e-12).sqrt() for e in (error[..., :2], error[..., 2:]))
        loss = (place / _UNITS[0] + space / _UNITS[1]) * known
        likelihood = (0.5 * (error * torch.exp(-spread)).square() + spread).sum(-1)
        warm = (prediction["trained"] > self.config.warm_up).float()
        loss = loss + self.config.likelihood * warm * likelihood * known
        total = loss.sum() / known.sum().clamp_min(1)
        if "visible" in target:
            total = total + binary_cross_entropy_with_logits(found[..., SEEN], target["visible"].float())
        return total

    def metrics(
        self, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """`nme` in % of the distance of the eye corners; `space_mm`; `within_sigma` and `within_sigma_space`: % of the
        coordinates; `auc_hidden`: area under the ROC curve of hidden points within the batch."""
        import torch

        found = prediction["mesh"].float()
        error, spread, known = _errors(found, target)
        a, b = POINT_SCHEMAS[self.schema].eye_corners
        scale = (target["points"][:, a] - target["points"][:, b]).norm(dim=-1).clamp_min(1e-6)[:, None]
        inside = (error.abs() < torch.exp(spread)).float()
        count = known.sum()
        values = {
            "nme": 100 * error[..., :2].norm(dim=-1) / scale,
            "space_mm": 1000 * error[..., 2:].norm(dim=-1),
            "within_sigma": 100 * inside[..., :2].mean(-1),
            "within_sigma_space": 100 * inside[..., 2:].mean(-1),
        }
        sums = {name: torch.stack([(value * known).nansum(), count]) for name, value in values.items()}
        if "visible" in target and 0 < (seen := target["visible"].bool()).sum() < seen.numel():
            rank = found[..., SEEN].flatten().argsort().argsort().float()[seen.flatten()]
            pairs = len(rank) * (seen.numel() - len(rank))
            area = (rank.sum() - len(rank) * (len(rank) - 1) / 2) / pairs
            sums["auc_hidden"] = torch.stack([area * len(found), torch.tensor(float(len(found))).to(area)])
        return sums

    def calibrate(
        self, head: nn.Module, prediction: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, float]:
        """One factor on the standard deviations of each coordinate, so that they hold 68.27 % of the errors."""
        import torch

        error, spread, known = _errors(prediction["mesh"].float(), target)
        ratio = (error.abs() * torch.exp(-spread))[known.bool()].double().numpy()
        factors = np.quantile(ratio, _WITHIN, axis=0)
        bias: Any = head.bias
        with torch.no_grad():
            bias[:, SPREAD_PLACE.start : SPREAD_SPACE.stop] += torch.from_numpy(np.log(factors)).to(bias)
        return dict(zip(("x", "y", "X", "Y", "Z"), factors.round(4).tolist(), strict=True))

    def example_target(self, count: int, size: int) -> dict[str, torch.Tensor]:
        """`points` (B,N,2) in the crop, `space` (B,N,3) and `visible` (B,N)."""
        import torch

        generator, points = torch.Generator().manual_seed(1), len(POINT_SCHEMAS[self.schema])
        place, space = (torch.rand(count, points, n, generator=generator) for n in (2, 3))
        return {"points": place, "space": RADIUS * (2 * space - 1), "visible": place[..., 0] > 0.3}

    def flip(self, prediction: Mapping[str, torch.Tensor], schema: str) -> dict[str, torch.Tensor]:
        """x becomes 1 - x, X becomes -X, and left and right points change places."""
        import torch

        found = prediction["mesh"][:, list(POINT_SCHEMAS[schema].mirror)]
        x, y, across, *rest = found.unbind(-1)
        return {**prediction, "mesh": torch.stack([1.0 - x, y, -across, *rest], -1)}

    def to_photograph(self, value: torch.Tensor, frame: CropFrame) -> np.ndarray:
        """(N,11): x, y in pixels; X, Y, Z in metres; the five standard deviations, the first two in pixels; the
        probability of being seen."""
        numbers = value.double().cpu()
        found = numbers.numpy().copy()
        spread = np.exp(found[:, 5:10])
        found[:, PLACE] = frame.points(numbers[:, PLACE])
        found[:, 5:10] = spread
        found[:, SPREAD_PLACE] = frame.points(numbers[:, PLACE] + numbers[:, SPREAD_PLACE].exp()) - found[:, PLACE]
        found[:, SEEN] = 1.0 / (1.0 + np.exp(-found[:, SEEN]))
        return found

    def draw(
        self, image: np.ndarray, frame: CropFrame, value: np.ndarray, schema: str, inside: np.ndarray | None = None
    ) -> np.ndarray:
        """The points; hidden ones are hollow."""
        from synthforge.datasets import drawing

        places = apply(frame.matrix, value[:, PLACE])
        return drawing.draw_points(image, [drawing.Points(places, schema, visible=value[:, SEEN] > 0.5, radius=1.0)])

    def record(self, value: np.ndarray, schema: str, index: int) -> dict[str, Any]:
        """`mesh`: schema, size, and by point what `to_photograph` gives, in four lists."""
        parts = {"points": PLACE, "space": SPACE, "sigma_px": SPREAD_PLACE, "sigma_m": SPREAD_SPACE}
        lists = {name: np.round(value[:, part], 5).tolist() for name, part in parts.items()}
        return {"mesh": {"schema": schema, "radius_m": RADIUS, **lists, "seen": np.round(value[:, SEEN], 4).tolist()}}


def _errors(found: torch.Tensor, target: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Errors (B,N,5) of x, y, X, Y, Z, 0 where the target is unknown; logarithms of their standard deviations, the
    same; which points are known (B,N)."""
    import torch

    wanted = torch.cat([target["points"].float(), target["space"].float()], -1)
    known = wanted.isfinite().all(-1)
    error = (found[..., :5] - wanted.nan_to_num(0.0, 0.0, 0.0)) * known[..., None]
    return error, found[..., 5:10].clamp(*_LIMITS), known.float()


@hookimpl
def register_tasks(register: Register) -> None:
    """Offer `mesh`."""
    summary = "478 points of the face in the image and in space, with standard deviations and visibility"
    register("mesh", Mesh, config=MeshConfig, summary=summary)
