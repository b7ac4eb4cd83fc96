"""Calls of other packages, answered by our model: a script changes one line. `compat.dlib`, `compat.mediapipe`."""

from __future__ import annotations

from functools import cache

from ..core.shipped import find_model
from ..prediction.onnx_network import open_network
from ..prediction.predictor import Predictor


@cache
def landmark_model(name: str, foreign: str, *more: str) -> Predictor:
    """The landmarks of a model; for a path that ends in `foreign`, another package's format, of the model `face`.

    more: further tasks, which are answered if the model has them. Raises UserError for a name that is no model.
    """
    model = open_network(find_model("face" if name.endswith(foreign) else name))
    landmarks = [task for task, each in model.tasks.items() if each.kind == "points2d"]
    return Predictor(model, tasks=[*landmarks, *(task for task in more if task in model.tasks)])
