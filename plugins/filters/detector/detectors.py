"""Landmark detectors of other people: a table of what each needs, and how it is asked.

A detector is built once in a process and gives, for a picture, one set of points for every face it finds. Which of our
68 landmarks a point stands for is data (`GROUPS`): several landmarks stand for their mean.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from synthforge.assets.registry import find_asset
from synthforge.core.errors import AssetError, PluginError

#: image (H,W,3) uint8 sRGB and a face box (x0, y0, x1, y1) in pixels, or None to look for faces -> one array (P,2) of
#: pixels, centres at i + 0.5, for each face
Detect = Callable[[np.ndarray, Sequence[float] | None], list[np.ndarray]]

_SINGLE = tuple((index,) for index in range(68))
#: landmarks of iBUG-68 that MTCNN's five points stand for: eyes (image left first), nose tip, mouth corners
_FIVE = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))


@dataclass(frozen=True)
class Detector:
    """module: what is imported; package: the distribution it comes in; install: how to get it; assets: weights that are
    always needed; face_assets: those for finding faces itself; groups: the landmarks each of its points stands for.
    """

    module: str
    package: str
    install: str
    load: Callable[[str, bool], Detect]
    assets: tuple[str, ...] = ()
    face_assets: tuple[str, ...] = ()
    groups: tuple[tuple[int, ...], ...] = _SINGLE

    def check(self, name: str) -> None:
        """Raises PluginError that says how to install it when it is not there; imports nothing of it."""
        if importlib.util.find_spec(self.module) is None:
            raise PluginError(
                f"the detector '{name}' needs the package {self.package}, which is not installed",
                hint=f"Install it: {self.install}. Or choose another `detector`, or the filter `visible`, which needs "
                "none.",
            )

    def version(self) -> str:
        """The installed version of its package."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "unknown"


def _load_fan(device: str, own_faces: bool) -> Detect:
    """FAN (Bulat and Tzimiropoulos, 2017) by the package face-alignment, whose S3FD finds the faces.

    The package would download weights that it does not find in torch's hub folder; it is pointed at the folder where
    the added ones lie under the very names it looks for, and refused when it looks for others.
    """
    import torch
    from face_alignment import FaceAlignment, LandmarksType, api

    weights = find_asset("fan")
    wanted = api.models_urls["2DFAN-4"].rpartition("/")[2]
    if wanted != weights.name:
        raise AssetError(
            f"this face-alignment reads {wanted}, not {weights.name}",
            hint="Install the version that this release was made for: pip install 'face-alignment==1.5.*'.",
        )
    options: dict[str, Any] = {"face_detector": "folder"}
    if own_faces:
        options = {"face_detector": "sfd", "face_detector_kwargs": {"path_to_detector": str(find_asset("fan-faces"))}}
    hub = torch.hub.get_dir()
    torch.hub.set_dir(str(weights.parents[1]))
    try:
        # compile=False: what a compiler makes of it would differ between machines and take minutes in every process
        network = FaceAlignment(LandmarksType.TWO_D, device=device, flip_input=False, compile=False, **options)
    finally:
        torch.hub.set_dir(hub)

    def detect(image: np.ndarray, box: Sequence[float] | None) -> list[np.ndarray]:
        boxes = [np.array(box)] if box is not None else network.face_detector.detect_from_image(image.copy())
        if not len(boxes):
            return []
        found = network.get_landmarks_from_image(image, detected_faces=boxes)
        return [np.asarray(points, np.float64)[:, :2] for points in found or ()]

    return detect


def _load_dlib(device: str, own_faces: bool) -> Detect:
    """dlib's 68-point regression trees (Kazemi and Sullivan, 2014) on its own faces or on given boxes."""
    import dlib

    faces = dlib.get_frontal_face_detector() if own_faces else None
    predictor = dlib.shape_predictor(str(find_asset("dlib-landmarks")))

    def detect(image: np.ndarray, box: Sequence[float] | None) -> list[np.ndarray]:
        picture = np.ascontiguousarray(image)
        if box is None:
            assert faces is not None
            rectangles = list(faces(picture, 1))
        else:
            rectangles = [dlib.rectangle(*(round(value) for value in box))]
        shapes = [predictor(picture, rectangle) for rectangle in rectangles]
        # dlib counts pixels, so its points are the corners of ours
        return [np.array([(p.x + 0.5, p.y + 0.5) for p in shape.parts()]) for shape in shapes]

    return detect


def _load_mtcnn(device: str, own_faces: bool) -> Detect:
    """Three cascaded networks (Zhang et al., 2016): faces and five points each; the weights are in the package."""
    import torch
    from facenet_pytorch import MTCNN
    from PIL import Image

    network = MTCNN(keep_all=True, post_process=False, device="cpu")

    def detect(image: np.ndarray, box: Sequence[float] | None) -> list[np.ndarray]:
        with torch.inference_mode():
            boxes, _, points = network.detect(Image.fromarray(image), landmarks=True)
        return [] if boxes is None else [np.asarray(face, np.float64) + 0.5 for face in points]

    return detect


DETECTORS: dict[str, Detector] = {
    "fan": Detector(
        "face_alignment",
        "face-alignment",
        "pip install 'synthforge[fan]'",
        _load_fan,
        assets=("fan",),
        face_assets=("fan-faces",),
    ),
    "dlib": Detector(
        "dlib",
        "dlib-bin",
        "pip install 'synthforge[predict]'",
        _load_dlib,
        assets=("dlib-landmarks",),
    ),
    # Its newest release pins an older torch and Pillow than ours; what is used of them here still works.
    "mtcnn": Detector(
        "facenet_pytorch",
        "facenet-pytorch",
        "pip install --no-deps facenet-pytorch",
        _load_mtcnn,
        groups=_FIVE,
    ),
}
