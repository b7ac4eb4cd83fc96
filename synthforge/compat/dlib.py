"""`import synthforge.compat.dlib as dlib`: dlib, but its shape predictor is our model.

`shape_predictor` is answered here; everything else is dlib's own, rectangles and points included, so the package dlib
must be installed. Points are rounded to whole pixels, as dlib rounds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.frames import Box
from ..prediction.detectors import to_crop_box
from . import landmark_model

try:
    import dlib as _dlib
except ImportError as error:
    raise UserError("compat.dlib needs the package dlib", hint="pip install 'synthforge[predict]'") from error


class shape_predictor:
    """`dlib.shape_predictor`: 68 points of the face in a rectangle.

    path: a model's folder or name. A path that ends in `.dat`, dlib's own format, is not read: the model `face`
    answers instead. Raises UserError for any other name that is no model.
    """

    def __init__(self, path: str = "face") -> None:
        self.model = landmark_model(str(path), ".dat")

    def __call__(self, image: np.ndarray, box: Any) -> Any:
        """`dlib.full_object_detection` for an image (H,W,3) or (H,W) uint8 and one of dlib's rectangles."""
        pixels = np.asarray(image)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        given: Box = (float(box.left()), float(box.top()), float(box.right() + 1), float(box.bottom() + 1))
        face = self.model(np.ascontiguousarray(pixels), [to_crop_box(given, "dlib")])[0]
        points = np.floor(np.asarray(face.points)).astype(int).tolist()
        return _dlib.full_object_detection(box, [_dlib.point(x, y) for x, y in points])


def __getattr__(name: str) -> Any:
    return getattr(_dlib, name)
