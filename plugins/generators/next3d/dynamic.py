"""The mesh in the triplanes: rasterised neural texture, its coverage, and where the mouth lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from .raster import OTHER_SIDE, SIDE, rasterise, view_vertices

_MOUTH = slice(48, 60)
_CORNERS = (48, 54)


@dataclass(frozen=True)
class View:
    """One rasterised view: features (B,32,S,S), alpha (B,1,S,S) with holes filled, face id (B,S,S), -1 for none."""

    features: torch.Tensor
    alpha: torch.Tensor
    face_id: torch.Tensor


class MeshTexture:
    """Face corners, their UV coordinates in [-1,1] with v down (F,3,2) and the UV mask (S,S) in [0,1]."""

    def __init__(self, faces: torch.Tensor, face_uv: torch.Tensor, mask: torch.Tensor) -> None:
        # the rasteriser's mirror turns the triangles round: their last two corners change places
        self.faces, self.uv = faces[:, [0, 2, 1]], face_uv[:, [0, 2, 1], :2]
        self.mask = mask[None, None]

    def view(self, texture: torch.Tensor, vertices: torch.Tensor, which: int) -> View:
        """Rasterise texture (B,32,T,T) on vertices (B,V,3) in FLAME space, metres, into one view."""
        face_id, barycentric, _ = rasterise(view_vertices(vertices, which), self.faces)
        covered = face_id >= 0
        # background pixels look up (0,0), the middle of the texture: the networks expect it
        grid = (self.uv[face_id.clamp_min(0)] * barycentric[..., None]).sum(-2) * covered[..., None]
        features = F.grid_sample(texture, grid, align_corners=False)
        mask = self.mask.expand(len(grid), -1, -1, -1)
        alpha = F.grid_sample(mask, grid, align_corners=False) * covered[:, None]
        return View(features, fill_holes(alpha), face_id)

    def sides(self, texture: torch.Tensor, vertices: torch.Tensor) -> View:
        """Both side views added up."""
        side, other = (self.view(texture, vertices, i) for i in (SIDE, OTHER_SIDE))
        # only the first side's coverage counts, as in training
        return View(side.features + other.features, (side.alpha != 0).to(side.alpha), side.face_id)


def fill_holes(alpha: torch.Tensor) -> torch.Tensor:
    """alpha (B,1,S,S) in which every pixel that the outside (from the first pixel, 4-connected) cannot reach is 1."""
    filled = []
    for image in alpha[:, 0].cpu().numpy():
        open_to = image * np.float32(255) <= 254
        regions, _ = ndimage.label(open_to)
        outside = open_to & (regions == regions[0, 0])
        filled.append(torch.from_numpy(np.where(outside, image, np.float32(1))))
    return torch.stack(filled)[:, None].to(alpha.device)


def covered_box(alpha: torch.Tensor) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of what any sample of alpha (B,1,S,S) covers; one pixel where nothing is covered."""
    any_sample = (alpha[:, 0] != 0).any(0)
    rows, columns = (any_sample.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def mouth_box(landmarks: torch.Tensor, size: int = 256) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels of the front plane, from 68 landmarks (68,3) in FLAME space.

    A square about the middle of the mouth corners; clipped to the plane, never empty.
    """
    place = (landmarks[:, :2] + landmarks.new_tensor([0.0, 0.01])) * 5 * (size // 2) + size // 2
    mouth = place[_MOUTH]
    extent = float((mouth.amax(0) - mouth.amin(0)).max())
    half = max(1, int(1.2 * extent) // 2)
    x, y = (int(v) for v in (place[_CORNERS[0]] + place[_CORNERS[1]]) / 2)

    def clip(middle: int) -> tuple[int, int]:
        low = min(max(middle - half, 0), size - 1)
        return low, max(min(middle + half, size), low + 1)

    return *clip(y), *clip(x)


def crop_mouth(front: torch.Tensor, boxes: list[tuple[int, int, int, int]], size: int = 64) -> torch.Tensor:
    """Each sample's mouth box of front features (B,32,S,S), resized to (B,32,size,size)."""
    crops = [
        F.interpolate(image[None, :, top:bottom, left:right], size=(size, size), mode="bilinear", antialias=True)
        for image, (top, bottom, left, right) in zip(front, boxes, strict=True)
    ]
    return torch.cat(crops)


def paste_mouth(front: torch.Tensor, mouth: torch.Tensor, boxes: list[tuple[int, int, int, int]]) -> torch.Tensor:
    """Front features with the mouth network's output (B,32,n,n) resized into each sample's box."""
    stitched = front.clone()
    for i, (top, bottom, left, right) in enumerate(boxes):
        stitched[i, :, top:bottom, left:right] = F.interpolate(
            mouth[i : i + 1], size=(bottom - top, right - left), mode="bilinear", antialias=True
        )[0]
    return stitched
