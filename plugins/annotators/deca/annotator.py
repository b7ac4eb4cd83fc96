"""The baseline annotator: landmarks as DECA sees them in the picture, not as the generator made them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synthforge.assets.registry import find_asset
from synthforge.assets.torch_checkpoint import read_torch_checkpoint
from synthforge.core.errors import AnnotationError
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field, Rendering
from synthforge.geometry.raster import get_rasteriser

from ...heads.flame.assets import load_flame_head
from ...heads.flame.head import FlameHead
from .network import INPUT, CoarseEncoder, decode, project
from .settings import DecaConfig

DISTANCE = 1.0  # metres from the camera to FLAME's origin in `deca_depth`: an orthographic view has none of its own


class DecaAnnotator(Annotator):
    """Reads 68 landmarks and FLAME parameters off the pixels.

    The crop is taken around the generator's own landmarks, as the paper's comparison needs the same faces and not a
    detector's misses.
    """

    def __init__(self, config: DecaConfig) -> None:
        self.config = config
        self.fields = (
            Field(
                "deca_landmarks2d",
                "points2d",
                unit="px",
                frame="image, pixel centres at i + 0.5",
                schema="ibug68",
                description="landmarks estimated by DECA",
            ),
            Field("deca_parameters", "json", description="FLAME shape, expression, pose and camera estimated by DECA"),
        )
        if config.dense:
            self.fields += (
                Field(
                    "deca_segmentation",
                    "label",
                    unit="class id",
                    frame="image",
                    schema="flame20",
                    description="regions of the mesh estimated by DECA",
                ),
                Field(
                    "deca_depth",
                    "depth",
                    "m",
                    "camera",
                    description=f"z of the mesh estimated by DECA; its origin lies at {DISTANCE:g} m by convention",
                ),
            )

    @cached_property
    def encoder(self) -> CoarseEncoder:
        """The network with its weights; AssetError if they have not been added."""
        return CoarseEncoder.from_state(read_torch_checkpoint(find_asset("deca"))["E_flame"])

    @cached_property
    def head(self) -> FlameHead:
        """FLAME."""
        return load_flame_head(self.config.edition)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        """See `Annotator.annotate`."""
        centre, side = face_square(rendering, self.config.crop_scale)
        with torch.inference_mode():
            code = self.encoder(crop(rendering.image, centre, side))
            vertices, points = decode(self.head, code)

        def to_image(located: torch.Tensor) -> np.ndarray:
            pixels = project(located, code.camera)[0].numpy()
            return np.asarray(pixels * (side / INPUT) + centre - side / 2, np.float32)

        names = ("shape", "expression", "pose", "camera")
        found: dict[str, Any] = {
            "deca_landmarks2d": to_image(points),
            "deca_parameters": {name: getattr(code, name)[0].tolist() for name in names},
        }
        if self.config.dense:
            found |= self._dense(to_image(vertices), vertices[0, :, 2].numpy(), rendering.image.shape[:2])
        return found

    def _dense(self, pixels: np.ndarray, forward: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """Classes and depth of the mesh with vertices at `pixels` (V,2), `forward` (V,) metres towards the viewer."""
        placed = torch.from_numpy(np.column_stack([pixels, DISTANCE - forward]).astype(np.float32))
        # DECA's camera is scaled orthographic: pixels are already what it projects to.
        seen = get_rasteriser().rasterise(
            placed[None], torch.from_numpy(self.head.faces), torch.eye(3), *shape, projection="orthographic"
        )
        face_id, there = seen.face_id[0].numpy(), seen.mask[0].numpy()
        labels = np.zeros(shape, np.uint8)
        labels[there] = self.head.regions_at(face_id[there], seen.barycentric[0].numpy()[there])
        return {"deca_segmentation": labels, "deca_depth": np.where(there, seen.z[0].numpy(), 0).astype(np.float32)}


def face_square(rendering: Rendering, scale: float) -> tuple[np.ndarray, float]:
    """Centre (2,) and side in pixels of the square crop around a rendering's face."""
    if rendering.head is not None and rendering.surface is not None:
        vertices = torch.from_numpy(rendering.surface.vertices[None, : rendering.surface.head_vertices])
        points = rendering.head.landmarks(vertices)[0].detach().cpu().numpy()
    elif "ibug68" in rendering.points:
        points = rendering.points["ibug68"]
    else:
        raise AnnotationError(
            "deca needs to know where the face is: a head with its mesh, or landmarks of the generator's own",
            hint="Leave the annotator 'deca' out.",
        )
    pixels, _ = rendering.camera.project(points)
    low, high = pixels.min(0), pixels.max(0)
    return (low + high) / 2, float((high - low).max()) * scale


def crop(image: np.ndarray, centre: np.ndarray, side: float) -> torch.Tensor:
    """The square of an image (H,W,3) uint8, black outside, as (1,3,224,224) in [0,1]."""
    height, width = image.shape[:2]
    at = (np.arange(INPUT) + 0.5) / INPUT - 0.5
    x = 2 * (centre[0] + at * side) / width - 1
    y = 2 * (centre[1] + at * side) / height - 1
    grid = torch.tensor(np.stack(np.meshgrid(x, y), -1)[None], dtype=torch.float32)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
