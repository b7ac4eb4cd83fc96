"""A second look: small networks that answer the points of one part of a face from a patch cut around it.

A patch is a square of the photograph at a resolution of its own. It is centred on the points of the part that a first
look found, and turned so that the outer eye corners are level. What a network answers is averaged with the first look.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from ..core.schemas import POINT_SCHEMAS
from .networks.blocks import conv, exact, soft_argmax
from .networks.folded import Folded
from .networks.heads import HEADS, PointHead
from .networks.pyramid import Pyramid, ResidualEncoder

#: key of `model.json`
LOOKS = "looks"
#: A patch is turned within a square this many times as large, so that its corners are there.
ROOM = 1.45
#: of the encoder's stages: a patch is too small for a fourth
STAGES = 3


@dataclass(frozen=True)
class SecondLookInfo:
    """One network of the second look, as `model.json` describes it.

    task: whose points it answers. parts: for each part of the face that it serves, the indices of the points, in the
    network's order; mirrored: whether that part is shown to it mirrored. side: of a patch over the larger side of the
    box around all points, one number or one for each part. size: of a patch in pixels. share: weight of its answer
    against the first look's, in [0, 1]; the shares of parts with the same points add up. width, channels: of its
    encoder and its features, as of the model's network; hidden: channels of its output head.

    directions: a task of unit vectors in the camera's axes of which it answers one for each part, empty for none;
    vectors: which one. pose: the task of the head's rotation, whose first answer it reads for that.

    Raises ValueError for numbers out of range.
    """

    task: str
    parts: Sequence[Sequence[int]]
    mirrored: Sequence[bool]
    side: float | Sequence[float]
    size: int
    share: float = 0.5
    width: float = 0.625
    channels: int = 64
    hidden: int = 64
    directions: str = ""
    vectors: Sequence[int] = ()
    pose: str = ""

    def __post_init__(self) -> None:
        lengths = {len(part) for part in self.parts}
        if len(lengths) != 1 or 0 in lengths or len(self.parts) != len(self.mirrored):
            raise ValueError("looks: parts are lists of points, all as long, and mirrored has a value for each")
        if len(self.sides) != len(self.parts) or not all(0.01 <= side <= 4 for side in self.sides):
            raise ValueError("looks: side is in [0.01, 4], one number or one for each part")
        if bool(self.directions) != bool(self.pose) or len(self.vectors) != len(self.parts) * bool(self.directions):
            raise ValueError("looks: directions and pose are there together, and vectors has a value for each part")
        limits = {"size": (16, 512), "share": (0, 1), "width": (0.05, 4)}
        limits |= {"channels": (1, 4096), "hidden": (1, 4096)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"looks: {name} is in [{low}, {high}]")

    @property
    def sides(self) -> Sequence[float]:
        """`side` of each part."""
        return [self.side] * len(self.parts) if isinstance(self.side, (int, float)) else self.side

    @property
    def points(self) -> int:
        """How many points the network answers."""
        return len(self.parts[0])


class Look(Protocol):
    """Any network of a second look: patches (B,3,size,size) in [0,1] -> points (B,N,2) in [0,1] of the patch."""

    @property
    def info(self) -> SecondLookInfo: ...

    def __call__(self, patches: torch.Tensor) -> torch.Tensor: ...

    def with_directions(self, patches: torch.Tensor, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same points, and unit vectors (B,3). first (B,3,3): the first look's vector and the axes of the head
        that point up and forward. All are in the axes of the patch: x right, y down, z into the picture."""


class Directions(nn.Module):
    """Where an eye looks: the centre of its iris as one more point, then a perceptron of all points and of `first`.

    inputs: channels of the features and of the encoder's finest map, together.
    """

    def __init__(self, inputs: int, points: int, *, width: int = 20, hidden: int = 48) -> None:
        super().__init__()
        self.enter = nn.Sequential(conv(inputs, width, kernel=1), conv(width, width), conv(width, width))
        self.score = nn.Conv2d(width, 1, 1)
        self.net = nn.Sequential(nn.Linear(2 * (points + 1) + 1 + 9, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def forward(
        self, maps: torch.Tensor, points: torch.Tensor, first: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (B,inputs,h,w), points (B,N,2), first (B,3,3) -> vectors (B,3), and where the iris is (B,1,2)."""
        heatmap = self.score(self.enter(maps)).float()
        with exact(maps):
            iris, sure = soft_argmax(heatmap), heatmap.flatten(2).softmax(-1).amax(-1)
            places = 4 * (torch.cat([iris, points], 1).flatten(1) - 0.5)
            moved = first[:, 0] + self.net(torch.cat([places, sure, first.flatten(1)], 1))
            return functional.normalize(moved, dim=-1), iris


class SecondLook(nn.Module):
    """The network: three stages of a residual encoder, a feature pyramid, and heatmaps.

    mean, std: of the encoder's input, by channel.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, info: SecondLookInfo, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.info = info
        encoder = ResidualEncoder(info.width, stages=STAGES)
        self.backbone = Pyramid(encoder, encoder.channels, info.channels)
        self.head = PointHead(info.channels, info.points, head=HEADS[1], width=info.hidden)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(list(values)).view(1, 3, 1, 1), persistent=False)
        inputs = info.channels + encoder.channels[0]
        self.directions = Directions(inputs, info.points) if info.directions else None
        self._folded, self._folded_head = Folded(self.backbone), Folded(self.head)

    def weighed(self, factor: float) -> SecondLook:
        """The same network with another share."""
        other = copy.copy(self)
        other.info = replace(self.info, share=factor * self.info.share)
        return other

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Patches (B,3,size,size) in [0,1] -> points (B,N,2) in [0,1] of the patch."""
        points: torch.Tensor = self._folded_head()(self._folded()(self._pixels(patches)))["points"]
        return points

    def with_directions(self, patches: torch.Tensor, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Look`; only where `info.directions` names a task."""
        assert self.directions is not None
        maps, points = self.read(patches)
        return points, self.directions(maps, points, first.to(points))[0]

    def read(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What `directions` reads: the features and the encoder's finest map (B,C,h,w), and the points (B,N,2)."""
        features, finest, *_ = self._folded().parts(self._pixels(patches))  # type: ignore[operator]
        return torch.cat([features, finest], 1), self._folded_head()(features)["points"]

    def _pixels(self, patches: torch.Tensor) -> torch.Tensor:
        pixels = (patches.to(self.mean.device) - self.mean) / self.std
        return pixels.contiguous(memory_format=torch.channels_last)


def build_looks(
    descriptions: Sequence[Mapping[str, Any]], schemas: Mapping[str, str], mean: Sequence[float], std: Sequence[float]
) -> nn.ModuleList:
    """The networks that `model.json` describes. schemas: of the values of each task; mean, std: see `SecondLook`.

    Raises ValueError for a task that is not there or has no such points, and points that its schema lacks.
    """
    looks = []
    for each in descriptions:
        info = SecondLookInfo(**each)
        schema = POINT_SCHEMAS.get(schemas.get(info.task, ""))
        if schema is None or not all(0 <= point < len(schema) for part in info.parts for point in part):
            raise ValueError(f"looks: the task '{info.task}' has no such points")
        if info.directions and not {info.directions, info.pose} <= set(schemas):
            raise ValueError(f"looks: the model has no tasks '{info.directions}' and '{info.pose}'")
        looks.append(SecondLook(info, mean, std).requires_grad_(False))
    return nn.ModuleList(looks)


def looks_of(model: nn.Module) -> list[SecondLook]:
    """The networks of a second look that a model has."""
    parts = model if isinstance(model, nn.ModuleList) else model.modules()
    return [part for part in parts if isinstance(part, SecondLook)]
