"""The rasteriser on warp: the same kernels on CPU and CUDA. The rules are stated in `warp_kernels`."""

from __future__ import annotations

import torch
import warp as wp

from . import warp_kernels as kernels
from .raster import DEFAULT_NEAR, Fragments, Projection, RasterError, check_faces, check_inputs
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
        near: float = DEFAULT_NEAR,
    ) -> Fragments:
        """See `Rasteriser.rasterise`."""
        checked = check_inputs(vertices_camera, faces, intrinsics, height, width, face_mask, projection, near)
        vertices, device = checked.vertices, checked.vertices.device
        batch, vertex_count = vertices.shape[:2]
        face_count = len(checked.faces)

        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.empty(batch, *shape, dtype=dtype, device=device)

        screen, linear = empty(vertex_count, 2, dtype=torch.int32), empty(vertex_count)
        keys = torch.full((batch, height, width), kernels.NO_KEY, dtype=torch.int64, device=device)
        out = Fragments(empty(height, width, dtype=torch.int32), empty(height, width, 3), empty(height, width))
        if batch == 0:
            return out
        mask = checked.face_mask
        if mask is None:
            mask = torch.ones(1, face_count, dtype=torch.uint8, device=device)
        perspective = int(projection == "perspective")
        xy, q, face_array, key_array = as_warp(screen), as_warp(linear), as_warp(checked.faces), as_warp(keys)

        size = span(vertex_count, device)
        arguments = [as_warp(vertices, wp.vec3), as_warp(checked.intrinsics), perspective, near, size, xy, q]
        launch(kernels.snap_kernel, (batch, chunks(vertex_count, size)), arguments, device)

        size = span(face_count, device)
        mask_array = as_warp(mask.expand(batch, -1))
        flags = [int(cull), perspective]
        arguments = [xy, q, face_array, mask_array, *flags, size, key_array]
        launch(kernels.draw_kernel, (batch, chunks(face_count, size)), arguments, device)

        size = span(width, device)
        arguments = [key_array, xy, q, face_array, perspective, size]
        arguments += [as_warp(out.face_id), as_warp(out.barycentric, wp.vec3), as_warp(out.z)]
        launch(kernels.resolve_kernel, (batch, height, chunks(width, size)), arguments, device)
        return out


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
    launch(
        kernels.interpolate_kernel,
        (batch, height, chunks(width, size)),
        [
            as_warp(fragments.face_id),
            as_warp(fragments.barycentric, wp.vec3),
            as_warp(checked),
            as_warp(attributes.detach().to(torch.float32)),
            background,
            size,
            as_warp(image),
        ],
        device,
    )
    return image


def _interpolate_torch(
    fragments: Fragments, faces: torch.Tensor, attributes: torch.Tensor, background: float
) -> torch.Tensor:
    corners = faces.long()[fragments.face_id.clamp_min(0).long()]  # (B, H, W, 3)
    image_index = torch.arange(len(attributes), device=attributes.device)[:, None, None, None]
    values = attributes.to(torch.float32)[image_index, corners]  # (B, H, W, 3, C)
    image = (values * fragments.barycentric[..., None]).sum(-2)
    return torch.where(fragments.mask[..., None], image, image.new_full((), background))
