"""MediaPipe's landmarker as a detector that answers points: by a stand-in, and by itself where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from synthforge.assets import registry
from synthforge.core.errors import AssetError, PluginError
from synthforge.prediction.detectors import DETECTORS

TASK = "mediapipe-landmarker"


class StandIn:
    """Answers, for the red square of a picture, 478 points at its middle; nothing without one. Knows what it saw."""

    seen: list[tuple[int, ...]]

    def __init__(self, options: SimpleNamespace) -> None:
        self.options, StandIn.seen = options, []

    def detect(self, image: SimpleNamespace) -> SimpleNamespace:
        StandIn.seen.append(image.data.shape)
        rows, columns = np.nonzero(image.data[..., 0] > 200)
        height, width = image.data.shape[:2]
        if not len(rows):
            return SimpleNamespace(face_landmarks=[])
        middle = SimpleNamespace(x=(columns.mean() + 0.5) / width, y=(rows.mean() + 0.5) / height)
        return SimpleNamespace(face_landmarks=[[middle] * 478])

    def close(self) -> None:
        """As the real one."""


@pytest.fixture
def mediapipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stand-in as the package, and a file of the model's form."""
    vision = SimpleNamespace(
        FaceLandmarker=SimpleNamespace(create_from_options=StandIn), FaceLandmarkerOptions=SimpleNamespace
    )
    package: Any = SimpleNamespace(
        tasks=SimpleNamespace(vision=vision, BaseOptions=SimpleNamespace),
        Image=SimpleNamespace,
        ImageFormat=SimpleNamespace(SRGB=1),
        __spec__=SimpleNamespace(),
    )
    monkeypatch.setitem(sys.modules, "mediapipe", package)
    monkeypatch.delitem(sys.modules, "synthforge_plugins.detectors.landmarker", raising=False)
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    with ZipFile(tmp_path / "model.task", "w") as file:
        file.writestr("face_landmarks_detector.tflite", b"")
    registry.add_asset(TASK, tmp_path / "model.task")


@pytest.fixture
def picture() -> np.ndarray:
    """A red square with its middle at (150, 90)."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:100, 140:160, 0] = 255
    return image


@pytest.mark.usefixtures("mediapipe")
def test_points_lie_where_they_do_in_the_picture(picture: np.ndarray) -> None:
    find = DETECTORS["mediapipe"].build(faces=False, points=True)
    (face,) = find(picture, (130.0, 60.0, 180.0, 110.0))
    assert face.points is not None
    assert face.points.shape == (68, 2)
    np.testing.assert_allclose(face.points, np.tile([150.0, 90.0], (68, 1)), atol=0.01)
    assert StandIn.seen == [(90, 90, 3)], "1.8 boxes"
    (face,) = find(picture, None)
    np.testing.assert_allclose(face.points, np.tile([150.0, 90.0], (68, 1)), atol=0.01)
    large = picture.repeat(5, 0).repeat(5, 1)
    (face,) = find(large, (500.0, 250.0, 1000.0, 650.0))
    np.testing.assert_allclose(face.points, np.tile([750.0, 450.0], (68, 1)), atol=1.0)
    assert StandIn.seen[-1] == (640, 640, 3)


@pytest.mark.usefixtures("mediapipe")
def test_a_face_it_does_not_find_is_none(picture: np.ndarray) -> None:
    assert DETECTORS["mediapipe"].build(faces=False, points=True)(picture, (0.0, 0.0, 40.0, 40.0)) == []


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(PluginError, match="needs the package mediapipe") as caught:
        DETECTORS["mediapipe"].check()
    assert "pip install mediapipe, and the asset mediapipe-landmarker" in (caught.value.hint or "")
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    with pytest.raises(AssetError, match="mediapipe-landmarker is missing") as lacking:
        registry.find_asset(TASK)
    assert "face_landmarker.task" in (lacking.value.hint or "")
    with pytest.raises(AssetError, match=r"no.* model of MediaPipe"):
        registry.add_asset(TASK, Path(__file__))


@pytest.mark.slow
def test_the_real_one_sees_the_astronaut() -> None:
    pytest.importorskip("mediapipe")
    if registry.present(TASK) is None:
        pytest.skip(f"the asset {TASK} has not been added")
    import synthforge as sf

    photograph = Path(__file__).resolve().parents[2] / "configs/photographs/astronaut.jpg"
    image = np.asarray(Image.open(photograph).convert("RGB"))
    box = (183.0, 89.0, 259.0, 172.0)
    (ours,) = sf.load_model("face", tasks=["keypoints"]).faces([image], [box])
    (face,) = DETECTORS["mediapipe"].build(faces=False, points=True)(image, box)
    assert face.points is not None
    error = np.linalg.norm(face.points - ours.points, axis=1)[17:].mean()
    assert error < 0.08 * np.linalg.norm(ours.points[36] - ours.points[45])
