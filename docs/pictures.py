"""The pictures of the manual: `python docs/pictures.py` draws them anew into docs/images.

Rendered faces with their labels, the shipped model's answer on scikit-image's photograph of an astronaut
(NASA, public domain; `pip install scikit-image`), and the page of `synthforge show` in Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import synthforge as sf
from synthforge.datasets.drawing import Points, depth_span, draw_depth, draw_labels, draw_normals, draw_points
from synthforge.datasets.gallery import write_gallery
from synthforge.datasets.reader import ShardDataset
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


def qualities(indices: tuple[int, ...], seed: int = 7, side: int = 512, shown: int = 380) -> Image.Image:
    """The middles of faces by `quality: fast`, and below them by `fine`."""
    cut = np.s_[side - shown - 40 : side - 40, (side - shown) // 2 : (side + shown) // 2]
    rows = []
    for quality in ("fast", "fine"):
        generator = {"name": "anny", "quality": quality}
        faces = [sf.sample(generator, seed=seed, index=index, resolution=side).image[cut] for index in indices]
        rows.append(np.concatenate(faces, axis=1))
    return Image.fromarray(np.concatenate(rows))


def places() -> Image.Image:
    """People in places, before a webcam, and in a car."""
    orders: list[tuple[int, dict[str, Any]]] = [
        *((index, {"background": {"kind": kind}}) for index, kind in ((7, "room"), (6, "street"), (8, "outdoor"))),
        (4, {"preset": "webcam"}),
        (6, {"preset": "driver-camera"}),
    ]
    shown = [sf.sample({"name": "anny", **order}, seed=7, index=i, resolution=SIDE).image for i, order in orders]
    return Image.fromarray(np.concatenate(shown, axis=1))


def gallery() -> Image.Image:
    """The page of a dataset with a sample opened: labels over the picture, and the surface of its depth map."""
    from playwright.sync_api import sync_playwright

    browser = os.environ.get("SYNTHFORGE_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        labels = ["landmarks", "segmentation", "depth", "head-pose", "gaze", "face-box"]
        sf.generate(Path(folder, "faces"), "anny", samples=12, seed=11, annotators=labels)
        page = write_gallery(ShardDataset(Path(folder, "faces")), range(12), Path(folder, "faces.html"))
        drawn = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        opened = playwright.chromium.launch(executable_path=browser, args=drawn)
        # To wait for the surface is to evaluate text, which the page itself forbids.
        shown = opened.new_page(viewport={"width": 1180, "height": 720}, color_scheme="dark", bypass_csp=True)
        shown.goto(page.as_uri())
        for name in ("segmentation", "head_pose", "gaze", "face_box"):
            shown.click(f"#toggles button:text-is('{name}')")
        shown.locator(".card").nth(2).click()
        shown.wait_for_function("mesh.triangles() > 1000")
        return Image.open(io.BytesIO(shown.screenshot())).convert("RGB")


def main() -> None:
    """Write all of them."""
    from skimage import data

    FOLDER.mkdir(exist_ok=True)
    sheet((0, 1, 2, 3, 4, 5)).save(FOLDER / "faces.jpg", quality=88)
    qualities((2, 3, 6, 8)).save(FOLDER / "fine.jpg", quality=80)
    places().save(FOLDER / "places.jpg", quality=85)
    gallery().save(FOLDER / "gallery.jpg", quality=82)
    faces = [face for face in sf.load_model("face")(data.astronaut()) if (face.score or 0) > 0.5]
    Image.fromarray(draw(data.astronaut(), faces)).save(FOLDER / "astronaut.jpg", quality=88)


if __name__ == "__main__":
    main()
