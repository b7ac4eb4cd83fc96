"""The rasteriser interface: which triangle does each pixel see, where on it, and how far away.

Backends are named in `BACKENDS`; `get_rasteriser()` picks one. All take the same arguments and keep the same
rules, so pictures do not depend on the backend beyond rounding.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from synthforge.core.errors import SynthForgeError, UserError

Projection = Literal["perspective", "orthographic"]
NEAR = 0.01  # metres
MAX_SIZE = 16384
MAX_COORDINATE = 32768  # pixels; see Rasteriser.rasterise


class RasterError(UserError, ValueError):
    """Meshes, cameras or image sizes that cannot be rasterised."""


class BackendMissingError(SynthForgeError):
    """A known rasteriser whose package is not installed."""


@dataclass(frozen=True)
class Fragments:
    """What every pixel sees.

    Attributes:
        face_id: (B, H, W) int32, index into the triangles of its own image's mesh; -1 where nothing is seen.
        barycentric: (B, H, W, 3) float32 weights of the face's three vertices in the order they are listed,
            perspective-correct, each in [0, 1], summing to 1; 0 where nothing is seen.
        z: (B, H, W) float32 z depth in metres (camera z, not ray distance); +inf where nothing is seen.
    """

    face_id: torch.Tensor
    barycentric: torch.Tensor
    z: torch.Tensor

    @property
    def mask(self) -> torch.Tensor:
        """(B, H, W) bool silhouette: True where the pixel sees a triangle."""
        return self.face_id >= 0


class Rasteriser(Protocol):
    """One backend."""

    name: str

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
        """Find the nearest triangle at every pixel centre (i + 0.5). Not differentiable.

        Args:
            vertices_camera: (B, V, 3) metres, in the camera frame (x right, y down, z forward).
            faces: (F, 3) integer vertex indices, counter-clockwise seen from outside.
            intrinsics: (B, 3, 3) or (3, 3) in pixels.
            height, width: image size in pixels, at most 16384.
            cull: drop triangles seen from behind.
            face_mask: (F,) or (B, F) bool; False faces are left out. Ids still index `faces`.
            projection: "perspective", pixel = K (x / z, y / z, 1), or "orthographic", pixel = K (x, y, 1), where
                z may have any sign and interpolates linearly.

        Nothing is clipped. A triangle is dropped whole where a vertex is nearer than `NEAR` metres (perspective only),
        is not finite, or projects further than 32768 pixels from the image origin.
        A head in front of a camera never comes near these limits.

        Raises:
            RasterError: a shape, an index, a size or an option is out of range.
        """
        ...


BACKENDS: dict[str, tuple[str, str]] = {
    "warp": ("synthforge.geometry.raster_warp", "WarpRasteriser"),
    "pytorch3d": ("synthforge.geometry.raster_pytorch3d", "Pytorch3dRasteriser"),
}
"""Name of each backend and where it lives; modules load when asked for."""

AUTO = "warp"  # always installed, and about a thousand times faster than pytorch3d on a CPU


def get_rasteriser(name: str = "auto") -> Rasteriser:
    """The rasteriser called `name`, one of `BACKENDS`, or "auto" for the preferred one.

    Raises:
        RasterError: no such backend.
        BackendMissingError: its package is not installed.
    """
    chosen = AUTO if name == "auto" else name
    if chosen not in BACKENDS:
        raise RasterError(
            f"there is no rasteriser called {name!r}", hint=f"choose one of: auto, {', '.join(sorted(BACKENDS))}"
        )
    module, attribute = BACKENDS[chosen]
    try:
        backend: type[Rasteriser] = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise BackendMissingError(
            f"the rasteriser {chosen!r} cannot be loaded: {error}",
            hint=f"pip install 'synthforge[{chosen}]', or use the rasteriser 'warp'",
        ) from error
    return backend()


@dataclass(frozen=True)
class Checked:
    """Arguments of `rasterise` after `check_inputs`: float32 / int32, contiguous, on one device."""

    vertices: torch.Tensor
    faces: torch.Tensor
    intrinsics: torch.Tensor
    face_mask: torch.Tensor | None


def check_inputs(
    vertices_camera: torch.Tensor,
    faces: torch.Tensor,
    intrinsics: torch.Tensor,
    height: int,
    width: int,
    face_mask: torch.Tensor | None,
    projection: str,
) -> Checked:
    """Check and normalise the arguments of `Rasteriser.rasterise`; shared by the backends.

    Returns contiguous tensors: vertices float32 (B, V, 3), faces int32 (F, 3), intrinsics float32 (B, 3, 3) and
    the mask uint8 (B, F) or (1, F) or None.

    Raises:
        RasterError: as documented there.
    """
    if vertices_camera.ndim != 3 or vertices_camera.shape[-1] != 3:
        raise RasterError(f"vertices must have shape (B, V, 3), got {tuple(vertices_camera.shape)}")
    batch, count, _ = vertices_camera.shape
    checked_faces = check_faces(faces, count)
    if intrinsics.ndim == 2:
        intrinsics = intrinsics.expand(batch, -1, -1)
    if tuple(intrinsics.shape) != (batch, 3, 3):
        raise RasterError(f"intrinsics must have shape ({batch}, 3, 3) or (3, 3), got {tuple(intrinsics.shape)}")
    if not (1 <= height <= MAX_SIZE and 1 <= width <= MAX_SIZE):
        raise RasterError(f"an image of {height} x {width} pixels cannot be drawn; sides go from 1 to {MAX_SIZE}")
    if projection not in ("perspective", "orthographic"):
        raise RasterError(f"projection must be 'perspective' or 'orthographic', got {projection!r}")
    if face_mask is not None:
        face_mask = face_mask[None] if face_mask.ndim == 1 else face_mask
        if face_mask.shape[0] not in (1, batch) or face_mask.shape[1:] != faces.shape[:1]:
            raise RasterError(
                f"face_mask must have shape ({len(faces)},) or ({batch}, {len(faces)}), got {tuple(face_mask.shape)}"
            )
        face_mask = (face_mask != 0).to(torch.uint8).contiguous()
    tensors = [faces, intrinsics] + ([] if face_mask is None else [face_mask])
    if any(t.device != vertices_camera.device for t in tensors):
        raise RasterError(
            f"vertices are on {vertices_camera.device}, the rest on {sorted({str(t.device) for t in tensors})}",
            hint="move everything to one device",
        )
    return Checked(
        vertices_camera.detach().to(torch.float32).contiguous(),
        checked_faces,
        intrinsics.detach().to(torch.float32).contiguous(),
        face_mask,
    )


def check_faces(faces: torch.Tensor, vertex_count: int) -> torch.Tensor:
    """`faces` as contiguous int32 (F, 3).

    Raises:
        RasterError: not integers of shape (F, 3), or an index outside [0, vertex_count).
    """
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point() or faces.dtype == torch.bool:
        raise RasterError(f"faces must be integers of shape (F, 3), got {faces.dtype} {tuple(faces.shape)}")
    if len(faces):
        low, high = (int(value) for value in torch.aminmax(faces))
        if low < 0 or high >= vertex_count:
            raise RasterError(
                f"a face names vertex {low if low < 0 else high}, but the mesh has {vertex_count} vertices"
            )
    return faces.to(torch.int32).contiguous()
