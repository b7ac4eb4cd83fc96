"""The rasteriser on pytorch3d, for comparison and for pipelines that already depend on it.

Slow on a CPU: its naive rasteriser tests every face at every pixel. Its fill rule is not watertight in exact
arithmetic (it computes in float32), so pixels whose centre lies on an edge may differ from the warp backend.
"""

from __future__ import annotations

import torch
from pytorch3d.renderer.mesh import rasterize_meshes
from pytorch3d.structures import Meshes

from .raster import MAX_COORDINATE, NEAR, Checked, Fragments, Projection, check_inputs


class Pytorch3dRasteriser:
    """See `Rasteriser`."""

    name = "pytorch3d"

    def rasterise(
        self,
        vertices_camera: torch.Tensor,
        faces: torch.Tensor,
        intrinsics: torch.Tensor,
        height: int,
        width: int,
        *,
        cull: bool = True,
        face_mask: torch.Tensor | None = None,
        projection: Projection = "perspective",
    ) -> Fragments:
        """See `Rasteriser.rasterise`."""
        checked = check_inputs(vertices_camera, faces, intrinsics, height, width, face_mask, projection)
        device = checked.vertices.device
        size = (len(checked.vertices), height, width)
        perspective = projection == "perspective"
        screen, usable = _to_ndc(checked, height, width, perspective)
        offset = _positive_depth_offset(screen[..., 2], usable) if not perspective else 0.0
        screen[..., 2] += offset
        screen[~usable] = 1.0  # pytorch3d must not meet infinities; the faces that use them are left out below
        drawn = usable[:, checked.faces.long()].all(-1)
        if checked.face_mask is not None:
            drawn &= checked.face_mask != 0
        kept = [torch.nonzero(row)[:, 0] for row in drawn]
        out = Fragments(
            torch.full(size, -1, dtype=torch.int32, device=device),
            torch.zeros(*size, 3, device=device),
            torch.full(size, torch.inf, device=device),
        )
        if not any(len(row) for row in kept):
            return out
        # pytorch3d's x points left and its y up, which turns the picture by 180 degrees and keeps orientation.
        meshes = Meshes([*screen], [checked.faces.long()[row] for row in kept])
        packed, z, barycentric, _ = rasterize_meshes(
            meshes,
            image_size=(height, width),
            blur_radius=0.0,
            faces_per_pixel=1,
            perspective_correct=perspective,
            clip_barycentric_coords=False,
            cull_backfaces=cull,
        )
        packed, z, barycentric = packed[..., 0], z[..., 0], barycentric[..., 0, :]
        seen = packed >= 0
        # Packed ids run through the kept faces of the whole batch; ours index the faces of one image.
        original = torch.cat(kept).to(torch.int32)
        out.face_id[seen] = original[packed[seen]]
        out.barycentric[seen] = barycentric[seen]
        out.z[seen] = z[seen] - offset
        return out


def _to_ndc(checked: Checked, height: int, width: int, perspective: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (B, V, 3) in pytorch3d's screen frame, and which of them may be drawn (B, V).

    In that frame x points left, y up, and the shorter image side spans [-1, 1]
    (pytorch3d's docs, "Cameras: NDC coordinate system").
    """
    vertices = checked.vertices.double()
    z = vertices[..., 2:]
    rays = vertices / z if perspective else torch.cat([vertices[..., :2], torch.ones_like(z)], -1)
    pixels = (rays @ checked.intrinsics.double().mT)[..., :2]
    usable = vertices.isfinite().all(-1) & (pixels.abs() < MAX_COORDINATE).all(-1)
    if perspective:
        usable &= z[..., 0] >= NEAR
    centre = torch.tensor([width / 2, height / 2], dtype=pixels.dtype, device=pixels.device)
    ndc = (centre - pixels) * (2 / min(height, width))
    return torch.cat([ndc, z], -1).float(), usable


def _positive_depth_offset(z: torch.Tensor, usable: torch.Tensor) -> float:
    """pytorch3d drops faces behind z = 0, which has no meaning in an orthographic picture: shift them forward."""
    depths = z[usable]
    return float(1.0 - depths.min()) if len(depths) else 0.0
