"""Face detectors that plugins register: where the faces of a photograph are, never a label.

Every detector has its own idea of a face box. Its calibration, data of the plugin, maps its box to the tight box of the
landmarks, which is what every crop of this project starts from (`datasets.crops.square_box`).
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ..core.boundary import call
from ..core.errors import PluginError, UserError
from ..core.frames import Box
from ..core.tables import Table

# Detection works on a copy whose longer side is at most this: larger photographs cost time and gain only tiny faces.
WORKING_SIDE = 1024


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector says of one face, in pixels of the picture it was shown.

    box: in its own convention, (x0, y0, x1, y1), pixel i covering [i, i + 1). score: larger is surer, in its own scale,
    None where it gives none. points: (P,2), centres at i + 0.5, None where it was not asked for them.
    """

    box: Box
    score: float | None = None
    points: np.ndarray | None = None


#: image (H,W,3) uint8 sRGB, C-contiguous, and a face box in its pixels, or None to look for faces
Detect = Callable[[np.ndarray, "Box | None"], "list[Found]"]


@dataclass(frozen=True)
class Calibration:
    """How a detector's box becomes the tight box of the landmarks, in units of the detector box's side.

    side: sqrt(width * height) of the detector's box. The landmarks' box is a square with side `scale` * side.
    Its centre is the box's, moved down by `down` * side; never sideways, since flips would reverse that. spread:
    median distance, over the faces it was measured on, between that square and the annotated one: of the centres, and
    of the sides, both in annotated sides.
    """

    down: float
    scale: float
    spread: tuple[float, float]
    origin: str


@dataclass(frozen=True)
class Detector:
    """One detector: what it is, what its boxes and points mean, how to get it and how to build it.

    module: what is imported; package: the distribution it comes in; install: the command that gets it. convention: what
    its box covers. load(device, faces, points): built once in a process, to look for faces, for points, or for both.
    calibration: None for one whose boxes cannot be used to crop. rank: of the calibrated ones
    that are installed the highest is the default. scores: what they mean, empty for none.
    least_score: faces scored lower are left out of photographs. groups: the landmarks that each of its points
    stands for (their mean); takes_boxes: whether it finds points in a given box. point_assets, face_assets: licensed
    files it reads for points, and for finding faces.
    """

    name: str
    summary: str
    licence: str
    module: str
    install: str
    convention: str
    load: Callable[[str, bool, bool], Detect]
    package: str = ""
    calibration: Calibration | None = None
    rank: int = 0
    scores: str = ""
    least_score: float | None = None
    groups: tuple[tuple[int, ...], ...] = ()
    takes_boxes: bool = True
    point_assets: tuple[str, ...] = ()
    face_assets: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises PluginError that says how to install its package when it is not there; imports nothing of it."""
        if importlib.util.find_spec(self.module) is None:
            raise self._missing("is not installed")

    def build(self, device: str = "cpu", *, faces: bool = True, points: bool = False) -> Detect:
        """It, with its weights. Raises PluginError without its package, AssetError without a licensed file."""
        try:
            return call(f"building the face detector '{self.name}'", self.load, device, faces, points)
        except ImportError as error:
            raise self._missing(f"cannot be imported: {error}") from error

    def version(self) -> str:
        """The installed version of its package."""
        try:
            return version(self.package or self.module)
        except PackageNotFoundError:
            return "unknown"

    def _missing(self, how: str) -> PluginError:
        return PluginError(
            f"the face detector '{self.name}' needs the package {self.package or self.module}, which {how}",
            hint=f"Install it ({self.install}), or choose another: `synthforge plugins --kind detectors`.",
        )


DETECTORS = Table("detectors", "face detector", Detector)


def find_detector(name: str = "") -> Detector:
    """A detector by name; without one, the calibrated one that ranks highest of those whose packages are there.

    Raises PluginError with the nearest name.
    """
    if name:
        return DETECTORS[name]
    calibrated = [each for each in DETECTORS.values() if each.calibration is not None]
    if not calibrated:
        raise PluginError("no plugin registers a face detector with a calibration", hint="Give the boxes yourself.")
    return max(calibrated, key=lambda each: (is_installed(each.name), each.rank, each.name))


def check_scores(detector: str) -> None:
    """Raise UserError where a detector gives no scores, so that no face can be left out by its score."""
    chosen = find_detector(detector)
    if not chosen.scores:
        raise UserError(f"the face detector '{chosen.name}' gives no scores, so none can be asked for")


def find_faces(image: np.ndarray, detector: str = "", min_score: float | None = None) -> list[Found]:
    """The faces in a photograph (H,W,3) uint8 sRGB, in its pixels and in the detector's own convention, largest first.

    min_score: faces that the detector scores lower are left out. Raises PluginError for an unknown detector or one
    whose package is missing, AssetError without its weights, UserError as `check_scores` does.
    """
    from PIL import Image

    chosen = find_detector(detector)
    if min_score is not None:
        check_scores(detector)
    least = max((each for each in (chosen.least_score, min_score) if each is not None), default=None)
    find = _loaded(chosen)
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    small = image
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    sx, sy = width / small.shape[1], height / small.shape[0]
    with _lock:  # the libraries do not promise that one detector may run in two threads
        found = call(f"the face detector '{chosen.name}'", find, np.ascontiguousarray(small), None)
    scaled = []
    for face in found:
        x0, y0, x1, y1 = face.box
        sure = least is None or face.score is None or face.score >= least
        if x1 > x0 and y1 > y0 and sure:
            points = None if face.points is None else face.points * [sx, sy]
            scaled.append(Found((x0 * sx, y0 * sy, x1 * sx, y1 * sy), face.score, points))
    return sorted(scaled, key=lambda face: (face.box[0] - face.box[2]) * (face.box[3] - face.box[1]))


def detect_faces(image: np.ndarray, detector: str = "") -> list[Box]:
    """The boxes of `find_faces`."""
    return [face.box for face in find_faces(image, detector)]


def calibration(detector: str = "") -> Calibration:
    """What the boxes of a detector mean. Raises PluginError for one whose boxes are not calibrated."""
    chosen = find_detector(detector)
    if chosen.calibration is None:
        raise PluginError(
            f"the boxes of the face detector '{chosen.name}' are not calibrated, so faces cannot be cropped by them",
            hint=f"With a calibration: {', '.join(each.name for each in DETECTORS.values() if each.calibration)}.",
        )
    return chosen.calibration


def to_crop_box(box: Box, detector: str = "") -> Box:
    """A detector's box as the square that stands for the tight box of the landmarks, by the detector's calibration."""
    c = calibration(detector)
    x0, y0, x1, y1 = box
    side = ((x1 - x0) * (y1 - y0)) ** 0.5
    cx, cy, half = (x0 + x1) / 2, (y0 + y1) / 2 + c.down * side, c.scale * side / 2
    return cx - half, cy - half, cx + half, cy + half


def from_crop_box(box: Box, detector: str = "") -> Box:
    """The tight box of the landmarks as the box that a detector would give on average, the inverse of `to_crop_box`.

    The box itself for a detector whose boxes are not calibrated.
    """
    c = find_detector(detector).calibration
    if c is None:
        return box
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0) / c.scale
    cx, cy, half = (x0 + x1) / 2, (y0 + y1) / 2 - c.down * side, side / 2
    return cx - half, cy - half, cx + half, cy + half


def is_installed(name: str) -> bool:
    """Whether a detector's package is there; nothing of it is imported."""
    return importlib.util.find_spec(DETECTORS[name].module) is not None


_lock = threading.Lock()


@functools.cache
def _loaded(detector: Detector) -> Detect:
    return detector.build()
