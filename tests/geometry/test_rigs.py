"""Rigs: where their cameras stand, and points triangulated from what they see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from synthforge_plugins.generators.anny.view import camera_of

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.geometry.rigs import RigConfig, carried, triangulate

RIGS = st.one_of(
    st.builds(
        RigConfig,
        kind=st.just("ring"),
        cameras=st.integers(2, 24),
        levels=st.lists(st.floats(-1.2, 1.2), min_size=1, max_size=3, unique=True),
    ),
    st.builds(
        RigConfig,
        kind=st.just("arc"),
        cameras=st.integers(2, 12),
        span=st.floats(0.02, 2 * math.pi),
        levels=st.lists(st.floats(-1.2, 1.2), min_size=1, max_size=3, unique=True),
    ),
    st.builds(RigConfig, kind=st.just("stereo"), cameras=st.integers(2, 6), baseline=st.floats(0.01, 0.5)),
    st.builds(RigConfig, kind=st.just("nir-pair"), baseline=st.floats(0.01, 0.5)),
)
CAMERAS = st.fixed_dictionaries(
    {
        "azimuth": st.floats(-1.5, 1.5),
        "elevation": st.floats(-0.8, 0.8),
        "roll": st.floats(-0.4, 0.4),
        "field_of_view": st.floats(8, 60),
        "face_fraction": st.floats(0.2, 0.5),
        "shift_x": st.floats(-0.1, 0.1),
        "shift_y": st.floats(-0.1, 0.1),
    }
)


def face(seed: int = 0) -> np.ndarray:
    """68 points about as far apart as those of a face, metres."""
    points = np.random.default_rng(seed).uniform((-0.07, -0.09, 0.02), (0.07, 0.06, 0.1), (68, 3))
    points[8], points[17:27, 1] = (0.0, -0.09, 0.08), 0.05
    return points


def cameras_of(rig: RigConfig, camera: dict[str, float], points: np.ndarray) -> list[Any]:
    parameters = {"camera": camera, "border": {"shift_x": 0.0, "shift_y": 0.0}}
    views = [vars(placement) for placement in rig.placements()]
    return [camera_of({**parameters, "view": view}, points, 256) for view in views]


@given(rig=RIGS, camera=CAMERAS, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_points_are_found_again_from_the_pixels_of_all_cameras(rig: RigConfig, camera: Any, seed: int) -> None:
    points = face(seed)
    cameras = cameras_of(rig, camera, points)
    assume(all((each.to_camera(points)[:, 2] > 0.05).all() for each in cameras))  # none inside the head
    pixels = np.stack([each.project(points)[0] for each in cameras]).astype(np.float32)  # as labels are stored
    found = triangulate(cameras, pixels)
    for each, seen in zip(cameras, pixels, strict=True):
        assert np.abs(each.project(found)[0] - seen).max() < 0.1


@given(rig=RIGS, camera=CAMERAS)
@settings(max_examples=40, deadline=None)
def test_every_camera_of_an_orbit_is_as_far_away(rig: RigConfig, camera: Any) -> None:
    cameras = cameras_of(rig, camera, face())
    if rig.kind in ("ring", "arc"):
        point = cameras[0].unproject([[128.0, 128.0]], [1.0])[0] - cameras[0].position
        middle = cameras_of(RigConfig(), camera, face())[0]
        target = middle.position + _radius(middle, camera) * middle.world_to_camera[2, :3]
        away = [np.linalg.norm(each.position - target) for each in cameras]
        np.testing.assert_allclose(away, away[0], rtol=1e-9)
        assert np.isfinite(point).all()
        for each in cameras:
            np.testing.assert_allclose(each.project(target[None])[0], [[128.0, 128.0]], atol=1e-6)
    else:
        steps = np.diff([each.position for each in cameras], axis=0)
        np.testing.assert_allclose(np.linalg.norm(steps, axis=1), rig.baseline, rtol=1e-9)
        for each in cameras:
            np.testing.assert_array_equal(each.world_to_camera[:3, :3], cameras[0].world_to_camera[:3, :3])
        assert (steps @ cameras[0].world_to_camera[0, :3] > 0).all()  # from left to right


def _radius(camera: Any, factors: dict[str, float]) -> float:
    points = face()
    size = np.linalg.norm(points[17:27].mean(0) - points[8]) / factors["face_fraction"]
    return float(size / (2 * math.tan(math.radians(factors["field_of_view"]) / 2)))


def test_a_rigid_motion_carries_what_a_camera_sees() -> None:
    camera = cameras_of(RigConfig(), {**_plain(), "azimuth": 0.3}, face())[0]
    pivot, turn, step = np.array([0.01, 0.02, 0.03]), np.array([0.2, -0.1, 0.05]), np.array([0.1, 0.0, -0.2])
    from scipy.spatial.transform import Rotation

    moved = pivot + Rotation.from_rotvec(turn).apply(face() - pivot) + step
    np.testing.assert_allclose(carried(camera, pivot, turn, step).project(moved)[0], camera.project(face())[0])


def _plain() -> dict[str, float]:
    none = dict.fromkeys(("azimuth", "elevation", "roll", "shift_x", "shift_y"), 0.0)
    return {**none, "field_of_view": 20.0, "face_fraction": 0.4}


def test_a_point_needs_two_cameras() -> None:
    cameras = cameras_of(RigConfig("stereo"), _plain(), face())
    pixels = np.stack([each.project(face())[0] for each in cameras])
    pixels[1, 5] = np.nan
    with pytest.raises(ValueError, match="fewer than two"):
        triangulate(cameras, pixels)
    third = cameras_of(RigConfig("stereo", cameras=3), _plain(), face())
    seen = np.stack([each.project(face())[0] for each in third])
    seen[1, 5] = np.nan
    np.testing.assert_allclose(triangulate(third, seen), face(), atol=1e-9)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "nir-pair", "cameras": 3}, "2 cameras"),
        ({"cameras": 4}, "need a kind"),
        ({"kind": "ring", "cameras": 1}, "two cameras"),
        ({"kind": "sphere"}, "ring, arc"),
        ({"kind": "arc", "levels_degrees": []}, "one level"),
    ],
)
def test_a_rig_that_cannot_be_is_told(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_config(RigConfig, keys, where="rig")


def test_angles_are_degrees_in_a_configuration() -> None:
    rig = build_config(RigConfig, {"kind": "arc", "cameras": 3, "span_degrees": 90, "levels_degrees": [-30, 0]})
    assert len(rig.placements()) == 6
    assert rig.placements()[0].azimuth == pytest.approx(-math.pi / 4)
    assert rig.placements()[0].elevation == pytest.approx(-math.pi / 6)
