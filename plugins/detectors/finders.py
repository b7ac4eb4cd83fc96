"""How each detector is asked. The libraries are imported when one is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthforge.assets.registry import find_asset
from synthforge.core.errors import AssetError
from synthforge.core.frames import Box
from synthforge.core.schemas import translate_points
from synthforge.core.shipped import shipped_file
from synthforge.datasets.crops import tight_box
from synthforge.prediction.detectors import Detect, Found

# The smallest face mtcnn looks for, in pixels of what it is shown; dlib's, after its one doubling, is 40.
MTCNN_SMALLEST = 20
#: of the detector that ships; scores below are not worth a look
WEIGHTS, LEAST = "detector/model.safetensors", 0.05


#: The longer side of a picture as the network is shown it (chosen on AFW). A picture is never enlarged; beyond its edge
#: lies grey.
SIDES = (192, 128, 96)


def load_own(device: str, faces: bool, points: bool) -> Detect:
    """The detector that ships: one network on a picture at several sizes."""
    import torch
    from PIL import Image

    from .network import COARSEST, agreed, faces_of, load

    network = load(shipped_file(WEIGHTS)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def look(image: np.ndarray, zoom: float) -> list[tuple[float, Box]]:
        height, width = image.shape[:2]
        size = max(1, round(width * zoom)), max(1, round(height * zoom))
        small = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
        rows, columns = (-(-n // COARSEST) * COARSEST for n in small.shape[:2])
        shown = torch.full((1, 3, rows, columns), 0.5, device=device).contiguous(memory_format=torch.channels_last)
        shown[0, :, : size[1], : size[0]] = torch.from_numpy(small).to(device).permute(2, 0, 1) / 255
        with torch.inference_mode():
            scores, boxes = (each.cpu() for each in network.fast()(torch.cat([shown, shown.flip(3)])))
        # the mean with its answer to the mirrored picture, mirrored back
        scores = (scores[0] + scores[1].flip(1)) / 2
        mirrored = boxes[1].flip(1)[..., [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
        boxes = (boxes[0] + mirrored + torch.tensor([columns, 0, columns, 0])) / 2
        back = torch.tensor([width / size[0], height / size[1]]).repeat(2)
        return faces_of(scores, back * boxes, LEAST)

    def detect(image: np.ndarray, box: Box | None) -> list[Found]:
        zooms = {min(1.0, side / max(image.shape[:2])) for side in SIDES}
        return [Found(box, score) for score, box in agreed([look(image, zoom) for zoom in sorted(zooms)])]

    return detect


def load_dlib(device: str, faces: bool, points: bool) -> Detect:
    """dlib's faces, and its 68-point regression trees (Kazemi and Sullivan, 2014) on them or on a given box."""
    import dlib

    finder = dlib.get_frontal_face_detector() if faces else None
    predictor = dlib.shape_predictor(str(find_asset("dlib-landmarks"))) if points else None

    def detect(image: np.ndarray, box: Box | None) -> list[Found]:
        if box is None:
            assert finder is not None
            # Doubled once: the detector's window is 80 pixels.
            rectangles, scores, _ = finder.run(image, 1, 0.0)
        else:
            rectangles, scores = [dlib.rectangle(*(round(value) for value in box))], [None]
        found = []
        for r, score in zip(rectangles, scores, strict=True):
            marked = None
            if predictor is not None:  # dlib counts pixels, so its points are the corners of ours
                marked = np.array([(p.x + 0.5, p.y + 0.5) for p in predictor(image, r).parts()])
            # dlib's rectangles name their last pixel, ours end after it.
            found.append(Found((r.left(), r.top(), r.right() + 1.0, r.bottom() + 1.0), score, marked))
        return found

    return detect


def load_mtcnn(device: str, faces: bool, points: bool) -> Detect:
    """Three cascaded networks (Zhang et al., 2016): faces and five points each; the weights are in the package."""
    import torch
    from facenet_pytorch import MTCNN
    from PIL import Image

    network = MTCNN(keep_all=True, post_process=False, min_face_size=MTCNN_SMALLEST, device="cpu")

    def detect(image: np.ndarray, box: Box | None) -> list[Found]:
        with torch.inference_mode():
            boxes, scores, marked = network.detect(Image.fromarray(image), landmarks=True)
        if boxes is None:
            return []
        return [
            Found((float(x0), float(y0), float(x1), float(y1)), float(score), np.asarray(five, np.float64) + 0.5)
            for (x0, y0, x1, y1), score, five in zip(boxes, scores, marked, strict=True)
        ]

    return detect


def load_fan(device: str, faces: bool, points: bool) -> Detect:
    """FAN by the package face-alignment, whose S3FD finds the faces.

    The package downloads weights that it does not find in torch's hub folder. To avoid this, it gets the folder of the
    added files, which have the names that it looks for. A version that looks for other names is refused.
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
    if faces:
        options = {"face_detector": "sfd", "face_detector_kwargs": {"path_to_detector": str(find_asset("fan-faces"))}}
    hub = torch.hub.get_dir()
    torch.hub.set_dir(str(weights.parents[1]))
    try:
        # compile=False: what a compiler makes of it would differ between machines and take minutes in every process
        network = FaceAlignment(LandmarksType.TWO_D, device=device, flip_input=False, compile=False, **options)
    finally:
        torch.hub.set_dir(hub)

    def detect(image: np.ndarray, box: Box | None) -> list[Found]:
        boxes = [np.array(box)] if box is not None else network.face_detector.detect_from_image(image.copy())
        if not len(boxes):
            return []
        marked = network.get_landmarks_from_image(image, detected_faces=boxes) if points else [None] * len(boxes)
        return [
            Found(
                (float(one[0]), float(one[1]), float(one[2]), float(one[3])),
                float(one[4]) if len(one) > 4 else None,
                None if each is None else np.asarray(each, np.float64)[:, :2],
            )
            for one, each in zip(boxes, marked or (), strict=False)
        ]

    return detect


def load_mediapipe(device: str, faces: bool, points: bool) -> Detect:
    """MediaPipe's face landmarker. It finds the face itself, in 1.8 times a given box; its mesh becomes 68 points."""
    from PIL import Image

    from .landmarker import landmarker

    find = landmarker(find_asset("mediapipe-landmarker"))

    def detect(image: np.ndarray, box: Box | None) -> list[Found]:
        meshes = find(Image.fromarray(image), box)
        return [Found(tight_box(mesh), None, translate_points(mesh, "mediapipe478", "ibug68")) for mesh in meshes]

    return detect
