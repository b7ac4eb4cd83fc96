"""What is read of MakeHuman's base mesh: its frame, and masks painted in its texture space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def to_house(points: np.ndarray) -> np.ndarray:
    """From anny's frame (z up, facing -y) to the world's (y up, facing +z); both metres, subject's left at +x."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def mask_at_vertices(path: Path, texture: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray) -> np.ndarray:
    """One of MakeHuman's masks (CC0), painted in texture space (T,2), at every vertex of faces: (V,) in [0,1]."""
    with Image.open(path, formats=["JPEG"]) as image:
        mask = np.asarray(image.convert("L"), np.float32) / 255
    height, width = mask.shape
    column = (texture[:, 0] * width).astype(int).clip(0, width - 1)
    row = ((1 - texture[:, 1]) * height).astype(int).clip(0, height - 1)
    values = np.zeros(int(faces.max()) + 1, np.float32)
    np.maximum.at(values, faces.ravel(), mask[row, column][uv_faces].ravel())
    return values
