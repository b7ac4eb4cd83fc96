"""What the head wears: hair, beards, glasses, clothes and things, as vertices of one mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import warp as wp

from synthforge.core.camera import Camera
from synthforge.geometry.meshes import vertex_normals
from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from ..mesh.glasses import glasses_shape
from ..mesh.hair import COLUMNS
from ..mesh.worn.wardrobe import Wearer
from .dress_kernels import hair_kernel
from .strands import grow_beards

if TYPE_CHECKING:
    from ..static_scene import StaticScene

EYE_PLANE = 13.0  # mm in front of the eyeball's centre where lenses sit, plus the eyeball's own radius


@dataclass(frozen=True)
class Dressed:
    """A batch of heads with all that they wear.

    vertices and normals (B,V,3); strand (B,N,4): coordinates of hair and beard; dead (B,V) uint8: vertices that are not
    drawn; paint (B,M,2,4) of what is worn, and sky (B,V), the share of the sky that it leaves to the head: see
    `Wardrobe.dress`.
    """

    vertices: torch.Tensor
    normals: torch.Tensor
    strand: torch.Tensor
    dead: torch.Tensor
    paint: torch.Tensor
    sky: torch.Tensor


def dress(
    static: StaticScene,
    head: torch.Tensor,
    looks: Any,
    parameters: Sequence[Mapping[str, Any]],
    cameras: Sequence[Camera],
    points: np.ndarray,
    calm: tuple[torch.Tensor, np.ndarray] | None = None,
) -> Dressed:
    """Hair, beard, glasses, and all that is worn or held, on posed heads (B,V,3) with landmarks `points` (B,68,3).

    calm: the heads, with their landmarks, that things were laid on before they moved; None for `head` itself.
    """
    batch = len(head)
    vertices = torch.zeros(batch, static.num_vertices, 3, device=static.device)
    vertices[:, : head.shape[1]] = head
    strand = torch.zeros(batch, static.glasses_first - static.hair_first, 4, device=static.device)
    dead = torch.zeros(batch, static.num_vertices, dtype=torch.uint8, device=static.device)
    size = span(COLUMNS + 1, static.device)
    corners, weights, along = static.hair_arrays
    inputs = [looks, as_warp(static.tiles, wp.vec4), as_warp(corners), as_warp(weights, wp.vec3), as_warp(along)]
    inputs += [as_warp(static.hair_azimuth), as_warp(static.hair_height), static.hair_first, COLUMNS + 1, size]
    inputs += [as_warp(vertices, wp.vec3), as_warp(strand, wp.vec4), as_warp(dead)]
    launch(hair_kernel, (batch, chunks(COLUMNS + 1, size)), inputs, static.device)
    grow_beards(static, looks, vertices, strand, dead)
    wearers = _wearers(static, head, points)
    fitted = wearers if calm is None else _wearers(static, *calm)
    paint, sky = _accessories(static, vertices, dead, parameters, cameras, wearers, fitted)
    normals = vertex_normals(vertices, static.incidence.faces, static.incidence)
    hand = normals[:, static.worn_first :][:, static.wardrobe.hand_run]
    hand *= torch.as_tensor(static.wardrobe.turned_out(parameters), device=static.device)[:, None, None]
    return Dressed(vertices, normals, strand, dead, paint, sky)


def _accessories(
    static: StaticScene,
    vertices: torch.Tensor,
    dead: torch.Tensor,
    parameters: Sequence[Mapping[str, Any]],
    cameras: Sequence[Camera],
    wearers: Sequence[Wearer],
    fitted: Sequence[Wearer],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put glasses and all that is worn or held into `vertices`; what is not there collapses to a point inside the
    head. Returns paint and share of the sky, see `Wardrobe.dress`."""
    radius = static.head.eyeballs(vertices[:, : static.head.num_vertices]).radius.double().cpu().numpy()
    for i, p in enumerate(parameters):
        centre = wearers[i].eyes
        middle = centre.mean(0)
        frame = np.tile(middle - [0.0, 0.0, 0.07], (static.worn_first - static.glasses_first, 1))
        if p["glasses"]["worn"]:
            gap = float(np.linalg.norm(centre[0] - centre[1])) * 500.0
            shape = glasses_shape(p["glasses"], gap)
            shape[:, 2] += EYE_PLANE + radius[i].mean() * 1000.0
            frame = middle + shape * 0.001 @ wearers[i].frame
        vertices[i, static.glasses_first : static.worn_first] = torch.as_tensor(frame, dtype=torch.float32)
    worn, paint, absent, sky = static.wardrobe.dress(parameters, wearers, fitted, cameras)
    vertices[:, static.worn_first :] = torch.as_tensor(worn)
    dead[:, static.worn_first :] = torch.as_tensor(absent)
    return torch.as_tensor(paint, device=static.device), torch.as_tensor(sky, device=static.device)


def _wearers(static: StaticScene, head: torch.Tensor, points: np.ndarray) -> list[Wearer]:
    eyes = static.head.eyeballs(head).centre.double().cpu().numpy()
    frames = [face_frame(*each) for each in zip(points, eyes, strict=True)]
    return [Wearer(*each) for each in zip(head.cpu().numpy(), points, frames, eyes, strict=True)]


def face_frame(points: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Rows x (to the subject's left), y (up), z (forward) of a posed face: points (68,3), eyeball centres (2,3)."""
    x = eyes[0] - eyes[1]
    x /= np.linalg.norm(x)
    # from between the jaw's ends, which do not move with the mouth, to the root of the nose: forward and a little up
    forward = points[27] - (points[0] + points[16]) / 2
    y = np.cross(forward, x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])
