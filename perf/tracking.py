"""How calm and how late the points of `synthforge track` are, beside MediaPipe's in VIDEO mode.

    python perf/tracking.py
    python perf/tracking.py --task face_landmarker_v2.task      # in an environment with mediapipe, too

Two videos of a rendered face of 384 pixels, 25 frames a second, noise of 10 grey levels. One is still; in the other
the face moves by 3 pixels a frame from the tenth on. Jitter: the standard deviation over time of a coordinate, in % of
the distance of the outer eye corners, mean of brows, nose, eyes and mouth. Lag: in frames, while the face moves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
STILL, STEP = 10, 3
#: MediaPipe's vertices at iBUG's points 17 to 67
INNER = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 6, 195, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 81, 13, 311, 308, 402, 14, 178),
)


def videos() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The still one and the moving one."""
    import synthforge as sf

    picture = sf.sample("anny", seed=11, index=0, resolution=384).image.astype(float)
    rng = np.random.default_rng(0)

    def noisy(shift: int) -> np.ndarray:
        moved = np.roll(picture, shift, axis=1)
        return np.clip(moved + rng.normal(0, 10, moved.shape), 0, 255).astype(np.uint8)

    return [noisy(0) for _ in range(40)], [noisy(STEP * max(0, i - STILL)) for i in range(30)]


def ours(frames: list[np.ndarray], smooth: bool) -> np.ndarray:
    """Points (T,51,2)."""
    import synthforge as sf
    from synthforge.prediction.tracking import Tracker

    tracker = Tracker(sf.load_model("face", tasks=["keypoints"], passes=1), smooth=smooth)
    return np.stack([tracker(frame, i / 25)[0].face.points[17:] for i, frame in enumerate(frames)])


def mediapipes(frames: list[np.ndarray], task: str) -> np.ndarray:
    """Points (T,51,2)."""
    import mediapipe as mp

    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=task), running_mode=vision.RunningMode.VIDEO
    )
    with vision.FaceLandmarker.create_from_options(options) as finder:
        found = [
            finder.detect_for_video(mp.Image(mp.ImageFormat.SRGB, frame), 40 * i).face_landmarks[0]
            for i, frame in enumerate(frames)
        ]
    return np.array([[(face[i].x, face[i].y) for i in INNER] for face in found]) * frames[0].shape[0]


def main() -> None:
    """Print jitter and lag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="", help="MediaPipe's model file")
    asked = parser.parse_args()
    still, moving = videos()
    rows = {"ours": lambda frames: ours(frames, True), "ours, not filtered": lambda frames: ours(frames, False)}
    if asked.task:
        rows["MediaPipe"] = lambda frames: mediapipes(frames, asked.task)
    for name, points in rows.items():
        rest, motion = points(still), points(moving)
        scale = np.linalg.norm(rest[0, 19] - rest[0, 28])  # the outer eye corners
        jitter = 100 * rest[10:].std(0).mean() / scale
        place = motion.mean(1)[:, 0]
        late = [place[5:10].mean() + STEP * (i - STILL) - place[i] for i in range(15, 30)]
        print(f"{name:20} jitter {jitter:.3f} %   lag {np.mean(late) / STEP:+.2f} frames", flush=True)


if __name__ == "__main__":
    main()
