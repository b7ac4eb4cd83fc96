"""`import synthforge.compat.mediapipe as mp`: MediaPipe's FaceLandmarker, answered by our model, without mediapipe.

    options = mp.tasks.vision.FaceLandmarkerOptions(base_options=mp.tasks.BaseOptions(model_asset_path="face"))
    with mp.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mp.Image.create_from_file("photo.jpg"))

The 478 points are read off the head that fits the model's 68 landmarks. z, irises and the probability of being seen
(`visibility`) come from its task `mesh`; without that task z is the fitted head's, and irises look ahead. Points are in
units of the image's width and height, z in units of its width, smaller towards the camera, as MediaPipe gives them.
Blend shapes are those of the task `arkit`, within 0 and 1. Transformation matrices are an error.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.schemas import point_mapping
from ..prediction.faces import Face
from ..prediction.photographs import decode, read_bytes
from . import landmark_model

SCHEMA = "mediapipe478"
#: tasks
MESH, ACTIONS = "mesh", "arkit"
#: of both eyes: points of the iris, and of the lids around it
EYES = (
    (slice(468, 473), [33, 160, 158, 133, 153, 144]),
    (slice(473, 478), [362, 385, 387, 263, 373, 380]),
)


class ImageFormat(enum.IntEnum):
    """Pixel formats that are understood."""

    SRGB = 1


class Image:
    """`mediapipe.Image` of 8-bit sRGB pixels: data (H,W,3) uint8."""

    def __init__(self, image_format: ImageFormat = ImageFormat.SRGB, data: np.ndarray | None = None) -> None:
        pixels = np.asarray(data)
        if image_format != ImageFormat.SRGB or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise UserError(
                f"compat.mediapipe reads ImageFormat.SRGB, (H,W,3) uint8; got {pixels.dtype} {pixels.shape}"
            )
        self._pixels = pixels

    @classmethod
    def create_from_file(cls, file_name: str) -> Image:
        """The picture in a file, upright."""
        return cls(ImageFormat.SRGB, decode(read_bytes(Path(file_name)), Path(file_name)))

    def numpy_view(self) -> np.ndarray:
        """The pixels (H,W,3) uint8."""
        return self._pixels

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self._pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self._pixels.shape[0])


@dataclass
class NormalizedLandmark:
    """A point: x and y in units of width and height, z in units of width."""

    x: float
    y: float
    z: float
    visibility: float | None = None
    presence: float | None = None
    name: str | None = None


@dataclass
class Category:
    """A blend shape and its coefficient, `score`."""

    index: int
    score: float
    display_name: str
    category_name: str


@dataclass
class FaceLandmarkerResult:
    """`face_landmarks`: 478 points a face; `face_blendshapes`: 52 a face where asked for. The last is an empty list."""

    face_landmarks: list[list[NormalizedLandmark]]
    face_blendshapes: list[list[Category]] = field(default_factory=list)
    facial_transformation_matrixes: list[np.ndarray] = field(default_factory=list)


class RunningMode(enum.Enum):
    """How pictures come. Each is looked at by itself."""

    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    LIVE_STREAM = "LIVE_STREAM"


@dataclass
class BaseOptions:
    """model_asset_path: a model's folder or name. MediaPipe's own `.task` files are not read: `face` answers."""

    model_asset_path: str = "face"
    model_asset_buffer: bytes | None = None
    delegate: Any = None


@dataclass
class FaceLandmarkerOptions:
    """MediaPipe's options. Thresholds are accepted and have no effect: the detector decides."""

    base_options: BaseOptions = field(default_factory=BaseOptions)
    running_mode: RunningMode = RunningMode.IMAGE
    num_faces: int = 1
    min_face_detection_confidence: float = 0.5
    min_face_presence_confidence: float = 0.5
    min_tracking_confidence: float = 0.5
    output_face_blendshapes: bool = False
    output_facial_transformation_matrixes: bool = False
    result_callback: Callable[[FaceLandmarkerResult, Image, int], None] | None = None


class FaceLandmarker:
    """`mediapipe.tasks.vision.FaceLandmarker`."""

    def __init__(self, options: FaceLandmarkerOptions) -> None:
        """Load the model. Raises UserError for transformation matrices, and for blend shapes that it cannot answer."""
        if options.output_facial_transformation_matrixes:
            raise UserError("compat.mediapipe answers face_landmarks and face_blendshapes, no matrices")
        self._options = options
        more = (MESH, ACTIONS) if options.output_face_blendshapes else (MESH,)
        self._model = landmark_model(str(options.base_options.model_asset_path), ".task", *more)
        if options.output_face_blendshapes and ACTIONS not in self._model.tasks:
            raise UserError("the model answers no blend shapes: it lacks the task arkit")

    @classmethod
    def create_from_options(cls, options: FaceLandmarkerOptions) -> FaceLandmarker:
        """As MediaPipe's."""
        return cls(options)

    @classmethod
    def create_from_model_path(cls, model_path: str) -> FaceLandmarker:
        """As MediaPipe's."""
        return cls(FaceLandmarkerOptions(BaseOptions(model_path)))

    def detect(self, image: Image, image_processing_options: Any = None) -> FaceLandmarkerResult:
        """The largest faces of a picture, `num_faces` at most."""
        faces = sorted(self._model(image.numpy_view()), key=lambda face: face.box[0] - face.box[2])
        faces = faces[: self._options.num_faces]
        actions = [_blend_shapes(face) for face in faces if ACTIONS in face.values]
        return FaceLandmarkerResult([_points(face, image) for face in faces], actions)

    def detect_for_video(
        self, image: Image, timestamp_ms: int, image_processing_options: Any = None
    ) -> FaceLandmarkerResult:
        """As `detect`: frames are not smoothed."""
        return self.detect(image)

    def detect_async(self, image: Image, timestamp_ms: int, image_processing_options: Any = None) -> None:
        """`detect`, its result given to `result_callback` before this returns."""
        if self._options.result_callback is not None:
            self._options.result_callback(self.detect(image), image, timestamp_ms)

    def close(self) -> None:
        """Nothing is left open."""

    def __enter__(self) -> FaceLandmarker:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _points(face: Face, image: Image) -> list[NormalizedLandmark]:
    unit = np.array([image.width, image.height, image.width])
    (task,) = (name for name in face.values if face.tasks[name].kind == "points2d")
    places = point_mapping(face.schemas[task], SCHEMA).translate(np.asarray(face.points))
    shown: list[float | None] = [None] * len(places)
    if MESH in face.values:
        mesh = face.values[MESH]
        places, shown = joined(places, mesh), mesh[:, 10].tolist()
    rows = zip((places / unit).tolist(), shown, strict=True)
    return [NormalizedLandmark(x, y, z, visibility) for (x, y, z), visibility in rows]


def joined(fitted: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Points (478,3) in pixels: x and y of a fitted head (478,3); of the mesh (478,5+), as the task gives it, z at the
    scale of its x and y, and where irises lie in their eyes. On photographs the fitted points are the better ones
    (`studies/dense.py`)."""
    places = fitted.copy()
    places[:, 2] = depth_in_pixels(mesh)
    for iris, lids in EYES:
        places[iris, :2] = mesh[iris, :2] + (fitted[lids, :2] - mesh[lids, :2]).mean(0)
    return places


def depth_in_pixels(mesh: np.ndarray) -> np.ndarray:
    """z (...,478) of meshes (...,478,5+) as the task gives them: at the scale of x and y, from the middle."""
    flat, space = mesh[..., :2] - mesh[..., :2].mean(-2, keepdims=True), mesh[..., 2:5]
    scale = (flat * space[..., :2]).sum((-2, -1)) / (space[..., :2] ** 2).sum((-2, -1))
    return np.asarray(scale[..., None] * space[..., 2])


def _blend_shapes(face: Face) -> list[Category]:
    """By name, as MediaPipe orders them, after `_neutral`, which is never told apart; it has no `tongueOut`."""
    told = face.tasks[ACTIONS].record(face.values[ACTIONS], "", 0)[ACTIONS]["values"]
    named = {"_neutral": 0.0, **{name: told[name] for name in sorted(told) if name != "tongueOut"}}
    return [Category(i, min(max(value, 0.0), 1.0), "", name) for i, (name, value) in enumerate(named.items())]


vision = SimpleNamespace(
    FaceLandmarker=FaceLandmarker,
    FaceLandmarkerOptions=FaceLandmarkerOptions,
    FaceLandmarkerResult=FaceLandmarkerResult,
    RunningMode=RunningMode,
)
tasks = SimpleNamespace(BaseOptions=BaseOptions, vision=vision)
