"""Faces of a video: each keeps its number from frame to frame, and its points are filtered.

A face is looked for where it was in the frame before; a detector looks at the whole frame every so often, for new faces
and to drop those that are gone. Points are filtered by the One Euro filter (Casiez, Roussel and Vogel 2012): strong at
rest, weak in motion. Speeds are in units of the face and measured from the filtered point, so a lag ends itself. Those
below `CALM` count as rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.frames import Box
from ..evaluation.boxes import LEAST_OVERLAP, overlap
from .detectors import find_faces, to_crop_box
from .faces import Face
from .predictor import Predictor

#: cut-off frequency at rest in Hz, how much it rises with speed in Hz per (face sizes a second), and that of the speed
REST, SPEED, SPEED_CUTOFF = 0.1, 300.0, 1.5
#: face sizes a second that count as rest: of single points, and of the whole face, whose mean has less noise
CALM, CALM_FACE = 0.05, 0.0125
#: frames between two looks of the detector, and how many of them may miss a face before it is dropped
DETECT_EVERY, MISSES = 10, 2


@dataclass
class OneEuro:
    """The filter of points (N,2) whose unit is `size`. A step of more than half a face starts anew."""

    value: np.ndarray | None = None
    speed: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def __call__(self, points: np.ndarray, seconds: float, size: float) -> np.ndarray:
        """Filtered points; seconds since the last call, size in pixels of the face."""
        if self.value is None or seconds <= 0 or np.abs(points - self.value).max() > size / 2:
            self.value, self.speed = points, np.zeros_like(points)
            return points
        self.speed = self.speed + _share(SPEED_CUTOFF, seconds) * (
            (points - self.value) / (seconds * size) - self.speed
        )
        whole = self.speed.mean(0)
        own = np.linalg.norm(self.speed - whole, axis=-1, keepdims=True)
        fast = max(0.0, float(np.linalg.norm(whole)) - CALM_FACE) + np.maximum(0.0, own - CALM)
        self.value = self.value + _share(REST + SPEED * fast, seconds) * (points - self.value)
        return self.value


def _share(cutoff: Any, seconds: float) -> Any:
    """Of the new value in the exponential mean with a cut-off frequency in Hz."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))


@dataclass(frozen=True)
class Tracked:
    """A face of a frame, its points filtered, and the number it keeps."""

    id: int
    face: Face


@dataclass
class _Track:
    id: int
    box: Box
    filters: dict[str, OneEuro] = field(default_factory=dict)
    misses: int = 0


class Tracker:
    """`tracker(frame, time)` for the frames of one video, in order.

    predictor: its landmarks find the face in the next frame, so they must be the model's own points. Translate them
    afterwards, by `Face.points_as`. smooth: whether points are filtered. Raises UserError for a model without
    landmarks and for translated ones.
    """

    def __init__(self, predictor: Predictor, *, smooth: bool = True, detect_every: int = DETECT_EVERY) -> None:
        if not predictor.locator:
            raise UserError("tracking needs a model with landmarks", hint=f"It has: {', '.join(predictor.tasks)}.")
        if predictor.schemas[predictor.locator] != predictor.answers[predictor.locator]:
            raise UserError("tracking needs the model's own points", hint="Translate them by `Face.points_as`.")
        self.predictor, self.smooth, self.detect_every = predictor, smooth, detect_every
        self._tracks: list[_Track] = []
        self._count, self._next, self._time = 0, 0, 0.0

    def __call__(self, image: np.ndarray, time: float) -> list[Tracked]:
        """The faces of a frame (H,W,3) uint8 at `time` in seconds, by number."""
        if self._count % self.detect_every == 0 or not self._tracks:
            self._detect(image)
        seconds, self._time = time - self._time, time
        self._count += 1
        boxes = [track.box for track in self._tracks]
        found = []
        for track, face in zip(self._tracks, self.predictor.faces([image] * len(boxes), boxes), strict=True):
            located = face.values[self.predictor.locator]
            track.box = self.predictor.model.tasks[self.predictor.locator].face_box(located)
            found.append(Tracked(track.id, self._smoothed(track, face, seconds)))
        self._tracks = [track for track in self._tracks if _inside(track.box, image)]
        return found

    def _detect(self, image: np.ndarray) -> None:
        detector = self.predictor.detector
        found = find_faces(image, detector, self.predictor.min_score)
        seen = [to_crop_box(each.box, detector) for each in found]
        for track in self._tracks:
            near = [box for box in seen if overlap(box, track.box) >= LEAST_OVERLAP]
            track.misses = 0 if near else track.misses + 1
            seen = [box for box in seen if box not in near]
        self._tracks = [track for track in self._tracks if track.misses < MISSES]
        for box in seen:
            self._tracks.append(_Track(self._next, box))
            self._next += 1

    def _smoothed(self, track: _Track, face: Face, seconds: float) -> Face:
        if not self.smooth:
            return face
        size = max(track.box[2] - track.box[0], track.box[3] - track.box[1])
        values = dict(face.values)
        for name, value in face.values.items():
            if face.tasks[name].kind == "points2d":
                values[name] = track.filters.setdefault(name, OneEuro())(value, seconds, size)
        return replace(face, values=values)


def _inside(box: Box, image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return all(map(math.isfinite, box)) and 0 <= centre[0] < width and 0 <= centre[1] < height
