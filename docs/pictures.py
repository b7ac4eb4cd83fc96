"""The pictures of the front page: `python docs/pictures.py` draws them anew into docs/images.

Rendered faces with their labels, and the shipped model's answer on scikit-image's photograph of an astronaut
(NASA, public domain; `pip install scikit-image`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import synthforge as sf
from synthforge.datasets.drawing import Points, depth_span, draw_depth, draw_labels, draw_normals, draw_points
from synthforge.prediction.overlay import draw

FOLDER = Path(__file__).resolve().parent / "images"
SIDE = 256


def sheet(indices: tuple[int, ...], seed: int = 7) -> Image.Image:
    """Columns of faces; below each its landmarks, classes, depth and normals, as the generator wrote them."""
    columns = []
    for index in indices:
        face = sf.sample("anny", seed=seed, index=index, resolution=SIDE)
        labels = face.annotations
        depth = labels["depth"]
        there = np.isfinite(depth) & (depth > 0)
        points = Points(labels["landmarks2d"], "ibug68", visible=labels["landmark_visibility"])
        column = [
            face.image,
            draw_points(face.image, [points]),
            draw_labels(labels["segmentation"], "synthforge", over=face.image),
            draw_depth(depth, there, depth_span(depth, there, cut=1)),
            draw_normals(labels["normals"]),
        ]
        columns.append(np.concatenate(column))
    return Image.fromarray(np.concatenate(columns, axis=1))


def main() -> None:
    """Write both pictures."""
    from skimage import data

    FOLDER.mkdir(exist_ok=True)
    sheet((0, 1, 2, 3, 4, 5)).save(FOLDER / "faces.jpg", quality=88)
    faces = [face for face in sf.load_model("face")(data.astronaut()) if (face.score or 0) > 0.5]
    Image.fromarray(draw(data.astronaut(), faces)).save(FOLDER / "astronaut.jpg", quality=88)


if __name__ == "__main__":
    main()
