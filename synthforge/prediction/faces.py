"""Faces of one photograph through a model: crops, passes, and the answers in the photograph's own pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..core.errors import UserError
from ..datasets import crops
from ..datasets.crops import Box
from ..evaluation.crop_maps import cut_batch, depth_to_image, label_to_image, points_to_image
from ..learning.model import FaceModel, Prediction

BATCH = 16
# Pixels whose logits are interpolated at once: 30 classes of as many take 30 MB.
_PIXELS = 250_000


@dataclass(frozen=True)
class Face:
    """What a model says of one face, all in pixels of the photograph; None where it has no such task.

    box: the tight box of landmarks the first crop was made from; crop: the square the model saw last; region: (left,
    top, right, bottom), the whole pixels of the photograph inside it. points: (N,2). labels: (h,w) uint8 and depth:
    (h,w) float32 cover the region.
    """

    box: Box
    crop: Box
    region: tuple[int, int, int, int]
    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    depth: np.ndarray | None = None


def predict_faces(
    model: FaceModel,
    image: np.ndarray,
    boxes: Sequence[Box],
    *,
    tasks: Sequence[str] | None = None,
    passes: int = 1,
    crop_scale: float | None = None,
    flip: bool | None = None,
) -> list[Face]:
    """The faces in `boxes` of a photograph (H,W,3) uint8, in the same order.

    boxes: tight boxes of the landmarks, or what stands for them (`detectors.to_crop_box`). tasks: only these, by
    default all. passes: with 2, the landmarks found give a second crop, which decides. crop_scale: side of the crop in
    units of the box's larger side, by default what the model was trained with. flip: as `FaceModel.predict` takes it.

    Raises UserError for a task the model does not have, more than one pass without landmarks, and a box without a
    pixel of the photograph.
    """
    wanted = list(model.tasks) if tasks is None else list(tasks)
    for task in wanted:
        if task not in model.tasks:
            raise UserError(f"the model has no task '{task}'", hint=f"It has: {', '.join(model.tasks)}.")
    if passes > 1 and "keypoints" not in model.tasks:
        raise UserError("more than one pass needs a model with landmarks", hint="Give --passes 1.")
    faces: list[Face] = []
    scale = model.crop_scale if crop_scale is None else crop_scale
    for first in range(0, len(boxes), BATCH):
        some = list(boxes[first : first + BATCH])
        squares = [_square(box, scale, image) for box in some]
        for _ in range(passes - 1):
            output, matrices = _answers(model, image, squares, ["keypoints"], flip)
            squares = [
                _next_square(points, scale, image, square)
                for points, square in zip(_points(output, matrices, model.input_size), squares, strict=True)
            ]
        output, matrices = _answers(model, image, squares, wanted, flip)
        points = _points(output, matrices, model.input_size) if "keypoints" in output else [None] * len(some)
        for i, (box, square) in enumerate(zip(some, squares, strict=True)):
            region = _region(square, image)
            labels = depth = None
            if "segmentation" in output:
                logits = output["segmentation"]["logits"][i]
                labels = _mapped(label_to_image, logits, matrices[i], model.input_size, region)
            if "depth" in output:
                depth = _mapped(depth_to_image, output["depth"]["depth"][i], matrices[i], model.input_size, region)
            faces.append(Face(box, square, region, points[i], labels, depth))
    return faces


def _square(box: Box, scale: float, image: np.ndarray) -> Box:
    try:
        square = crops.square_box(box, scale)
    except ValueError as error:
        raise UserError(str(error)) from error
    left, top, right, bottom = _region(square, image)
    if left >= right or top >= bottom:
        height, width = image.shape[:2]
        at = ", ".join(f"{value:.0f}" for value in box)
        raise UserError(
            f"the box {at} lies outside of the photograph, which is {width} x {height}",
            hint="Boxes are x0, y0, x1, y1 in pixels of the upright photograph.",
        )
    return square


def _next_square(points: np.ndarray, scale: float, image: np.ndarray, before: Box) -> Box:
    """The square of the next pass; the one before where the points found make none."""
    try:
        return _square((*points.min(axis=0).tolist(), *points.max(axis=0).tolist()), scale, image)
    except UserError:
        return before


def _region(square: Box, image: np.ndarray) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = square
    return max(0, math.floor(x0)), max(0, math.floor(y0)), min(width, math.ceil(x1)), min(height, math.ceil(y1))


def _answers(
    model: FaceModel, image: np.ndarray, squares: Sequence[Box], tasks: Sequence[str], flip: bool | None
) -> tuple[dict[str, Prediction], list[np.ndarray]]:
    try:
        batch, matrices = cut_batch([image] * len(squares), squares, model.input_size, model.mean.device)
    except ValueError as error:
        raise UserError(str(error)) from error
    return model.predict(batch, tasks=tasks, flip=flip), matrices


def _points(output: dict[str, Prediction], matrices: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    points = output["keypoints"]["points"]
    return [points_to_image(p, matrix, size) for matrix, p in zip(matrices, points, strict=True)]


def _mapped(
    to_image: Callable[..., np.ndarray],
    values: torch.Tensor,
    matrix: np.ndarray,
    size: int,
    region: tuple[int, int, int, int],
) -> np.ndarray:
    """A map (C,h,w) of the crop at the pixels of a region, by strips that memory can hold."""
    left, top, right, bottom = region
    step = max(1, _PIXELS // (right - left))
    parts = []
    for row in range(top, bottom, step):
        here = matrix.copy()
        here[:, 2] += matrix[:, :2] @ (left, row)
        parts.append(to_image(values, here, size, (min(step, bottom - row), right - left)))
    return np.concatenate(parts)
