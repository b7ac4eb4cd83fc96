"""Points of one schema from iBUG's 68, through the head that fits them: a linear model of its points, posed.

The model is the mean and the main components of the points of random heads, rotated, moved and scaled onto each other
(`data/anny_shapes.npz`). It is fitted to 68 points of a picture under weak perspective. Pose is found by least squares,
coefficients by ridge regression with the components' variances as prior (Blanz and Vetter 1999), in turns. Points that
both schemas have are those given; the rest is read off the fitted head. It looks ahead: the 68 points do not show
where eyes look.

    python -m synthforge_plugins.heads.anny.translate      # derives the data again, about a minute
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.schemas import POINT_SCHEMAS

from .recipes import RECIPES

SHAPES_FILE = "anny_shapes.npz"
HEADS, COMPONENTS, SEED = 4000, 60, 101
#: standard deviations of the given points, in distances of the outer eye corners. The contour of a picture is no fixed
#: line of the surface, least of all on the far side of a turned head: JAW + FAR * sin(yaw).
NOISE, JAW, FAR = 0.012, 0.03, 0.25
_ROUNDS = 8
_CORNERS = 36, 45


@dataclass(frozen=True)
class Fit:
    """A head posed over a picture: picture = scale * (points @ rotation.T)[:, :2] + shift.

    points (P,3): x to the right, y down, z away from the viewer, one unit between the outer eye corners of the mean
    head; the 68 first, then the others of each schema of `RECIPES`. rotation (3,3), scale in pixels, shift (2,) pixels.
    """

    points: np.ndarray
    rotation: np.ndarray
    scale: float
    shift: np.ndarray

    @property
    def posed(self) -> np.ndarray:
        """Points (P,3) in pixels; z is relative to the middle of the head, in pixels, too."""
        turned = self.scale * self.points @ self.rotation.T
        turned[:, :2] += self.shift
        return turned


@dataclass(frozen=True)
class Shapes:
    """mean (P,3), components (K,P,3) scaled to one standard deviation; axes as in `Fit`."""

    mean: np.ndarray
    components: np.ndarray


@cache
def shapes() -> Shapes:
    """The packaged model."""
    with resources.files(__package__).joinpath("data").joinpath(SHAPES_FILE).open("rb") as file:
        data = np.load(file, allow_pickle=False)
        return Shapes(data["mean"].astype(np.float64), data["components"].astype(np.float64))


def fit(points: np.ndarray) -> Fit:
    """The head whose 68 points come nearest to points (68,2) of a picture, x right and y down."""
    model = shapes()
    some = model.components[:, :68]
    weights = np.zeros(len(some))
    spread = np.full(68, NOISE)
    spread[:17] = JAW
    side = np.linspace(-1, 1, 17)  # of the subject, its right first
    for _ in range(_ROUNDS):
        head = model.mean[:68] + np.tensordot(weights, some, 1)
        scale, rotation, shift = _pose(points, head, 1 / spread**2)
        yaw = rotation[0, 2]
        spread[:17] = JAW + FAR * np.maximum(0, -side * yaw)
        seen = np.einsum("ij,kpj->pik", rotation[:2], some)
        left = (points - shift) / scale - model.mean[:68] @ rotation[:2].T
        share = seen / spread[:, None, None] ** 2
        normal = np.einsum("pik,pil->kl", share, seen) + np.eye(len(weights))
        weights = np.linalg.solve(normal, np.einsum("pik,pi->k", share, left))
    return Fit(model.mean + np.tensordot(weights, model.components, 1), rotation, scale, shift)


def _pose(points: np.ndarray, head: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that bring a head (N,3) nearest to points (N,2): the affine fit, made orthogonal."""
    part = (weight / weight.sum())[:, None]
    middle, centre = (part * points).sum(0), (part * head).sum(0)
    root = np.sqrt(part)
    affine = np.linalg.lstsq(root * (head - centre), root * (points - middle), rcond=None)[0].T
    u, sizes, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.stack([*rows, np.cross(rows[0], rows[1])])
    scale = float(sizes.mean())
    return scale, rotation, middle - scale * rotation[:2] @ centre


def _places() -> dict[str, np.ndarray]:
    """By schema, which of its points the fitted head answers; they follow each other in `Fit.points`."""
    return {
        name: np.setdiff1d(np.arange(len(POINT_SCHEMAS[name])), [*recipe.ibug, *recipe.jaw])
        for name, recipe in RECIPES.items()
    }


def translate(points: np.ndarray, schema: str) -> np.ndarray:
    """iBUG's points (68,2) of a picture as those (N,3) of another schema; see `PointMapping`."""
    import torch

    from .points import along_jaw

    posed, places, recipe = fit(points).posed, _places(), RECIPES[schema]
    first = 68 + sum(len(places[name]) for name in list(places)[: list(places).index(schema)])
    given = np.concatenate([points, posed[:68, 2:]], axis=1)
    found = np.zeros((len(recipe.ibug) + len(recipe.jaw) + len(places[schema]), 3))
    found[list(recipe.ibug)] = given[list(recipe.ibug.values())]
    found[list(recipe.jaw)] = along_jaw(torch.from_numpy(given[None, :17]), list(recipe.jaw.values()))[0].numpy()
    found[places[schema]] = posed[first : first + len(places[schema])]
    return found


def derive() -> dict[str, np.ndarray]:
    """The model from `HEADS` random heads: similarity to the mean of the 68 points, then principal components."""
    import torch

    from .head import AnnyHead

    head, rng = AnnyHead(), np.random.default_rng(SEED)
    places, batches = _places(), []
    for _ in range(0, HEADS, 25):
        drawn = [head.sample_parameters(rng) for _ in range(25)]
        values = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
        values["gaze"] = torch.zeros_like(values["gaze"])
        vertices = head(values).vertices
        parts = [head.landmarks(vertices)]
        parts += [head.points(name, vertices)[:, index] for name, index in places.items()]
        batches.append(torch.cat(parts, 1).double().numpy())
    every = np.concatenate(batches) * [1.0, -1.0, -1.0]
    mean = every[0]
    for _ in range(3):
        every = np.stack([_onto(each, mean) for each in every])
        mean = every.mean(0)
        mean = (mean - mean[:68].mean(0)) / np.linalg.norm(mean[_CORNERS[0]] - mean[_CORNERS[1]])
    every = np.stack([_onto(each, mean) for each in every])
    mean = every.mean(0)
    _, sizes, vt = np.linalg.svd((every - mean).reshape(len(every), -1), full_matrices=False)
    scaled = sizes[:COMPONENTS, None] / np.sqrt(len(every)) * vt[:COMPONENTS]
    return {"mean": mean.astype(np.float32), "components": scaled.reshape(COMPONENTS, -1, 3).astype(np.float16)}


def _onto(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Points (P,3), moved, turned and scaled so that their first 68 come nearest to those of a shape (Umeyama 1991)."""
    middle, centre = points[:68].mean(0), shape[:68].mean(0)
    u, sizes, vt = np.linalg.svd((shape[:68] - centre).T @ (points[:68] - middle))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (sizes * sign).sum() / ((points[:68] - middle) ** 2).sum()
    return np.asarray(scale * (points - middle) @ (u * sign @ vt).T + centre)


def main() -> None:
    """Write the derived data over the packaged file."""
    path = Path(__file__).parent / "data" / SHAPES_FILE
    made: dict[str, Any] = derive()
    np.savez_compressed(path, **made)
    print(path)


if __name__ == "__main__":
    main()
