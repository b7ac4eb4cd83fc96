"""Face detectors that bring their weights in a package: where the faces of a photograph are, never a label.

Every detector has its own idea of a face box. A calibration, written down here as data, maps its box to the tight box
of the 68 landmarks, which is what every crop of this project starts from (`datasets.crops.square_box`).
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..core.errors import UserError, did_you_mean
from ..datasets.crops import Box

#: a photograph (H,W,3) uint8 sRGB -> face boxes (x0, y0, x1, y1) in its pixels, pixel i covering [i, i + 1), each with
#: how sure the detector is: a number that grows with its certainty, in its own measure
Detect = Callable[[np.ndarray], list[tuple[Box, float]]]

# Detection works on a copy whose longer side is at most this: larger photographs cost time and gain only tiny faces.
WORKING_SIDE = 1024
# The smallest face mtcnn looks for, in pixels of that copy; dlib's, after its one doubling, is 40.
MTCNN_SMALLEST = 20
# Boxes of mtcnn scored lower are mostly no faces.
MTCNN_THRESHOLD = 0.9


@dataclass(frozen=True)
class Calibration:
    """How a detector's box becomes the tight box of the landmarks, in units of the detector box's side.

    side: sqrt(width * height) of the detector's box. The landmarks' box is a square of `scale` sides around the box's
    centre moved `down` by so many sides (and not sideways, as a mirrored face would be moved the other way). spread:
    median distance, over the faces it was measured on, between that square and the annotated one: of the centres, and
    of the sides, both in annotated sides.
    """

    down: float
    scale: float
    spread: tuple[float, float]
    origin: str


@dataclass(frozen=True)
class Detector:
    """One detector: what it is, what its box and its scores mean, how to get it and how to build it."""

    name: str
    summary: str
    licence: str
    module: str
    install: str
    convention: str
    scores: str
    calibration: Calibration
    load: Callable[[], Detect]


def detect_faces(image: np.ndarray, detector: str = "dlib") -> list[Box]:
    """Face boxes in a photograph (H,W,3) uint8 sRGB, in its pixels and in the detector's own convention, largest first.

    The list is empty where it finds none. Raises UserError for an unknown detector or one whose package is missing.
    """
    return [box for box, _ in detect_scored(image, detector)]


def detect_scored(image: np.ndarray, detector: str = "dlib") -> list[tuple[Box, float]]:
    """As `detect_faces`, each box with the detector's score (see `Detector.scores`)."""
    find = _loaded(find_detector(detector).name)
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    small = image
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    sx, sy = width / small.shape[1], height / small.shape[0]
    with _lock:  # the libraries do not promise that one detector may run in two threads
        found = find(np.ascontiguousarray(small))
    scaled = [
        ((x0 * sx, y0 * sy, x1 * sx, y1 * sy), float(score)) for (x0, y0, x1, y1), score in found if x1 > x0 and y1 > y0
    ]
    return sorted(scaled, key=lambda face: (face[0][0] - face[0][2]) * (face[0][3] - face[0][1]))


def to_crop_box(box: Box, detector: str = "dlib") -> Box:
    """A detector's box as the square that stands for the tight box of the landmarks, by the detector's calibration."""
    c = find_detector(detector).calibration
    x0, y0, x1, y1 = box
    side = ((x1 - x0) * (y1 - y0)) ** 0.5
    cx, cy, half = (x0 + x1) / 2, (y0 + y1) / 2 + c.down * side, c.scale * side / 2
    return cx - half, cy - half, cx + half, cy + half


def find_detector(name: str) -> Detector:
    """A detector by name; UserError with the nearest name."""
    if name in DETECTORS:
        return DETECTORS[name]
    raise UserError(f"there is no face detector '{name}'", hint=did_you_mean(name, DETECTORS))


def is_installed(name: str) -> bool:
    """Whether a detector's package is there; nothing of it is imported."""
    return importlib.util.find_spec(find_detector(name).module) is not None


_lock = threading.Lock()


@functools.cache
def _loaded(name: str) -> Detect:
    detector = DETECTORS[name]
    try:
        return detector.load()
    except ImportError as error:
        raise UserError(
            f"the face detector '{name}' needs the package {detector.module}, which cannot be imported: {error}",
            hint=f"Install it ({detector.install}), choose another detector, or give the boxes yourself.",
        ) from error


def _load_dlib() -> Detect:
    import dlib

    found = dlib.get_frontal_face_detector()

    def detect(image: np.ndarray) -> list[tuple[Box, float]]:
        # Doubled once: the detector's window is 80 pixels. dlib's rectangles name their last pixel, ours end after it.
        rectangles, scores, _ = found.run(image, 1)
        boxes = [(r.left(), r.top(), r.right() + 1.0, r.bottom() + 1.0) for r in rectangles]
        return list(zip(boxes, scores, strict=True))

    return detect


def _load_mtcnn() -> Detect:
    import torch
    from facenet_pytorch import MTCNN

    found = MTCNN(keep_all=True, post_process=False, min_face_size=MTCNN_SMALLEST, device="cpu")

    def detect(image: np.ndarray) -> list[tuple[Box, float]]:
        with torch.inference_mode():
            boxes, scores = found.detect(Image.fromarray(image))
        if boxes is None:
            return []
        return [
            ((float(x0), float(y0), float(x1), float(y1)), float(score))
            for (x0, y0, x1, y1), score in zip(boxes, scores, strict=True)
            if score >= MTCNN_THRESHOLD
        ]

    return detect


# The boxes of 500 of the 1,813 faces we train on, drawn with seed 0; no test photograph, and only their boxes.
_ORIGIN = "300W (AFW, HELEN, LFPW; our `train` split): `python perf/detectors.py --calibrate ROOT --limit 500`"

DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            name="dlib",
            summary="histograms of oriented gradients, five views; frontal to about 45 degrees of yaw; fast",
            licence="Boost Software License 1.0; weights compiled into the library",
            module="dlib",
            install="pip install 'synthforge[predict]'",
            convention="a square from the brows to the chin and from cheek to cheek",
            scores="distance from the decision boundary: 0 is undecided, 1 and more is certain",
            calibration=Calibration(0.077, 0.999, (0.082, 0.025), _ORIGIN),
            load=_load_dlib,
        ),
        Detector(
            name="mtcnn",
            summary="three cascaded networks (Zhang et al., 2016); all views, small and covered faces; slower",
            licence="MIT, weights inside the package",
            module="facenet_pytorch",
            # Its newest release pins a torch and a Pillow older than ours; what MTCNN uses of them still works.
            install="pip install --no-deps facenet-pytorch",
            convention="a rectangle from the hairline or forehead to the chin",
            scores=f"probability, {MTCNN_THRESHOLD} to 1",
            calibration=Calibration(0.152, 0.912, (0.041, 0.036), _ORIGIN),
            load=_load_mtcnn,
        ),
    )
}
