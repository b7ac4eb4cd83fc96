"""Hands of the generator `anny`: bent at their joints, laid on skin, mirrored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.mesh.worn.hands import Hand, gripping, laid
from synthforge_plugins.heads.anny.build import load_crop

from synthforge.core.config import build_config

STILL = Rotation.identity(5)
SKIN: dict[str, Any] = {"tone": np.array([0.4, 0.25, 0.2]), "sleeve": np.array([0.1, 0.2, 0.3]), "size": 1.0}
LAID: dict[str, Any] = {**SKIN, "lift": 0.0, "spread": 0.05, "curl": 0.6, "left": True}


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand(load_crop())


def test_it_is_a_hand(hand: Hand) -> None:
    assert np.allclose(hand.posed(np.zeros((5, 3)), STILL), hand.points, atol=1e-3)
    for k in range(5):
        assert np.ptp(hand.points[(hand.nail > 0.5) & (hand.finger == k)], 0).max() > 5
    middle = np.linalg.norm(np.diff(hand.joints[2], axis=0), axis=1)
    assert 65 < middle.sum() < 110  # mm: the middle finger
    assert (np.diff(middle) < 0).all()


def test_fingers_bend_towards_the_palm_and_keep_their_lengths(hand: Hand) -> None:
    for k in range(1, 5):
        bends = np.zeros((5, 3))
        bends[k] = 0.5
        moved = hand.posed(bends, STILL)
        mine = hand.finger == k
        tip = mine & (hand.along > 2.8)
        assert (moved[tip, 2] < hand.points[tip, 2] - 20).all()
        others = (hand.weights[:, 3 * k + 1 : 3 * k + 4].sum(1) == 0).nonzero()[0]
        assert np.allclose(moved[others], hand.points[others], atol=1e-3)
        last = mine & (hand.weights[:, 3 * k + 3] > 0.999)
        before, after = (np.linalg.norm(p[last] - p[last][:1], axis=1) for p in (hand.points, moved))
        assert np.allclose(before, after, atol=1e-3)


def test_it_lies_on_the_skin(hand: Hand) -> None:
    grid = np.linspace(-0.19, 0.19, 80)
    x, y = (each.ravel() for each in np.meshgrid(grid, grid))
    for bump in (0.0, 0.02):  # a plane, and a ridge across the fingers
        z = bump * np.exp(-(((y - 0.04) / 0.02) ** 2))
        patch = laid(hand, LAID, np.zeros(3), np.eye(3), np.stack([x, y, z], 1), 1.0)
        points = patch.points[:, 0]
        on = hand.points[:, 1] > -80
        gap = points[on, 2] - bump * np.exp(-(((points[on, 1] - 0.04) / 0.02) ** 2))
        assert gap.min() > -0.006
        assert np.quantile(gap, 0.2) < 0.02
        # another gap is another height, and nothing else
        lifted = laid(hand, {**LAID, "lift": 12.0}, np.zeros(3), np.eye(3), np.stack([x, y, z], 1), 1.0)
        assert np.allclose(lifted.points[:, 0] - points, [0, 0, 0.012], atol=2e-3)


def test_a_right_hand_is_the_mirror_image(hand: Hand) -> None:
    solid = np.random.default_rng(0).uniform(-0.15, 0.15, (4000, 3)) * [1, 1, 0.05]
    left = laid(hand, LAID, np.zeros(3), np.eye(3), solid, 1.0)
    right = laid(hand, {**LAID, "left": False}, np.zeros(3), np.eye(3), solid * [-1, 1, 1], 1.0)
    assert np.allclose(left.points, right.points * [-1, 1, 1], atol=1e-9)


@pytest.mark.parametrize("left", [True, False])
def test_a_fist_goes_around_what_it_holds(hand: Hand, left: bool) -> None:
    for radius in (0.014, 0.033):
        patch = gripping(hand, {**SKIN, "left": left}, np.zeros(3), np.eye(3), radius, 1.0)
        fingers = patch.points[(hand.finger > 0), 0]
        away = np.hypot(fingers[:, 0], fingers[:, 2])
        assert np.quantile(away, 0.05) > radius - 0.006
        assert np.median(away) < radius + 0.025
        assert fingers[:, 2].max() > radius  # before it, as the viewer sees it


@pytest.mark.parametrize("left", [True, False])
def test_its_visible_side_faces_the_camera(left: bool) -> None:
    values: dict[str, Any] = {"hand": {"present": 1.0}, "occluder": {"present": 0.0}, "border": {"margin": 0.0}}
    generator = build(build_config(AnnyConfig, values))
    scenes = [generator.sample(3, i) for i in range(12)]
    scenes = [scene for scene in scenes if scene.parameters["hand"]["left"] == left][:2]
    static = generator.renderer.static
    first = static.worn_first + static.wardrobe.hand_run.start
    for rendering in generator.render(scenes, 96):
        surface = rendering.surface
        assert surface is not None
        corners = surface.faces[np.maximum(surface.face_id, 0)]
        seen = (surface.face_id >= 0) & (corners >= first).all(-1)
        seen &= (corners < first + len(static.wardrobe.hand.points)).all(-1)
        assert seen.sum() > 50
        weights = surface.barycentric[seen][..., None]
        points, normals = ((each[corners[seen]] * weights).sum(1) for each in (surface.vertices, surface.normals))
        assert (((rendering.camera.position - points) * normals).sum(1) > 0).mean() > 0.9
