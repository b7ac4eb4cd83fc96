from __future__ import annotations

import sys

import numpy as np
import pytest

from synthforge.core.errors import PluginError, UserError
from synthforge.prediction import detectors
from synthforge.prediction.detectors import (
    DETECTORS,
    Detect,
    Detector,
    Found,
    calibration,
    detect_faces,
    find_detector,
    find_faces,
    is_installed,
    to_crop_box,
)


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A detector that gives the bright rectangles' common box and remembers the sizes it saw, in place of dlib's."""
    seen: list[tuple[int, ...]] = []

    def find(image: np.ndarray, box: object) -> list[Found]:
        assert box is None
        seen.append(image.shape)
        y, x = np.nonzero(image[..., 0] > 128)
        whole = (x.min(), y.min(), x.max() + 1.0, y.max() + 1.0)
        return [
            Found(whole, 0.5, np.array([[4.0, 8.0]])),
            Found((3.0, 3.0, 3.0, 9.0)),
            Found((0.0, 0.0, 2.0, 2.0), -1.0),
        ]

    def loaded(detector: Detector) -> Detect:
        assert detector.name == "dlib"
        return find

    monkeypatch.setattr(detectors, "_loaded", loaded)
    return seen


def test_boxes_come_back_in_the_photographs_pixels_largest_first(blobs: list[tuple[int, ...]]) -> None:
    image = np.zeros((1536, 2048, 3), np.uint8)
    image[400:900, 600:1200] = 255
    first, second = detect_faces(image, "dlib")  # the empty box is dropped
    assert blobs == [(768, 1024, 3)]
    assert first == pytest.approx((600, 400, 1200, 900), abs=2)
    assert second == (0, 0, 4, 4)
    scored = find_faces(image, "dlib")
    assert [face.score for face in scored] == [0.5, -1.0]
    assert scored[0].points is not None
    assert scored[0].points.tolist() == [[8.0, 16.0]]
    assert [face.score for face in find_faces(image, "dlib", min_score=0.0)] == [0.5]
    small = image[::4, ::4]
    assert detect_faces(small, "dlib")[0] == (150, 100, 300, 225)
    assert blobs[-1] == small.shape  # never enlarged here


CALIBRATED = [name for name, detector in DETECTORS.items() if detector.calibration]


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_boxes_are_squares_that_scale_with_the_face(name: str) -> None:
    box = (10.0, 20.0, 110.0, 145.0)
    x0, y0, x1, y1 = to_crop_box(box, name)
    c = calibration(name)
    side = (100 * 125) ** 0.5
    assert x1 - x0 == pytest.approx(y1 - y0) == pytest.approx(c.scale * side)
    assert (x0 + x1) / 2 == pytest.approx(60)
    assert (y0 + y1) / 2 == pytest.approx(82.5 + c.down * side)
    assert to_crop_box(tuple(3 * v for v in box), name) == pytest.approx(tuple(3 * v for v in (x0, y0, x1, y1)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CALIBRATED)
def test_nothing_is_found_in_nothing(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"{DETECTORS[name].module} is not installed")
    assert detect_faces(np.full((120, 160, 3), 90, np.uint8), name) == []


def test_the_default_is_the_highest_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"synthforge", "dlib", "mtcnn"}
    monkeypatch.setattr(detectors, "is_installed", lambda name: name in there)
    for gone, left in (("mtcnn", "dlib"), ("dlib", "synthforge")):
        assert find_detector().name == gone
        there.remove(gone)
        assert find_detector().name == left


def test_an_unknown_detector_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no face detector 'dlibb'") as caught:
        detect_faces(np.zeros((8, 8, 3), np.uint8), "dlibb")
    assert "Did you mean 'dlib'?" in str(caught.value)


def test_boxes_without_a_calibration_crop_nothing() -> None:
    with pytest.raises(PluginError, match="boxes of the face detector 'fan' are not calibrated"):
        to_crop_box((0.0, 0.0, 1.0, 1.0), "fan")


def test_faces_under_the_detectors_own_threshold_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    box = (0.0, 0.0, 4.0, 4.0)
    monkeypatch.setattr(
        detectors, "_loaded", lambda detector: lambda image, given: [Found(box, 0.95), Found(box, 0.85)]
    )
    assert find_detector("mtcnn").least_score == 0.9
    assert [face.score for face in find_faces(np.zeros((8, 8, 3), np.uint8), "mtcnn")] == [0.95]


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    detectors._loaded.cache_clear()
    with pytest.raises(UserError, match="needs the package facenet-pytorch") as caught:
        detect_faces(np.zeros((8, 8, 3), np.uint8), "mtcnn")
    assert "pip install --no-deps facenet-pytorch" in str(caught.value)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "most_missed"), [("dlib", 3), ("mtcnn", 1)])
def test_calibrated_boxes_lie_on_annotated_faces(data_dir: object, name: str, most_missed: int) -> None:
    """On forty training photographs of 300W; centres within a fifth, sides within a quarter of the annotated box."""
    from synthforge.core.plugins import load_plugins

    if not is_installed(name):
        pytest.skip(f"{DETECTORS[name].module} is not installed")
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": f"{data_dir}/300w"}, where="test")
    missed, errors = 0, []
    for item in benchmark.items("train")[::45]:
        sample = benchmark.load(item)
        x0, y0, x1, y1 = sample.box
        side = max(x1 - x0, y1 - y0)
        found = [to_crop_box(box, name) for box in detect_faces(sample.image, name)]
        away = [np.hypot(a + c - x0 - x1, b + d - y0 - y1) / 2 / side for a, b, c, d in found]
        if not away or min(away) > 0.5:
            missed += 1
            continue
        a, _, c, _ = found[int(np.argmin(away))]
        errors.append((min(away), abs((c - a) / side - 1)))
    assert missed <= most_missed
    centre, size = np.median(errors, axis=0)
    assert centre < 0.2
    assert size < 0.25
