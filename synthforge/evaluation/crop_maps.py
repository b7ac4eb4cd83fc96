"""Between a photograph and its crops: batches cut out of it, and predictions brought back to its pixels.

Points are mapped back through the crop's own matrix; logits and depth are interpolated bilinearly at every pixel of the
photograph, and the class is chosen there, at full resolution. Pixels outside of the crop are background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..datasets import crops


def cut_batch(
    images: Sequence[np.ndarray], squares: Sequence[crops.Box], size: int, device: torch.device
) -> tuple[torch.Tensor, list[np.ndarray]]:
    """One square of each photograph as a batch (B,3,size,size) in [0,1], and the maps from photograph to crop pixels.

    Raises ValueError for a square that no crop can be made of.
    """
    cut = [crops.crop(image, square, size) for image, square in zip(images, squares, strict=True)]
    batch = torch.from_numpy(np.stack([image for image, _ in cut])).to(device)
    return batch.permute(0, 3, 1, 2).float() / 255.0, [matrix for _, matrix in cut]


def points_to_image(
    points: torch.Tensor, matrix: np.ndarray, size: int, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Points (N,2) in [0,1] of a crop of `size` pixels -> pixels of the photograph, float64."""
    return crops.apply(crops.invert(matrix), points.double().cpu().numpy() * size)


def map_to_image(
    values: torch.Tensor, matrix: np.ndarray, size: int, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """A map (C,h,w) over a crop, interpolated at every pixel centre of the photograph.

    matrix: photograph -> crop pixels of a crop of `size` pixels, whatever h and w are; shape: (H,W). Returns
    (C,H,W), the nearest value of the crop where the pixel lies outside of it, and (H,W) bool, where it lies inside.
    """
    height, width = shape
    rows = (np.arange(height) + 0.5) * matrix[1, 1] + matrix[1, 2]
    columns = (np.arange(width) + 0.5) * matrix[0, 0] + matrix[0, 2]
    y = torch.from_numpy(rows * 2 / size - 1).to(values)
    x = torch.from_numpy(columns * 2 / size - 1).to(values)
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
    # align_corners=False is the house's convention: -1 and 1 are the outer edges of the first and last pixel.
    mapped = F.grid_sample(values[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
    return mapped, (grid.abs() <= 1).all(dim=-1)


def label_to_image(logits: torch.Tensor, matrix: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray:
    """Class ids (H,W) uint8 of logits (C,h,w) over a crop, 0 outside of it; see `map_to_image`."""
    mapped, inside = map_to_image(logits.float(), matrix, size, shape)
    # max(), not argmax(): the same first maximum, several times faster over the leading dimension on the CPU
    return (mapped.max(dim=0).indices * inside).to(torch.uint8).cpu().numpy()


def depth_to_image(depth: torch.Tensor, matrix: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray:
    """Depth (H,W) of a map (1,h,w) over a crop; see `map_to_image`."""
    return map_to_image(depth.float(), matrix, size, shape)[0][0].cpu().numpy()


#: how the prediction of a task's benchmarks is brought back, one value of a batch at a time
TO_IMAGE: Mapping[str, Callable[[torch.Tensor, np.ndarray, int, tuple[int, int]], np.ndarray]] = {
    "keypoints": points_to_image,
    "segmentation": label_to_image,
    "depth": depth_to_image,
}
