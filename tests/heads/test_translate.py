"""From 68 points to other schemas through the fitted head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthforge_plugins.heads.anny.head import AnnyHead
from synthforge_plugins.heads.anny.translate import fit, shapes, translate

from synthforge.core.camera import Camera
from synthforge.core.schemas import POINT_SCHEMAS, translate_points
from synthforge.core.tables import UnknownNameError
from synthforge.geometry.cameras import orbit_camera


def seen(head: AnnyHead, camera: Camera, index: int, schema: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (68,2) and (N,2) that a camera sees of a random head, in pixels."""
    drawn = head.sample_parameters(np.random.default_rng(index))
    drawn["gaze"] = np.zeros_like(drawn["gaze"])
    vertices = head({name: torch.from_numpy(value)[None] for name, value in drawn.items()}).vertices
    position = torch.from_numpy(camera.position[None].astype(np.float32))
    sets = (head.points(name, vertices, position, "visible")[0].numpy() for name in ("ibug68", schema))
    return tuple(camera.project(points)[0] for points in sets)  # type: ignore[return-value]


@pytest.mark.parametrize(("schema", "most"), [("wflw98", 1.6), ("lapa106", 1.8), ("mediapipe478", 2.8)])
def test_translated_points_are_near_the_true_ones(schema: str, most: float) -> None:
    """In % of the distance of the outer eye corners, on heads that the translator did not learn from."""
    head, errors = AnnyHead(), []
    for index in range(20):
        camera = orbit_camera(0.05 * (index - 10), 0.02 * (index % 5 - 2), 0.9, 25.0, 256, 256)
        ibug, wanted = seen(head, camera, 1000 + index, schema)
        found = translate_points(ibug, "ibug68", schema)
        scale = np.linalg.norm(ibug[36] - ibug[45])
        errors.append(100 * np.linalg.norm(found - wanted, axis=1).mean() / scale)
    assert np.mean(errors) < most


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-3, 3), size=st.floats(0.3, 3000), x=st.floats(-1e4, 1e4), y=st.floats(-1e4, 1e4))
def test_translating_and_moving_a_picture_commute(angle: float, size: float, x: float, y: float) -> None:
    points = shapes().mean[:68, :2] + np.random.default_rng(0).normal(0, 0.01, (68, 2))
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = translate(points @ turn.T + [x, y], "wflw98")[:, :2]
    np.testing.assert_allclose(moved, translate(points, "wflw98")[:, :2] @ turn.T + [x, y], atol=1e-3 * size)


def test_a_fit_is_a_rotation_and_returns_the_points_it_was_given() -> None:
    mean = shapes().mean[:68]
    found = fit(100 * mean[:, :2] + [7.0, 9.0])
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert found.scale == pytest.approx(100, rel=0.02)
    np.testing.assert_allclose(found.posed[17:68, :2], 100 * mean[17:, :2] + [7.0, 9.0], atol=1.0)


def test_a_schema_without_a_mapping_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'wflw98' to 'ibug68'") as caught:
        translate_points(np.zeros((98, 2)), "wflw98", "ibug68")
    assert "register_mappings" in str(caught.value.hint)
    assert len(translate_points(np.zeros((68, 2)), "ibug68", "ibug68")) == len(POINT_SCHEMAS["ibug68"])
