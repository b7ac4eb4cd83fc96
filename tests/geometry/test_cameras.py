"""Cameras: conventions, round trips, refusals."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.core.camera import Camera, CameraError
from synthforge.geometry.cameras import (
    camera_from_eg3d,
    camera_to_eg3d,
    orbit_camera,
    z_to_distance,
)

property_test = settings(max_examples=40, deadline=None)
angles = st.floats(-math.pi, math.pi)
orbits = st.builds(
    orbit_camera,
    azimuth=angles,
    elevation=st.floats(-1.5, 1.5),
    radius=st.floats(0.3, 5),
    fov_degrees=st.floats(5, 100),
    width=st.integers(16, 600),
    height=st.integers(16, 600),
    target=st.tuples(*[st.floats(-1, 1)] * 3),
    roll=angles,
)
seeds = st.integers(0, 2**31)


@given(orbits, seeds)
@property_test
def test_projection_undoes_unprojection(camera: Camera, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, 1, (3, 7, 2)) * (camera.width, camera.height)
    z = random.uniform(0.05, 4, (3, 7))
    again, depth = camera.project(camera.unproject(pixels, z))
    np.testing.assert_allclose(again, pixels, atol=1e-6)
    np.testing.assert_allclose(depth, z, rtol=1e-9)


@given(orbits)
@property_test
def test_an_orbit_looks_at_its_target_from_its_radius(camera: Camera) -> None:
    centre = camera.unproject([camera.width / 2, camera.height / 2], 1.0)
    forward = camera.world_to_camera[2, :3]
    np.testing.assert_allclose(centre - camera.position, forward, atol=1e-9)


def test_the_frontal_camera_sees_the_subjects_left_at_image_right_and_up_at_the_top() -> None:
    camera = orbit_camera(0, 0, 2.0, 30, 200, 100)
    np.testing.assert_allclose(camera.position, [0, 0, 2], atol=1e-12)
    pixels, z = camera.project(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.5]]))
    np.testing.assert_allclose(pixels[0], [100, 50])
    assert pixels[1, 0] > 100
    assert pixels[1, 1] == pytest.approx(50)
    assert pixels[2, 1] < 50
    np.testing.assert_allclose(z, [2, 2, 2, 1.5])


def test_positive_angles_move_the_camera_to_the_subjects_left_and_up() -> None:
    np.testing.assert_allclose(orbit_camera(math.pi / 2, 0, 3, 30, 9, 9).position, [3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(orbit_camera(0, math.pi / 2, 3, 30, 9, 9).position, [0, 3, 0], atol=1e-12)


def test_positive_roll_turns_the_picture_counter_clockwise() -> None:
    pixels, _ = orbit_camera(0, 0, 2, 30, 100, 100, roll=math.pi / 2).project([0, 0.1, 0])
    assert pixels[0] < 49  # what was up is now at image left
    assert pixels[1] == pytest.approx(50)


def test_the_field_of_view_spans_the_width() -> None:
    camera = orbit_camera(0, 0, 1, 60, 320, 240)
    edge = math.tan(math.radians(30))
    np.testing.assert_allclose(camera.project([edge, 0, 0])[0], [320, 120])


def test_points_behind_the_camera_have_no_image() -> None:
    pixels, z = orbit_camera(0, 0, 1, 30, 64, 64).project([[0, 0, 1.5], [0, 0, 1.0]])
    assert np.isnan(pixels).all()
    np.testing.assert_allclose(z, [-0.5, 0], atol=1e-12)


@given(orbits)
@property_test
def test_cameras_survive_json_exactly(camera: Camera) -> None:
    again = Camera.from_json(json.loads(json.dumps(camera.to_json())))
    assert again == camera
    assert hash(again) == hash(camera)


@given(orbits)
@property_test
def test_eg3d_cameras_round_trip(camera: Camera) -> None:
    label = camera_to_eg3d(camera)
    again = camera_from_eg3d(label, camera.width, camera.height)
    np.testing.assert_allclose(again.world_to_camera, camera.world_to_camera, atol=1e-12)
    np.testing.assert_allclose(again.intrinsics, camera.intrinsics, atol=1e-9)
    stored = camera_from_eg3d(label.astype(np.float32), camera.width, camera.height)
    np.testing.assert_allclose(stored.world_to_camera, camera.world_to_camera, atol=1e-5)


def test_eg3d_cameras_hold_the_pose_and_the_normalised_focal_length() -> None:
    label = camera_to_eg3d(orbit_camera(0, 0, 2.7, 18, 512, 512))
    np.testing.assert_allclose(label[:16].reshape(4, 4)[:3, 3], [0, 0, 2.7], atol=1e-12)
    np.testing.assert_allclose(label[[16, 20]], 1 / (2 * math.tan(math.radians(9))))
    np.testing.assert_allclose(label[[18, 21]], 0.5)


@given(orbits, st.integers(16, 300), st.integers(16, 300))
@property_test
def test_resizing_and_cropping_move_pixels_as_they_should(camera: Camera, width: int, height: int) -> None:
    point = camera.unproject([3.25, 4.5], 1.2)
    resized = camera.resized(width, height).project(point)[0]
    np.testing.assert_allclose(resized, [3.25 * width / camera.width, 4.5 * height / camera.height], atol=1e-6)
    np.testing.assert_allclose(camera.crop(2.5, -7, 8, 9).project(point)[0], [0.75, 11.5], atol=1e-6)


@given(orbits)
@property_test
def test_ray_distance_is_the_distance_to_the_camera(camera: Camera) -> None:
    camera = camera.resized(7, 5)
    z = np.random.default_rng(0).uniform(0.5, 2, (5, 7))
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    points = camera.unproject(np.stack([x, y], -1), z)
    distance = z_to_distance(z, camera)
    np.testing.assert_allclose(distance, np.linalg.norm(points - camera.position, axis=-1), rtol=1e-9)
    with pytest.raises(CameraError, match="does not fit"):
        z_to_distance(z.T, camera)


def _bad_pose(**entries: float) -> np.ndarray:
    pose = np.eye(4)
    for place, value in entries.items():
        pose[int(place[1]), int(place[2])] = value
    return pose


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be"),
        ({"height": 2.5}, "height must be"),
        ({"intrinsics": np.eye(2)}, r"shape \(3, 3\)"),
        ({"intrinsics": np.diag([-1.0, 1, 1])}, "focal lengths"),
        ({"intrinsics": np.full((3, 3), np.nan)}, "not finite"),
        ({"intrinsics": "K"}, "not a matrix"),
        ({"intrinsics": [[1, 0, 0], [0, 1, 0], [0, 1, 1]]}, "must be"),
        ({"world_to_camera": np.diag([2.0, 2, 2, 1])}, "not orthonormal"),
        ({"world_to_camera": np.diag([1.0, 1, -1, 1])}, "mirrors"),
        ({"world_to_camera": _bad_pose(p30=1.0)}, "last row"),
        ({"world_to_camera": _bad_pose(p03=np.inf)}, "not finite"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "width": 8,
        "height": 8,
        "intrinsics": np.eye(3),
        "world_to_camera": np.eye(4),
    } | change
    with pytest.raises(CameraError, match=message):
        Camera(**arguments)


def test_incomplete_records_and_wrong_arguments_are_refused() -> None:
    with pytest.raises(CameraError, match="intrinsics"):
        Camera.from_json({"width": 3, "height": 3})
    with pytest.raises(CameraError, match="25 numbers"):
        camera_from_eg3d(np.zeros(24), 8, 8)
    good: dict[str, Any] = {"azimuth": 0, "elevation": 0, "radius": 1, "fov_degrees": 30}
    wrongs: list[dict[str, Any]] = [{"fov_degrees": 180}, {"radius": 0}, {"elevation": 45}]
    for wrong in wrongs:
        with pytest.raises(CameraError):
            orbit_camera(**(good | wrong), width=8, height=8)


def test_arrays_of_a_camera_cannot_change() -> None:
    matrix = np.eye(4)
    camera = Camera(4, 4, np.eye(3), matrix)
    matrix[0, 3] = 5
    assert camera.world_to_camera[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        camera.intrinsics[0, 0] = 2
