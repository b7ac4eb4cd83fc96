"""`import synthforge.compat.mediapipe as mp`: MediaPipe's FaceLandmarker, answered by our model, without mediapipe.

    options = mp.tasks.vision.FaceLandmarkerOptions(base_options=mp.tasks.BaseOptions(model_asset_path="face"))
    with mp.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mp.Image.create_from_file("photo.jpg"))

The 478 points are read off the head that fits the 68 points found, z included. Irises therefore look ahead. Points are
in units of the image's width and height, z in units of its width, smaller towards the camera, as MediaPipe gives them.
Blend shapes are not answered: asking for them is an error.
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
class FaceLandmarkerResult:
    """`face_landmarks`: 478 points a face. The other two are empty lists."""

    face_landmarks: list[list[NormalizedLandmark]]
    face_blendshapes: list[Any] = field(default_factory=list)
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
        """Load the model. Raises UserError for blend shapes and transformation matrices, which it has no answer for."""
        if options.output_face_blendshapes or options.output_facial_transformation_matrixes:
            raise UserError("compat.mediapipe answers face_landmarks alone, no blend shapes and no matrices")
        self._options = options
        self._model = landmark_model(str(options.base_options.model_asset_path), ".task")
        (own,) = (self._model.schemas[task] for task in self._model.tasks)
        self._translate = point_mapping(own, SCHEMA).translate

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
        return FaceLandmarkerResult([self._points(face, image) for face in faces[: self._options.num_faces]])

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

    def _points(self, face: Face, image: Image) -> list[NormalizedLandmark]:
        unit = np.array([image.width, image.height, image.width])
        places = (self._translate(np.asarray(face.points)) / unit).tolist()
        return [NormalizedLandmark(x, y, z) for x, y, z in places]


vision = SimpleNamespace(
    FaceLandmarker=FaceLandmarker,
    FaceLandmarkerOptions=FaceLandmarkerOptions,
    FaceLandmarkerResult=FaceLandmarkerResult,
    RunningMode=RunningMode,
)
tasks = SimpleNamespace(BaseOptions=BaseOptions, vision=vision)
