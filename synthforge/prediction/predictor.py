"""From a photograph and face boxes to a model's predictions: one implementation for `evaluate` and `predict`.

1. The face box is made square, `crop_scale` times its larger side, cut out with anti-aliasing and resampled; what lies
   outside of the photograph is black.
2. Each further pass cuts again around the face that was found. A box found that makes no crop (not finite, empty, too
   large, off the photograph) leaves the crop before as it is.
3. Each task sees the last crop at the size its model is best at; tasks of one size share a forward pass.
4. Tasks map their predictions back to the photograph's pixels (`Task.to_photograph`).
5. Where the model has networks for it, patches around parts of the face are cut from the photograph, and their points
   are averaged with those found so far (`second_look`). Those of the eyes also answer where these look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import UserError
from ..core.frames import Box, CropFrame
from ..core.interfaces import Task
from ..core.plugins import Plugins
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS, point_mapping, translate_points
from ..datasets import crops
from ..learning.looks import Look
from .detectors import find_faces, to_crop_box
from .faces import Face, Faces
from .network import Network
from .onnx_network import open_network
from .photographs import decode, read_bytes
from .second_look import look_again

#: how often a face is looked at by default, by `predict` and `evaluate` alike
PASSES = 2
#: instead of names of tasks
ALL = "all"
# Faces a batch: enough to keep one core busy.
BATCH = 16

Region = tuple[int, int, int, int]


class Predictor:
    """A model on photographs: `predictor(image)` finds the faces and predicts them.

    tasks: only these, `["all"]`, or by default those that need not be named (`Task.on_request`). schemas: the schema
    wanted of a task's values, by default the model's. If the label fine-tuning network has another schema, the model's
    own output head predicts. Points are translated where the model has no such schema and a plugin offers a mapping.
    passes: number of crops.
    flip: the mean with the mirrored crop for every task or for none, None: as the model says. input_size: pixels of a
    crop for every task, 0: the size of each task, by the model's description. crop_scale: side of the crop in
    units of the box's larger side, 0: as the model was trained. detector: finds the faces where no boxes are given.
    second_look: by the networks for it, if the model has any. min_score: faces that the detector scores lower are left
    out; UserError at a call where it gives no scores.

    Raises UserError for a task the model lacks, PluginError for points that nothing translates, ValueError for fewer
    than one pass. More than one pass needs a task that locates the face; a model without one takes the first.
    """

    def __init__(
        self,
        model: Network,
        *,
        tasks: Sequence[str] | None = None,
        schemas: Mapping[str, str] | None = None,
        passes: int = PASSES,
        flip: bool | None = None,
        input_size: int = 0,
        crop_scale: float = 0.0,
        detector: str = "",
        second_look: bool = True,
        min_score: float | None = None,
    ) -> None:
        if passes < 1:
            raise ValueError(f"passes is at least 1, got {passes}")
        self.model = model
        self.tasks = _chosen(model.tasks, tasks)
        for task in self.tasks:
            if task not in model.tasks:
                raise UserError(f"the model has no task '{task}'", hint=f"It has: {', '.join(model.tasks)}.")
        self.schemas = {task: (schemas or {}).get(task, model.schema(task)) for task in model.tasks}
        self.answers = {task: self._answered_in(task, schema) for task, schema in self.schemas.items()}
        self.locator = next((name for name, task in model.tasks.items() if task.locates), "")
        self.passes = passes if self.locator else 1
        self.flip, self.input_size, self.detector = flip, input_size, detector
        self.second_look, self.min_score = second_look, min_score
        self.crop_scale = crop_scale or model.crop_scale

    @classmethod
    def load(
        cls, folder: Path | str, *, plugins: Plugins | None = None, device: str = "cpu", **options: Any
    ) -> Predictor:
        """A predictor of the model in `folder`, or of an ONNX file of `export`; options as of the class.

        Raises what `open_network` raises besides.
        """
        size = int(options.get("input_size", 0))
        return cls(open_network(folder, plugins=plugins, device=device, input_size=size), **options)

    def __call__(self, image: np.ndarray | Path | str, boxes: Sequence[Box] | None = None) -> Faces:
        """The faces of a photograph, (H,W,3) uint8 sRGB or a file: those in `boxes`, or those the detector finds.

        boxes: tight boxes (x0, y0, x1, y1) of the landmarks, brows to chin, in pixels of the upright photograph.
        Raises UserError for a box without a pixel of the photograph and a detector whose package is missing,
        DataError for a file that is no image.
        """
        if isinstance(image, (str, Path)):
            image = decode(read_bytes(Path(image)), Path(image))
        if boxes is not None:
            return Faces(self.faces([image] * len(boxes), boxes), image)
        found = find_faces(image, self.detector, self.min_score)
        faces = self.faces([image] * len(found), [to_crop_box(each.box, self.detector) for each in found])
        return Faces([replace(face, score=each.score) for face, each in zip(faces, found, strict=True)], image)

    def _answered_in(self, task: str, schema: str) -> str:
        """The schema in which the model answers where `schema` is wanted: its own if points are to be translated."""
        own = self.model.schema(task)
        if self.model.tasks[task].kind != "points2d" or schema in (own, self.model.tasks[task].schema):
            return schema
        point_mapping(own, schema)
        return own

    def size_of(self, task: str) -> int:
        """Pixels of the crop that a task sees."""
        return self.input_size or self.model.size_of(task)

    def facts(self, task: str) -> dict[str, Any]:
        """How a task is predicted, for reports: crop_scale, input_size, passes, flip; second_look if there is one."""
        return {
            "crop_scale": self.crop_scale,
            "input_size": self.size_of(task),
            "passes": self.passes,
            "flip": self.model.mirrors(task, self.flip),
            **({"second_look": True} if self._looks(task) else {}),
        }

    def faces(self, images: Sequence[np.ndarray], boxes: Sequence[Box], *, whole: bool = False) -> list[Face]:
        """The face in each of `boxes`, of the photograph (H,W,3) uint8 in the same place of `images`; in that order.

        whole: maps cover the whole photograph, by default the pixels of the crop. Raises as a call does.
        """
        found: list[Face] = []
        for first in range(0, len(boxes), BATCH):
            some = slice(first, first + BATCH)
            found += self._batch(images[some], boxes[some], whole)
        return found

    def _batch(self, images: Sequence[np.ndarray], boxes: Sequence[Box], whole: bool) -> Iterator[Face]:
        squares = [_square(box, self.crop_scale, image) for box, image in zip(boxes, images, strict=True)]
        for _ in range(self.passes - 1):
            regions = [_region(square, image) for square, image in zip(squares, images, strict=True)]
            found = self._look(images, squares, [self.locator], regions)
            find = self.model.tasks[self.locator].face_box
            squares = [
                self._next(find(value), image, before)
                for value, image, before in zip(found[self.locator], images, squares, strict=True)
            ]
        regions = [
            (0, 0, image.shape[1], image.shape[0]) if whole else _region(square, image)
            for square, image in zip(squares, images, strict=True)
        ]
        asked = self._asked()
        found = self._look(images, squares, asked, regions)
        for name in asked:
            if looks := self._looks(name):
                aims = [look.info for look in looks if look.info.directions in self.tasks]
                firsts = {task: found[task] for info in aims for task in (info.directions, info.pose)}
                corners = POINT_SCHEMAS[self.answers[name]].eye_corners
                found[name], directions = look_again(looks, images, found[name], corners, firsts)
                found |= directions
        tasks = {name: self.model.tasks[name] for name in self.tasks}
        schemas = {name: self.schemas[name] for name in self.tasks}
        for i, (image, box, square) in enumerate(zip(images, boxes, squares, strict=True)):
            values = {name: self._translated(name, found[name][i]) for name in self.tasks}
            yield Face(box, square, regions[i], values, tasks, schemas, image)

    def _asked(self) -> Sequence[str]:
        """The tasks of the first look: those wanted, and what a second look at one of these reads."""
        infos = [(name, look.info) for name in self.model.tasks for look in self._looks(name)]
        read = (task for name, info in infos if info.directions in self.tasks for task in (name, info.pose))
        return tuple(dict.fromkeys((*self.tasks, *read)))

    def _looks(self, task: str) -> Sequence[Look]:
        """The networks of a second look at a task's points: where these are in the model's own schema."""
        own = self.answers[task] == self.model.schema(task)
        return self.model.looks_for(task) if self.second_look and own else ()

    def _translated(self, task: str, value: np.ndarray) -> np.ndarray:
        source, target = self.answers[task], self.schemas[task]
        return value if source == target else translate_points(value, source, target)

    def _next(self, box: Box, image: np.ndarray, before: Box) -> Box:
        try:
            return _square(box, self.crop_scale, image)
        except UserError:
            return before

    def _look(
        self, images: Sequence[np.ndarray], squares: Sequence[Box], tasks: Sequence[str], regions: Sequence[Region]
    ) -> dict[str, list[np.ndarray]]:
        """Values of one face in each square, by task."""
        groups: dict[tuple[int, bool], list[str]] = {}
        for name in tasks:
            own = self.answers[name] != self.model.schema(name)
            groups.setdefault((self.size_of(name), own), []).append(name)
        found: dict[str, list[np.ndarray]] = {}
        for (size, own), names in groups.items():
            batch, frames = _cut(images, squares, regions, size, self.model.device)
            output = self.model.predict(batch, adapted=not own, flip=self.flip, tasks=names)
            for name in names:
                task, schema = self.model.tasks[name], self.answers[name]
                values = _checked(task, output[name], len(batch), self.model.schema(name) if not own else task.schema)
                if own:
                    values = task.in_schema(output[name], schema)[task.output]
                found[name] = [task.to_photograph(v, frame) for v, frame in zip(values, frames, strict=True)]
        return found


def _chosen(tasks: Mapping[str, Task], named: Sequence[str] | None) -> tuple[str, ...]:
    if named is not None and tuple(named) != (ALL,):
        return tuple(named)
    return tuple(name for name, task in tasks.items() if named or not task.on_request) or tuple(tasks)


def _cut(
    images: Sequence[np.ndarray],
    squares: Sequence[Box],
    regions: Sequence[Region],
    size: int,
    device: torch.device,
) -> tuple[torch.Tensor, list[CropFrame]]:
    """A square of each photograph as a batch (B,3,size,size) in [0,1], and where each lies."""
    cut = [crops.crop(image, square, size) for image, square in zip(images, squares, strict=True)]
    batch = torch.from_numpy(np.stack([image for image, _ in cut])).to(device)
    frames = [CropFrame(matrix, size, region) for (_, matrix), region in zip(cut, regions, strict=True)]
    return batch.permute(0, 3, 1, 2).float() / 255.0, frames


def _checked(task: Task, prediction: Mapping[str, torch.Tensor], count: int, schema: str) -> torch.Tensor:
    """The task's output; UserError when it is missing, not finite, or not in the schema."""
    if not isinstance(prediction, Mapping) or task.output not in prediction:
        given = ", ".join(prediction) if isinstance(prediction, Mapping) else type(prediction).__name__
        raise UserError(f"the prediction has no '{task.output}' (it gives {given})")
    values = prediction[task.output]
    if len(values) != count or not math.isfinite(float(values.sum(dtype=torch.float64))):
        raise UserError(f"the prediction's '{task.output}' {tuple(values.shape)} is not finite or not {count} long")
    wanted = POINT_SCHEMAS.get(schema) or CLASS_SCHEMAS.get(schema)
    if wanted is not None and values.shape[1] != len(wanted):
        raise UserError(
            f"the prediction's '{task.output}' has {values.shape[1]} channels; the schema {schema} has {len(wanted)}"
        )
    return values


def _square(box: Box, scale: float, image: np.ndarray) -> Box:
    """The crop around a box. Raises UserError for one that is empty, endless, absurdly large or off the photograph."""
    try:
        square = crops.square_box(box, scale)
    except ValueError as error:
        raise UserError(str(error)) from error
    if square[2] - square[0] > crops.MAX_SIDE:
        raise UserError(f"the crop around the box {box} is larger than {crops.MAX_SIDE} pixels")
    left, top, right, bottom = _region(square, image)
    height, width = image.shape[:2]
    if left >= right or top >= bottom:
        at = ", ".join(f"{value:.0f}" for value in box)
        raise UserError(
            f"the box {at} lies outside of the photograph, which is {width} x {height}",
            hint="Boxes are x0, y0, x1, y1 in pixels of the upright photograph.",
        )
    return square


def _region(square: Box, image: np.ndarray) -> Region:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = square
    return max(0, math.floor(x0)), max(0, math.floor(y0)), min(width, math.ceil(x1)), min(height, math.ceil(y1))
