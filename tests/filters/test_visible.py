"""The filter `visible`: shares and counts of faces whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from synthforge_plugins.filters.visible import VisibleConfig, VisibleFilter, face_share

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.core.records import Rendering, Scene, Verdict
from synthforge.geometry.cameras import orbit_camera


def judged(points: np.ndarray, visible: int = 68, **config: float) -> Verdict:
    camera = orbit_camera(0.0, 0.0, 1.0, 20.0, 100, 100)
    rendering = Rendering(Scene(0, 0, {}), camera, np.zeros((100, 100, 3), np.uint8))
    annotations = {"landmarks2d": points.astype(np.float32), "landmark_visibility": np.arange(68) < visible}
    return VisibleFilter(VisibleConfig(**config)).judge(rendering, annotations)


def square(low: float, high: float) -> np.ndarray:
    """68 points, four of them the corners of a square."""
    inner = np.random.default_rng(0).uniform(low, high, (64, 2))
    return np.concatenate([[[low, low], [low, high], [high, low], [high, high]], inner])


def test_the_share_is_that_of_the_hull_within_the_image() -> None:
    assert face_share(square(20, 60), 100, 100) == pytest.approx(0.16, abs=0.01)
    assert face_share(square(-20, 20), 100, 100) == pytest.approx(0.04, abs=0.01)
    assert face_share(square(-300, 300), 100, 50) == pytest.approx(1.0, abs=0.01)
    assert face_share(square(20, 60) * 2, 200, 200) == pytest.approx(0.16, abs=0.01)
    assert face_share(np.tile([[3.0, 4.0]], (68, 1)), 100, 100) == 0
    assert face_share(np.full((68, 2), np.nan), 100, 100) == 0


def test_each_reason_has_its_cause() -> None:
    good = square(20, 60)
    assert judged(good) == Verdict(
        True, "", {"visible_landmarks": 68.0, "inside": 1.0, "face_share": judged(good).figures["face_share"]}
    )
    assert judged(good, visible=29).reason == "too few landmarks are visible"
    assert judged(good, visible=30).accepted
    assert judged(square(80, 130)).reason == "too much of the face lies outside the image"
    assert judged(square(50, 55)).reason == "the face is too small"
    assert judged(square(50, 55), min_share=0.001).accepted
    assert judged(good, max_share=0.1).reason == "the face is too large"
    behind = np.where(np.arange(68)[:, None] < 30, np.nan, good)
    assert judged(behind).figures["inside"] == pytest.approx(38 / 68, abs=1e-3)
    assert not judged(behind).accepted


@pytest.mark.parametrize("config", [{"landmarks": -1}, {"inside": 1.5}, {"min_share": 0.5, "max_share": 0.2}])
def test_impossible_settings_are_refused(config: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"out of range|lies below"):
        build_config(VisibleConfig, config)
