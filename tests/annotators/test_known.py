"""What the scene knows, against geometry worked out another way."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ball_head import ball_rendering
from scipy.spatial.transform import Rotation
from synthforge_plugins.annotators.irises import ellipse
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.generator import AnnyGenerator
from synthforge_plugins.generators.anny.view import EYE_DROP, EYE_TURN

from synthforge.core.errors import AnnotationError
from synthforge.core.plugins import Plugins
from synthforge.core.records import Field, Known, Rendering, Scene
from synthforge.datasets.checks import check_sample
from synthforge.datasets.codecs import CODECS, Encoding
from synthforge.geometry.cameras import orbit_camera
from synthforge.testing import check_plugin

NAMES = ("head-pose", "gaze", "irises", "face-box", "person", "arkit", "openness", "uv", "mesh")


@pytest.fixture(scope="module")
def generator() -> AnnyGenerator:
    return build(AnnyConfig())


@pytest.fixture(scope="module")
def faces(generator: AnnyGenerator) -> list[Rendering]:
    """Three heads; the second looks and turns aside with eyes wide open, the third has shut eyes."""
    scenes = [generator.sample(5, index) for index in range(3)]
    scenes[1] = changed(generator, scenes[1], eyeBlinkLeft=0, eyeBlinkRight=0, eyeWideLeft=0.8, eyeWideRight=0.8)
    scenes[1].parameters["head"]["gaze"][:] = np.radians([20.0, -6.0])
    scenes[2] = changed(generator, scenes[2], eyeBlinkLeft=0.8, eyeBlinkRight=0.8, jawOpen=0.0)
    for scene in scenes:
        scene.parameters["glasses"]["worn"] = False
        scene.parameters["border"]["margin"] = 0.0
    return generator.render(scenes, 256)


def changed(generator: AnnyGenerator, scene: Scene, **actions: float) -> Scene:
    values = scene.parameters["head"]["expression"].copy()
    values[:] = 0
    for name, value in actions.items():
        values[generator.head.expression_names.index(name)] = value
    parameters = {**scene.parameters, "head": {**scene.parameters["head"], "expression": values}}
    return dataclasses.replace(scene, parameters=parameters)


def found(plugins: Plugins, name: str, rendering: Rendering) -> dict[str, Any]:
    return plugins.build("annotator", name).annotate(rendering)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract(plugins: Plugins, faces: list[Rendering], name: str) -> None:
    for rendering in faces:
        check_plugin(plugins, "annotator", name, rendering=rendering)


@pytest.mark.parametrize("name", ["head-pose", "gaze", "irises", "person", "arkit", "uv"])
def test_what_nobody_knows_is_said(plugins: Plugins, name: str) -> None:
    with pytest.raises(AnnotationError, match=name):
        found(plugins, name, ball_rendering())


@pytest.mark.parametrize(
    ("azimuth", "elevation", "roll"), [(0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (0.0, 0.3, 0.0), (0, 0, 0.2)]
)
def test_a_camera_that_moves_turns_the_head(plugins: Plugins, azimuth: float, elevation: float, roll: float) -> None:
    """A camera at the subject's left sees the nose point to image left; from above, the face points down."""
    camera = orbit_camera(azimuth, elevation, 1.0, 20, 64, 64, roll=roll)
    rendering = dataclasses.replace(ball_rendering(), camera=camera, known=Known(head_rotation=np.eye(3)))
    values = found(plugins, "head-pose", rendering)
    angles = values["head_angles"]
    assert angles["yaw"] == pytest.approx(-np.degrees(azimuth), abs=1e-6)
    assert angles["pitch"] == pytest.approx(-np.degrees(elevation), abs=1e-6)
    assert abs(angles["roll"]) == pytest.approx(np.degrees(roll), abs=1e-6)
    assert values["head_pose"] @ values["head_pose"].T == pytest.approx(np.eye(3), abs=1e-6)
    if not (azimuth or elevation or roll):
        assert values["head_pose"] == pytest.approx(np.diag([1.0, -1.0, -1.0]), abs=1e-6)


def test_the_skull_turns_as_the_pose_says(plugins: Plugins, generator: AnnyGenerator, faces: list[Rendering]) -> None:
    """The rotation that takes the unturned mesh's upper teeth and scalp to the turned one's, by Kabsch."""
    import torch

    for rendering in faces:
        values = {n: torch.as_tensor(v)[None] for n, v in rendering.scene.parameters["head"].items()}
        straight = {**values, "neck": torch.zeros(1, 3), "head": torch.zeros(1, 3)}
        firm = generator.head.weights[:, 4] > 0.999
        before, after = (generator.head(v).vertices[0].double().numpy()[firm] for v in (straight, values))
        turned, _ = Rotation.align_vectors(after - after.mean(0), before - before.mean(0))
        expected = rendering.camera.world_to_camera[:3, :3] @ turned.as_matrix()
        assert found(plugins, "head-pose", rendering)["head_pose"] == pytest.approx(expected, abs=1e-4)


def test_gaze_goes_from_the_eye_through_the_pupil(plugins: Plugins, faces: list[Rendering]) -> None:
    for rendering in faces:
        values, shapes = found(plugins, "gaze", rendering), found(plugins, "irises", rendering)["irises"]
        assert np.linalg.norm(values["gaze"], axis=1) == pytest.approx(np.ones(2), abs=1e-6)
        for eye, side in enumerate(("left", "right")):
            ahead = values["eye_centres"][eye] + 0.0167 * values["gaze"][eye].astype(np.float64)
            pixel = (rendering.camera.intrinsics @ ahead)[:2] / ahead[2]
            pupil = shapes[side]["pupil"]
            assert np.linalg.norm(pixel - pupil["centre"]) < 0.35 * pupil["axes"][0] + 0.3


def test_gaze_is_what_was_asked_and_converges(generator: AnnyGenerator, faces: list[Rendering]) -> None:
    """Whatever the identity: shapes of the face move eyeballs apart and turn them by several degrees."""
    asked = Rotation.from_euler("YX", [EYE_TURN * np.radians(20.0), EYE_TURN * np.radians(6.0) + EYE_DROP])
    axes = faces[1].known.eyes.gaze @ faces[1].known.head_rotation
    assert axes == pytest.approx(np.tile(asked.apply([0.0, 0.0, 1.0]), (2, 1)), abs=1e-5)
    for rendering in generator.render([generator.sample(11, i) for i in range(8)], 32):
        eyes = rendering.known.eyes
        (x_left, _, z_left), (x_right, _, z_right) = eyes.gaze @ rendering.known.head_rotation
        assert np.arctan2(x_right, z_right) > np.arctan2(x_left, z_left), "the left eye turns to the right, and back"


def test_ellipses_hold_the_pixels_that_are_painted_as_iris(
    plugins: Plugins, generator: AnnyGenerator, faces: list[Rendering]
) -> None:
    """The renderer paints the iris by the direction at rest of what a pixel sees, which the annotator never reads."""
    axis = generator.renderer.static.axis.cpu().numpy()
    groups = [generator.head.group_names.index(name) for name in ("left_eye", "right_eye")]
    rendering = faces[1]
    values = found(plugins, "irises", rendering)
    surface, eyes = rendering.surface, rendering.known.eyes
    sine = eyes.iris[0, 1] / np.hypot(*eyes.iris[0])
    for group, side in zip(groups, ("left", "right"), strict=True):
        rows, columns = np.nonzero((surface.face_id >= 0) & (surface.face_id < surface.head_faces))
        of_eye = generator.head.face_group[surface.face_id[rows, columns]] == group
        rows, columns = rows[of_eye], columns[of_eye]
        d = (axis[surface.faces[surface.face_id[rows, columns]]] * surface.barycentric[rows, columns][..., None]).sum(1)
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        painted = (np.hypot(d[:, 0], d[:, 1]) < sine) & (d[:, 2] > 0)
        shape, angle = values["irises"][side]["iris"], np.radians(values["iris_angles"][side]["iris"])
        away = np.stack([columns + 0.5, rows + 0.5], -1) - shape["centre"]
        turned = away @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        within = (turned**2 / np.square(shape["axes"])).sum(1) < 1
        assert painted.sum() > 20
        assert (within == painted)[painted | within].mean() > 0.85
        share = painted.sum() / (np.pi * np.prod(shape["axes"]))
        assert values["iris_visibility"][side] == pytest.approx(share, abs=0.15)


def test_a_circle_becomes_the_ellipse_of_its_points() -> None:
    camera = orbit_camera(0.5, -0.3, 0.3, 30, 200, 200, roll=0.3)
    rotation = Rotation.from_rotvec([0.3, 0.7, 0.1]).as_matrix()
    middle, halves = np.array([0.01, 0.02, 0.03]), 0.02 * rotation[:2]
    centre, axes, angle = ellipse(camera, middle, halves)
    t = np.linspace(0, 2 * np.pi, 100)[:, None]
    pixels, _ = camera.project(middle + np.cos(t) * halves[0] + np.sin(t) * halves[1])
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    x, y = (pixels - centre) @ along, (pixels - centre) @ [-along[1], along[0]]
    assert (x / axes[0]) ** 2 + (y / axes[1]) ** 2 == pytest.approx(np.ones(100), abs=1e-6)
    assert axes[0] > axes[1] > 0
    assert ellipse(camera, camera.position, halves) is None


def test_shut_eyes_are_not_open(plugins: Plugins, faces: list[Rendering]) -> None:
    wide, shut = (found(plugins, "openness", rendering)["openness"] for rendering in faces[1:])
    assert min(wide["left_eye"], wide["right_eye"]) > 0.3
    assert max(shut["left_eye"], shut["right_eye"]) < 0.1
    assert shut["mouth"] < 0.1
    seen = found(plugins, "irises", faces[2])["iris_visibility"]
    assert max(seen.values()) < 0.1


def test_the_box_holds_the_face(plugins: Plugins, faces: list[Rendering]) -> None:
    for rendering in faces:
        values = found(plugins, "face-box", rendering)
        landmarks = found(plugins, "landmarks", rendering)["landmarks2d"][17:]
        x0, y0, x1, y1 = values["face_box_amodal"]
        assert (landmarks > [x0, y0]).all()
        assert (landmarks < [x1, y1]).all()
        further = np.subtract(values["face_box"], values["face_box_amodal"]) * [1, 1, -1, -1]
        assert (further > -1.5).all()
    assert found(plugins, "face-box", ball_rendering())["face_box"] is not None


def test_texture_coordinates_lead_back_to_the_landmarks(
    plugins: Plugins, generator: AnnyGenerator, faces: list[Rendering]
) -> None:
    """The tip of the nose has the same place in the texture on each face: that of its surface point."""
    head, tips = generator.head, []
    for rendering in faces[:2]:
        uv, marks = found(plugins, "uv", rendering)["uv"], found(plugins, "landmarks", rendering)
        column, row = marks["landmarks2d"][30].astype(int)
        tips.append(uv[row, column])
        place = head.embedding
        vertices = place.vertices[30]
        face = int(np.flatnonzero((np.isin(head.faces, vertices)).sum(1) == 3)[0])
        order = [list(head.faces[face]).index(v) for v in vertices]
        expected = (head.uv[head.uv_faces[face]][order] * place.barycentric[30][:, None]).sum(0)
        assert uv[row, column] == pytest.approx(expected, abs=0.02)
    assert tips[0] == pytest.approx(tips[1], abs=0.02)


def test_the_mesh_in_space_is_what_the_picture_shows(plugins: Plugins, faces: list[Rendering]) -> None:
    for rendering in faces:
        values = found(plugins, "mesh", rendering)
        seen = values["mesh3d"] @ rendering.camera.intrinsics.T
        np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], values["mesh2d"], atol=0.01)
        assert np.linalg.norm(values["mesh3d"][33] - values["mesh3d"][263]) == pytest.approx(0.088, abs=0.015)
        assert values["mesh_visibility"].mean() > 0.4


def test_who_it_is(plugins: Plugins, faces: list[Rendering]) -> None:
    values = found(plugins, "person", faces[0])
    assert sum(values["person"]["ancestry"].values()) == pytest.approx(1)
    assert 0 <= values["age"] <= 90
    actions = found(plugins, "arkit", faces[1])["arkit"]
    assert len(actions) == 52
    assert actions["eyeWideLeft"] == pytest.approx(0.8)


def test_the_codecs_of_texture_and_directions() -> None:
    rng = np.random.default_rng(3)
    uv = rng.random((6, 5, 2)).astype(np.float32)
    uv[0, :2] = [[0, 0], [0, 1]]
    encoding, item = Encoding(), Field("uv", "uv")
    back = CODECS["uv"].decode(CODECS["uv"].encode(uv, item, encoding), item, encoding)
    assert np.abs(back - uv).max() <= 1 / 65535
    assert not back[0, 0].any()
    assert back[0, 1].any()
    with pytest.raises(ValueError, match=r"0\.\.1"):
        CODECS["uv"].encode(uv * 2, item, encoding)
    with pytest.raises(ValueError, match="unit"):
        CODECS["directions"].decode([[1, 1, 0]], Field("gaze", "directions"), encoding)


def test_verify_knows_ranges() -> None:
    sample = {"image": np.zeros((4, 4, 3), np.uint8), "arkit": {"a": {"b": [0.5, 1.5]}}, "camera": None}
    problems = list(check_sample(sample, [Field("arkit", "json", "share")]))
    assert len(problems) == 1
    assert "1.5" in problems[0]
    assert not list(check_sample(sample | {"arkit": {"a": None}}, [Field("arkit", "json", "share")]))
