"""A script as people write it for MediaPipe: how far the eyes are open. The test changes its first line."""

import json
import sys

import mediapipe as mp
import numpy as np

BaseOptions = mp.tasks.BaseOptions
FaceLandmarker = mp.tasks.vision.FaceLandmarker
FaceLandmarkerOptions = mp.tasks.vision.FaceLandmarkerOptions
VisionRunningMode = mp.tasks.vision.RunningMode

RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)

options = FaceLandmarkerOptions(
    base_options=BaseOptions(model_asset_path="face_landmarker.task"),
    running_mode=VisionRunningMode.IMAGE,
    num_faces=2,
)


def openness(landmarks, eye, width, height):
    p = np.array([(landmarks[i].x * width, landmarks[i].y * height) for i in eye])
    return (np.linalg.norm(p[1] - p[5]) + np.linalg.norm(p[2] - p[4])) / (2 * np.linalg.norm(p[0] - p[3]))


with FaceLandmarker.create_from_options(options) as landmarker:
    image = mp.Image.create_from_file(sys.argv[1])
    result = landmarker.detect(image)
    for landmarks in result.face_landmarks:
        ratio = [openness(landmarks, eye, image.width, image.height) for eye in (RIGHT_EYE, LEFT_EYE)]
        nose = landmarks[1]
        print(json.dumps({"open": ratio, "count": len(landmarks), "nose": [nose.x, nose.y, nose.z]}))
