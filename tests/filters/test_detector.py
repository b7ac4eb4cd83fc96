"""The filter `detector`: distances by hand, real detectors where they are installed, clear words where they are not."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.filters.detector.filter import DetectorFilter, grouped
from synthforge_plugins.filters.detector.settings import DetectorConfig

from synthforge.assets import registry
from synthforge.core.config import build_config
from synthforge.core.errors import AnnotationError, AssetError, ConfigError, PluginError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering, Scene, Verdict
from synthforge.geometry.cameras import orbit_camera
from synthforge.prediction.detectors import DETECTORS, Found
from synthforge.testing import check_filter

POINTS = np.random.default_rng(1).uniform(40, 90, (68, 2)).astype(np.float32)


def rendering(size: int = 128) -> Rendering:
    image = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    return Rendering(Scene(0, 0, {}), orbit_camera(0.0, 0.0, 1.0, 20.0, size, size), image)


def seeing(*faces: np.ndarray, **config: object) -> DetectorFilter:
    """The filter with a detector that sees the given faces whatever it is shown."""
    made = DetectorFilter.__new__(DetectorFilter)
    made.config = DetectorConfig(**config)
    made.detector = DETECTORS[made.config.detector]
    made.__dict__["detect"] = lambda image, box: [Found((0.0, 0.0, 1.0, 1.0), None, face) for face in faces]
    return made


def judged(judge: DetectorFilter, size: int = 128, points: np.ndarray = POINTS) -> Verdict:
    return check_filter(judge, rendering(size), {"landmarks2d": points})


def test_the_threshold_is_in_pixels_of_a_512_image() -> None:
    # 2.7 pixels at 128 are 10.8 at 512, 2.8 are 11.2
    assert judged(seeing(POINTS + np.array([2.7, 0]))).accepted
    over = judged(seeing(POINTS + np.array([0, 2.8])))
    assert over.reason == "the detector's landmarks are too far away"
    assert over.figures["distance_px_at_512"] == pytest.approx(11.2, abs=1e-3)
    assert judged(seeing(POINTS * 4 + np.array([10.8, 0])), 512, POINTS * 4).accepted
    assert not judged(seeing(POINTS + np.array([2.7, 0]), max_distance=10)).accepted


def test_of_several_faces_the_nearest_counts_and_none_rejects() -> None:
    verdict = judged(seeing(POINTS + 50, POINTS + np.array([1.0, 0])))
    assert verdict.accepted
    assert verdict.figures == {"faces": 2.0, "distance_px_at_512": pytest.approx(4.0, abs=1e-3)}
    assert judged(seeing()).reason == "the detector finds no face"


def test_landmarks_behind_the_camera_are_left_out() -> None:
    half = np.where(np.arange(68)[:, None] < 30, np.nan, POINTS)
    assert judged(seeing(POINTS + np.array([1.0, 0])), points=half).figures["distance_px_at_512"] == pytest.approx(4)
    nowhere = judged(seeing(POINTS), points=np.full((68, 2), np.nan, np.float32))
    assert nowhere.reason == "the landmarks are behind the camera"
    with pytest.raises(AnnotationError, match="compares 68 landmarks"):
        seeing(POINTS).judge(rendering(), {"landmarks2d": POINTS[:5]})


def test_five_points_stand_for_groups_of_landmarks() -> None:
    groups = DETECTORS["mtcnn"].groups
    five = grouped(POINTS.astype(np.float64), groups)
    assert five.shape == (5, 2)
    np.testing.assert_allclose(five[0], POINTS[36:42].mean(0), rtol=1e-6)
    assert judged(seeing(five, detector="mtcnn")).figures["distance_px_at_512"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    "config", [{"detector": "fam"}, {"max_distance": 0}, {"faces": "all"}, {"detector": "mtcnn", "faces": "labels"}]
)
def test_impossible_settings_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"filters\.x.*: "):
        build_config(DetectorConfig, config, where="filters.x")


@pytest.mark.parametrize("name", sorted(name for name, each in DETECTORS.items() if each.groups))
def test_a_missing_package_is_named_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(PluginError, match=f"the face detector '{name}' needs the package") as caught:
        load_plugins().build("filter", {"name": "detector", "detector": name})
    assert DETECTORS[name].install in (caught.value.hint or "")


def test_weights_are_declared_by_detector_and_by_who_finds_the_faces() -> None:
    def needed(**config: str) -> list[str]:
        return [need.asset for need in load_plugins().files("filter", {"name": "detector", **config})]

    assert needed(detector="fan") == ["fan", "fan-faces"]
    assert needed(detector="fan", faces="labels") == ["fan"]
    assert needed(detector="dlib") == ["dlib-landmarks"]
    assert needed(detector="mtcnn") == []


@pytest.fixture(scope="module")
def faces() -> list[tuple[Rendering, np.ndarray]]:
    """Faces of `anny` from the front, and their landmarks."""
    plugins = load_plugins()
    straight = {"kind": "constant", "mean": 0.1}
    generator = plugins.build("generator", {"name": "anny", "camera": {"azimuth": straight, "elevation": straight}})
    annotator = plugins.build("annotator", "landmarks")
    made = generator.render([generator.sample(0, index) for index in range(4)], 256)
    return [(item, annotator.annotate(item)["landmarks2d"]) for item in made]


@pytest.fixture
def face(faces: list[tuple[Rendering, np.ndarray]]) -> tuple[Rendering, np.ndarray]:
    """The first of them."""
    return faces[0]


def test_mtcnn_sees_rendered_faces_and_not_noise(faces: list[tuple[Rendering, np.ndarray]]) -> None:
    pytest.importorskip("facenet_pytorch")
    judge = load_plugins().build("filter", {"name": "detector", "detector": "mtcnn"})
    verdicts = [check_filter(judge, made, {"landmarks2d": points}) for made, points in faces]
    distances = [verdict.figures.get("distance_px_at_512", np.inf) for verdict in verdicts]
    best = int(np.argmin(distances))
    assert sum(verdict.accepted for verdict in verdicts) >= 2, verdicts
    made, points = faces[best]
    verdict = verdicts[best]
    assert verdict.figures["distance_px_at_512"] > 0.5, "an independent detector does not agree to the pixel"
    moved = check_filter(judge, made, {"landmarks2d": points + 12})
    assert moved.reason == "the detector's landmarks are too far away"
    mirrored = check_filter(judge, made, {"landmarks2d": points * [-1, 1] + [256, 0]})
    assert mirrored.figures["distance_px_at_512"] > 30, "left and right are told apart"
    assert judged(judge).reason == "the detector finds no face"


def test_dlib_reads_a_shape_predictor_that_was_added(
    face: tuple[Rendering, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dlib = pytest.importorskip("dlib")
    made, points = face
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    judge = load_plugins().build("filter", {"name": "detector", "detector": "dlib", "faces": "labels"})
    with pytest.raises(AssetError, match="dlib-landmarks is missing"):
        judge.judge(made, {"landmarks2d": points})
    registry.add_asset("dlib-landmarks", _tiny_predictor(dlib, made.image, points, tmp_path / "tiny.dat"))
    verdict = check_filter(judge, made, {"landmarks2d": points})
    assert verdict.accepted, verdict  # it was trained on this very face
    with pytest.raises(AssetError, match="not a shape predictor"):
        registry.add_asset("dlib-landmarks", Path(__file__))


def _tiny_predictor(dlib: object, image: np.ndarray, points: np.ndarray, path: Path) -> Path:
    """A predictor trained on one picture: of the official format, good for nothing else."""
    box = dlib.rectangle(*(round(float(v)) for v in (*points.min(0), *points.max(0))))  # type: ignore[attr-defined]
    parts = [dlib.point(int(x), int(y)) for x, y in points]  # type: ignore[attr-defined]
    options = dlib.shape_predictor_training_options()  # type: ignore[attr-defined]
    options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = 2, 4, 20
    options.oversampling_amount, options.num_threads, options.random_seed = 5, 1, "1"
    shape = dlib.full_object_detection(box, parts)  # type: ignore[attr-defined]
    dlib.train_shape_predictor([image] * 2, [[shape]] * 2, options).save(str(path))  # type: ignore[attr-defined]
    return path


def test_fan_runs_on_weights_that_were_added_and_downloads_none(
    face: tuple[Rendering, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("face_alignment")
    from face_alignment.models import FAN

    made, points = face
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _refuse)
    judge = load_plugins().build("filter", {"name": "detector", "faces": "labels"})
    with pytest.raises(AssetError, match="fan is missing"):
        judge.judge(made, {"landmarks2d": points})
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "random.tar")
    registry.add_asset("fan", tmp_path / "random.tar")
    hub = torch.hub.get_dir()
    verdict = check_filter(judge, made, {"landmarks2d": points})
    assert verdict.reason == "the detector's landmarks are too far away", "random weights see nothing"
    assert torch.hub.get_dir() == hub


def _refuse(*arguments: object, **options: object) -> Sequence[object]:
    raise AssertionError(f"something was to be downloaded: {arguments}")
