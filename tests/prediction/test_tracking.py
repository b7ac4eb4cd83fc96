"""Faces of a video keep their numbers, and filtered points are calmer without being late."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import synthforge as sf
from synthforge.core.errors import DataError, UserError
from synthforge.prediction import tracking
from synthforge.prediction.detectors import Found
from synthforge.prediction.predictor import Predictor
from synthforge.prediction.tracking import OneEuro, Tracker
from synthforge.prediction.videos import open_video, track_video

FRAMES, STEP = 6, 4  # pixels that the picture moves from frame to frame
BOX = (60.0, 60.0, 130.0, 130.0)
SCORE = 0.5


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """A rendered face that moves to the right."""
    face = sf.sample("anny", seed=11, index=3, resolution=192).image
    return [np.roll(face, STEP * i, axis=1) for i in range(FRAMES)]


@pytest.fixture(scope="module")
def landmarks() -> Predictor:
    return sf.load_model("face", tasks=["keypoints"], passes=1, flip=False)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[float, float, float, float]]]:
    """Boxes that the detector finds at its looks, one list a look; the last is repeated."""
    looks = [[BOX]]
    seen: list[int] = []

    def find(image: np.ndarray, name: str, min_score: float | None) -> list[Found]:
        seen.append(0)
        found = [Found(box, SCORE) for box in looks[min(len(seen), len(looks)) - 1]]
        return [each for each in found if min_score is None or min_score <= SCORE]

    monkeypatch.setattr(tracking, "find_faces", find)
    monkeypatch.setattr(tracking, "to_crop_box", lambda box, name: box)
    return looks


def test_a_face_is_followed(frames: list[np.ndarray], landmarks: Predictor, detector: object) -> None:
    tracker = Tracker(landmarks, smooth=False)
    found = [tracker(frame, i / 25) for i, frame in enumerate(frames)]
    assert [[each.id for each in one] for one in found] == [[0]] * FRAMES
    centres = np.array([np.asarray(one[0].face.points).mean(0) for one in found])
    assert np.abs(np.diff(centres, axis=0) - [STEP, 0]).max() < 1.0


def test_a_face_that_is_gone_is_dropped_and_a_new_one_gets_a_new_number(
    frames: list[np.ndarray], landmarks: Predictor, detector: list[list[tuple[float, float, float, float]]]
) -> None:
    detector[:] = [[BOX], [], [], [BOX]]
    tracker = Tracker(landmarks, detect_every=1)
    still = frames[0]
    assert [[each.id for each in tracker(still, i / 25)] for i in range(4)] == [[0], [0], [], [1]]


def test_a_face_below_the_least_score_is_not_followed(frames: list[np.ndarray], detector: object) -> None:
    for least, count in ((SCORE - 0.1, 1), (SCORE + 0.1, 0)):
        predictor = sf.load_model("face", tasks=["keypoints"], passes=1, flip=False, min_score=least)
        assert len(Tracker(predictor)(frames[0], 0.0)) == count


def test_a_still_noisy_video_is_calm_and_a_step_arrives_at_once() -> None:
    rng, size = np.random.default_rng(0), 100.0
    rest = rng.uniform(0, size, (68, 2))
    noisy = rest + rng.normal(0, 0.1, (100, 68, 2))
    filtered = OneEuro()
    calm = np.stack([filtered(points, 1 / 25, size) for points in noisy])
    assert calm[20:].std(0).mean() < 0.5 * noisy[20:].std(0).mean()
    moving = [rest + np.array([4.0 * i, 0]) for i in range(20)]
    late = [(moving[i] - filtered(moving[i], 1 / 25, size))[:, 0].mean() for i in range(20)]
    assert late[-1] < 4.0, "less than a frame behind at 4 % of the face a frame"


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.1, 50), count=st.integers(2, 8))
def test_the_filter_does_not_care_for_the_size_of_the_picture(scale: float, count: int) -> None:
    points = np.random.default_rng(count).uniform(0, 100, (count, 5, 2)) * 0.1 + 50
    one, other = OneEuro(), OneEuro()
    for each in points:
        np.testing.assert_allclose(scale * one(each, 0.04, 100.0), other(scale * each, 0.04, 100.0 * scale), rtol=1e-9)


def test_a_folder_of_pictures_becomes_records(
    frames: list[np.ndarray], landmarks: Predictor, detector: object, tmp_path: Path
) -> None:
    (tmp_path / "clip").mkdir()
    for i, frame in enumerate(frames[:3]):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{i:03d}.png")
    done = track_video(Tracker(landmarks), tmp_path / "clip", tmp_path / "out", schema="wflw98", preview=False)
    assert (done.frames, done.faces, [file.name for file in done.files]) == (3, 1, ["clip.jsonl"])
    lines = [json.loads(line) for line in (tmp_path / "out" / "clip.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert lines[1]["time"] == pytest.approx(0.04)
    assert lines[2]["faces"][0]["landmarks"]["schema"] == "wflw98"
    assert len(lines[2]["faces"][0]["landmarks"]["points"]) == 98
    with pytest.raises(UserError, match="is there already"):
        track_video(Tracker(landmarks), tmp_path / "clip", tmp_path / "out", preview=False)


def test_a_video_file_and_its_preview(
    frames: list[np.ndarray], landmarks: Predictor, detector: object, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("h264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 192, 192, "yuv420p"
        for frame in frames[:4]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    done = track_video(Tracker(landmarks), tmp_path / "a.mp4", tmp_path / "out")
    assert (done.frames, done.faces) == (4, 1)
    made = open_video(tmp_path / "out" / "a.mp4.mp4")
    pictures = [picture for _, picture in made.frames]
    assert (len(pictures), pictures[0].shape, made.rate) == (4, (192, 192, 3), 10)
    difference = np.abs(pictures[0].astype(int) - frames[0]).max(-1)
    assert (difference > 80).any(), "points are drawn"


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(DataError, match=r"a\.mp4 is no video"):
        open_video(tmp_path / "a.mp4")


def test_a_predictor_of_translated_points_is_refused(landmarks: Predictor) -> None:
    with pytest.raises(UserError, match="own points"):
        Tracker(Predictor(landmarks.model, tasks=["keypoints"], schemas={"keypoints": "wflw98"}))
