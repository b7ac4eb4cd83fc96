"""MediaPipe's face landmarker on a picture or on the surroundings of a box.

It needs numpy, Pillow and mediapipe alone: `studies/peers.py` runs it in an environment without SynthForge.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import mediapipe as mp
import numpy as np
from PIL import Image

#: side of the crop in sides of the box, and its most pixels: the landmarker looks for the face in it by itself
ROOM, LARGEST = 1.8, 640
MOST_FACES = 16


def landmarker(task: Path) -> Callable[[Image.Image, Sequence[float] | None], list[np.ndarray]]:
    """Meshes (478,2) in pixels of a picture, of the one face around a box or of all faces; its thresholds are low.

    task: the model, such as `face_landmarker_v2.task`.
    """
    vision = mp.tasks.vision

    @cache
    def load(faces: int) -> mp.tasks.vision.FaceLandmarker:
        made = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=mp.tasks.BaseOptions(model_asset_path=str(task)),
                num_faces=faces,
                min_face_detection_confidence=0.1,
                min_face_presence_confidence=0.05,
            )
        )
        # Closed by a thread, which must still run: `atexit` is too late, and its own __del__ then prints a traceback.
        getattr(threading, "_register_atexit", atexit.register)(made.close)
        return made

    def find(image: Image.Image, box: Sequence[float] | None) -> list[np.ndarray]:
        corners, shown = [0, 0, *image.size], image
        if box is not None:
            centre, side = (np.array(box[:2]) + box[2:]) / 2, max(box[2] - box[0], box[3] - box[1]) * ROOM
            corners = [int(value) for value in (*(centre - side / 2), *(centre + side / 2))]
            shown = image.crop((corners[0], corners[1], corners[2], corners[3]))
            if shown.width > LARGEST:
                shown = shown.resize((LARGEST, LARGEST))
        pixels = np.ascontiguousarray(shown)
        found = load(MOST_FACES if box is None else 1).detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels))
        size = np.subtract(corners[2:], corners[:2])
        return [np.array([[p.x, p.y] for p in face]) * size + corners[:2] for face in found.face_landmarks]

    return find
