"""The rasteriser on warp: the same kernels on CPU and CUDA. The rules are stated in `warp_kernels`."""

from __future__ import annotations

import torch
import warp as wp

from . import warp_kernels as kernels
from .raster import NEAR, Checked, Fragments, Projection, RasterError, check_faces, check_inputs
from .warp_runtime import as_warp, chunks, launch, span


class WarpRasteriser:
    """See `Rasteriser`. Watertight, independent of the order of faces, and deterministic; ties in depth go to
    the smaller face id."""

    name = "warp"

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
        size = (len(checked.vertices), height, width)
        device = checked.vertices.device
        out = Fragments(
            torch.full(size, -1, dtype=torch.int32, device=device),
            torch.zeros(*size, 3, device=device),
            torch.full(size, torch.inf, device=device),
        )
        if checked.vertices.numel() and len(checked.faces):
            perspective = projection == "perspective"
            keys, screen = _draw(checked, height, width, cull, perspective)
            _resolve(keys, screen, checked.faces, perspective, out)
        return out


def _draw(
    checked: Checked, height: int, width: int, cull: bool, perspective: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Key buffer (B, H, W) int64 and snapped vertices (B, V, 3) int32, of `warp_kernels`."""
    vertices, device = checked.vertices, checked.vertices.device
    batch, vertex_count, _ = vertices.shape
    face_count = len(checked.faces)
    if batch * max(height * width, vertex_count) >= 2**31:
        raise RasterError(
            f"{batch} images of {height} x {width} are too many pixels for one call",
            hint="draw fewer images at once",
        )
    keys = torch.full((batch, height, width), kernels.NO_KEY, dtype=torch.int64, device=device)
    screen = torch.empty(batch, vertex_count, 3, dtype=torch.int32, device=device)
    screen_array = as_warp(screen.view(-1, 3), wp.vec3i)
    size = span(vertex_count, device)
    inputs = [as_warp(vertices, wp.vec3), as_warp(checked.intrinsics), int(perspective), NEAR, size, screen_array]
    launch(kernels.snap_kernel, (batch, chunks(vertex_count, size)), inputs, device)

    mask = checked.face_mask
    if mask is None:
        mask = torch.ones(1, face_count, dtype=torch.uint8, device=device)
    size = span(face_count, device)
    inputs = [screen_array, as_warp(checked.faces, wp.vec3i), as_warp(mask.expand(batch, -1)), vertex_count]
    inputs += [int(cull), int(perspective), height, width, size, as_warp(keys.view(-1))]
    launch(kernels.draw_kernel, (batch, chunks(face_count, size)), inputs, device)
    return keys, screen


def _resolve(keys: torch.Tensor, screen: torch.Tensor, faces: torch.Tensor, perspective: bool, out: Fragments) -> None:
    """Fill `out`, which says "nothing is seen" everywhere, where the key buffer holds a triangle."""
    batch, height, width = keys.shape
    size = span(width, keys.device)
    inputs = [as_warp(keys.view(-1)), as_warp(screen.view(-1, 3), wp.vec3i), as_warp(faces, wp.vec3i)]
    inputs += [screen.shape[1], int(perspective), height, width, size, as_warp(out.face_id.view(-1))]
    inputs += [as_warp(out.barycentric.view(-1, 3), wp.vec3), as_warp(out.z.view(-1))]
    launch(kernels.resolve_kernel, (batch, height, chunks(width, size)), inputs, keys.device)


def interpolate(
    fragments: Fragments, faces: torch.Tensor, attributes: torch.Tensor, background: float = 0.0
) -> torch.Tensor:
    """Per-vertex values at every pixel, weighted by the barycentrics.

    Args:
        fragments: of a rasterised batch of B images.
        faces: (F, 3) integers, the faces that were rasterised.
        attributes: (B, V, C) or (V, C), any values (positions, texture coordinates, colours). Gradients flow
            back to them if they require any; then a slower path in torch is taken.
        background: value of pixels that see nothing.

    Returns:
        (B, H, W, C) float32.

    Raises:
        RasterError: shapes do not fit together.
    """
    batch, height, width = fragments.face_id.shape
    if attributes.ndim == 2:
        attributes = attributes.expand(batch, -1, -1)
    if attributes.ndim != 3 or len(attributes) != batch:
        raise RasterError(f"attributes must have shape ({batch}, V, C) or (V, C), got {tuple(attributes.shape)}")
    checked = check_faces(faces, attributes.shape[1])
    if attributes.requires_grad and torch.is_grad_enabled():
        return _interpolate_torch(fragments, checked, attributes, background)
    device = attributes.device
    image = torch.empty(batch, height, width, attributes.shape[2], device=device)
    if image.numel() == 0:
        return image
    size = span(width, device)
    arguments = [
        as_warp(fragments.face_id.view(batch, -1)),
        as_warp(fragments.barycentric.view(batch, -1, 3), wp.vec3),
        as_warp(checked, wp.vec3i),
        as_warp(attributes.detach().to(torch.float32)),
        background,
        size,
        as_warp(image.view(batch, height * width, -1)),
    ]
    launch(kernels.interpolate_kernel, (batch, chunks(height * width, size)), arguments, device)
    return image


def _interpolate_torch(
    fragments: Fragments, faces: torch.Tensor, attributes: torch.Tensor, background: float
) -> torch.Tensor:
    corners = faces.long()[fragments.face_id.clamp_min(0).long()]  # (B, H, W, 3)
    image_index = torch.arange(len(attributes), device=attributes.device)[:, None, None, None]
    values = attributes.to(torch.float32)[image_index, corners]  # (B, H, W, 3, C)
    image = (values * fragments.barycentric[..., None]).sum(-2)
    return torch.where(fragments.mask[..., None], image, image.new_full((), background))
