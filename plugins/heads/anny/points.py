"""Points of further schemas on the anny head: FaceSynthetics' 70, WFLW's 98, LaPa's 106 and MediaPipe's 478.

A point is one of iBUG's, a place between two points of its jaw line, a place of the surface, or on an iris. Places of
the surface are data (`data/anny_points.json`, by `derive_points`). The visible contour serves every schema.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from synthforge.core.schemas import POINT_SCHEMAS

from .landmarks import read_places, surface_points
from .recipes import RECIPES, PointSources

if TYPE_CHECKING:
    from .head import EyeFronts

POINTS_FILE = "anny_points.json"
#: radius of the iris over that of the mesh's eyeball: 5.95 mm over 16.7 mm
IRIS = 0.356


@dataclass(frozen=True)
class PointSet:
    """A recipe with its places of the surface: points (P,) of the schema, vertices and barycentric (P,3)."""

    schema: str
    recipe: PointSources
    points: np.ndarray
    vertices: np.ndarray
    barycentric: np.ndarray

    def on(self, ibug: torch.Tensor, vertices: torch.Tensor, eyes: EyeFronts) -> torch.Tensor:
        """The schema's points (B,N,3) on meshes (B,V,3) with iBUG's points (B,68,3)."""
        found = ibug.new_zeros(len(ibug), len(POINT_SCHEMAS[self.schema]), 3)
        recipe = self.recipe
        found[:, list(recipe.ibug)] = ibug[:, list(recipe.ibug.values())]
        found[:, list(recipe.jaw)] = along_jaw(ibug[:, :17], list(recipe.jaw.values()))
        found[:, self.points] = surface_points(vertices, self.vertices, self.barycentric)
        up = ibug[:, 27] - ibug[:, 8]
        for point, (eye, place) in recipe.iris.items():
            found[:, point] = _on_iris(eyes, eye, place, up).to(found)
        return found


def along_jaw(jaw: torch.Tensor, positions: list[float]) -> torch.Tensor:
    """Places (B,P,3) on the Catmull-Rom spline through the jaw line (B,17,3)."""
    ends = (2 * jaw[:, :1] - jaw[:, 1:2], 2 * jaw[:, -1:] - jaw[:, -2:-1])
    padded = torch.cat([ends[0], jaw, ends[1]], dim=1)
    low = [min(int(position), 15) for position in positions]
    a, b, c, d = (padded[:, [first + i for first in low]] for i in range(4))
    t = (torch.tensor(positions) - torch.tensor(low)).to(jaw)[:, None]
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _on_iris(eyes: EyeFronts, eye: int, place: tuple[float, float], up: torch.Tensor) -> torch.Tensor:
    axis = eyes.axis[:, eye]
    aside = torch.nn.functional.normalize(torch.linalg.cross(up.to(axis), axis), dim=-1)
    above = torch.linalg.cross(axis, aside)
    ahead = math.sqrt(1 - IRIS**2)
    return eyes.centre[:, eye] + eyes.radius[:, eye, None] * (
        ahead * axis + IRIS * (place[0] * aside + place[1] * above)
    )


def load_point_sets(source: np.ndarray) -> dict[str, PointSet]:
    """By schema; `source` (V,) are the base mesh ids of the crop's vertices."""
    raw, part = read_places(POINTS_FILE, source)
    nothing = np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32)
    sets = {}
    for name, recipe in RECIPES.items():
        places = (np.asarray(raw[name]["points"], np.int64), *part(name)) if name in raw else nothing
        sets[name] = PointSet(name, recipe, *places)
    return sets
