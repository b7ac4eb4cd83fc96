"""Annotations are what geometry says they are, on a ball where geometry says it in closed form."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from ball_head import LEFT, RADIUS, RIGHT, SKIN, BallHead

from synthforge.core.errors import AnnotationError, ConfigError
from synthforge.core.plugins import Plugins
from synthforge.core.records import Rendering
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE
from synthforge.geometry.cameras import ray_lengths
from synthforge.testing import check_plugin

Ball = Callable[..., Rendering]
NAMES = ("landmarks", "segmentation", "depth", "normals")
AZIMUTHS = (0.0, 0.7, -0.7)


def annotate(plugins: Plugins, reference: object, rendering: Rendering) -> dict[str, np.ndarray]:
    return plugins.build("annotator", reference).annotate(rendering)


def hits(rendering: Rendering) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel's ray meets the ball: world points (H,W,3), z depth (H,W), and whether well inside the outline.

    The mesh lies a little within the ball.
    """
    camera = rendering.camera
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    along = camera.unproject(np.stack([x, y], -1), 1.0) - camera.position  # per metre of z
    b, a = along @ camera.position, (along**2).sum(-1)
    c = camera.position @ camera.position - RADIUS**2
    root = b * b - a * c
    z = (-b - np.sqrt(np.maximum(root, 0))) / a
    points = camera.position + along * z[..., None]
    facing = -(points * along).sum(-1) / np.linalg.norm(along, axis=-1) / RADIUS
    return points, z, (root > 0) & (facing > 0.3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shield", [False, True])
def test_the_contract(plugins: Plugins, ball: Ball, name: str, shield: bool) -> None:
    check_plugin(plugins, "annotator", name, rendering=ball(shield=shield))


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_depth_is_the_z_of_the_ball(plugins: Plugins, ball: Ball, azimuth: float) -> None:
    rendering = ball(azimuth)
    found = annotate(plugins, {"name": "depth", "ray_distance": True}, rendering)
    _, z, inside = hits(rendering)
    assert inside.mean() > 0.3
    assert np.abs(found["depth"] - z)[inside].max() < 4e-4  # the mesh is a polyhedron
    assert (found["depth"] > 0).sum() >= inside.sum()
    assert found["depth"][0, 0] == found["ray_distance"][0, 0] == 0
    expected = found["depth"] * ray_lengths(rendering.camera)
    assert np.allclose(found["ray_distance"], expected, atol=1e-6)
    assert (found["ray_distance"] >= found["depth"]).all()


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_normals_are_those_of_the_ball_in_the_camera_frame(plugins: Plugins, ball: Ball, azimuth: float) -> None:
    rendering = ball(azimuth)
    normals = annotate(plugins, "normals", rendering)["normals"]
    points, _, inside = hits(rendering)
    expected = points / RADIUS @ rendering.camera.world_to_camera[:3, :3].T
    assert (np.linalg.norm(normals - expected, axis=-1)[inside] < 0.02).all()
    middle = rendering.camera.height // 2
    assert normals[middle, middle] == pytest.approx([0, 0, -1], abs=0.03)  # facing the camera
    assert normals[middle, int(middle * 1.5), 0] > 0.2  # the right of the image faces right
    assert normals[int(middle * 1.5), middle, 1] > 0.2  # the lower half faces down
    covered = rendering.surface.face_id >= 0
    assert np.allclose(np.linalg.norm(normals, axis=-1), covered, atol=1e-5)


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_landmarks_project_and_know_what_hides_them(plugins: Plugins, ball: Ball, azimuth: float) -> None:
    rendering = ball(azimuth)
    found = annotate(plugins, "landmarks", rendering)
    points = found["landmarks3d"]
    assert np.allclose(np.linalg.norm(points, axis=-1), RADIUS, atol=1e-6)
    assert np.allclose(found["landmarks2d"], rendering.camera.project(points)[0], atol=1e-3)
    towards = rendering.camera.position - points
    facing = (points * towards).sum(-1) / np.linalg.norm(towards, axis=-1) / RADIUS
    sure = np.abs(facing) > 0.35  # at the outline a few millimetres decide
    assert sure.sum() > 30
    assert 10 < (facing[sure] > 0).sum() < sure.sum() - 10
    assert np.array_equal(found["landmark_visibility"][sure], facing[sure] > 0)


def test_another_mesh_in_front_hides_landmarks(plugins: Plugins, ball: Ball) -> None:
    free, hidden = (annotate(plugins, "landmarks", ball(shield=s))["landmark_visibility"] for s in (False, True))
    gone = free & ~hidden
    assert gone.any()
    assert not (hidden & ~free).any()
    behind = np.abs(annotate(plugins, "landmarks", ball())["landmarks2d"] - 48).max(-1) < 9
    assert behind[gone].all()


def test_landmarks_outside_of_the_image_are_not_visible(plugins: Plugins, ball: Ball) -> None:
    rendering = ball()
    camera = rendering.camera.crop(0, 0, 48, 96)
    surface = dataclasses.replace(
        rendering.surface,
        **{name: getattr(rendering.surface, name)[:, :48] for name in ("face_id", "barycentric", "z")},
    )
    found = annotate(plugins, "landmarks", dataclasses.replace(rendering, camera=camera, surface=surface))
    full = annotate(plugins, "landmarks", rendering)
    left = full["landmarks2d"][:, 0] < 47
    assert np.allclose(found["landmarks2d"], full["landmarks2d"], atol=1e-3)
    assert np.array_equal(found["landmark_visibility"][left], full["landmark_visibility"][left])
    assert not found["landmark_visibility"][full["landmarks2d"][:, 0] > 48].any()


def test_the_contour_option_reaches_the_head(plugins: Plugins, ball: Ball) -> None:
    still = annotate(plugins, "landmarks", ball())["landmarks3d"]
    moved = annotate(plugins, {"name": "landmarks", "contour": "visible"}, ball())["landmarks3d"]
    assert (still[:17] != moved[:17]).any(-1).all()
    assert np.array_equal(still[17:], moved[17:])


def test_points_of_a_generator_without_a_head(plugins: Plugins, ball: Ball) -> None:
    points = np.random.default_rng(0).uniform(-0.05, 0.05, (68, 3)).astype(np.float32)
    bare = dataclasses.replace(ball(), head=None, surface=None, depth=ball().surface.z, points={"ibug68": points})
    found = annotate(plugins, "landmarks", bare)
    assert np.array_equal(found["landmarks3d"], points)
    assert not found["landmark_visibility"].any()  # all lie inside of the ball


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_segmentation_follows_the_regions(plugins: Plugins, ball: Ball, azimuth: float) -> None:
    rendering = ball(azimuth)
    labels = annotate(plugins, "segmentation", rendering)["segmentation"]
    points, _, inside = hits(rendering)
    x = points[..., 0] / RADIUS
    expected = np.where(x > 0.5, LEFT, np.where(x < -0.5, RIGHT, SKIN))
    sure = inside & (np.abs(np.abs(x) - 0.5) > 0.02)
    assert (labels == expected)[sure].all()
    assert np.array_equal(labels == 0, rendering.surface.face_id < 0)
    if azimuth == 0:
        assert labels[48, 80] == LEFT  # the subject's left is at image right


def test_segmentation_in_another_schema(plugins: Plugins, ball: Ball) -> None:
    own = annotate(plugins, "segmentation", ball())["segmentation"]
    celeba = annotate(plugins, {"name": "segmentation", "schema": "celebamask19"}, ball())["segmentation"]
    schema = CLASS_SCHEMAS["celebamask19"]
    for ours, theirs in ((LEFT, "l_ear"), (RIGHT, "r_ear"), (SKIN, "skin"), (0, "background")):
        assert (celeba[own == ours] == schema.id(theirs)).all()


def test_labels_of_the_generator_come_before_regions(plugins: Plugins, ball: Ball) -> None:
    hair = np.full((96, 96), CLASS_SCHEMAS["synthforge"].id("hair"), np.uint8)
    rendering = dataclasses.replace(ball(), labels={"synthforge": hair})
    assert np.array_equal(annotate(plugins, "segmentation", rendering)["segmentation"], hair)
    lapa = annotate(plugins, {"name": "segmentation", "schema": "lapa11"}, rendering)["segmentation"]
    assert (lapa == CLASS_SCHEMAS["lapa11"].id("hair")).all()
    exact = dataclasses.replace(ball(), labels={"synthforge": hair, "lapa11": np.ones_like(hair)})
    lapa = annotate(plugins, {"name": "segmentation", "schema": "lapa11"}, exact)["segmentation"]
    assert (lapa == 1).all()


def test_what_other_meshes_show_is_unknown_without_labels(plugins: Plugins, ball: Ball) -> None:
    rendering = ball(shield=True)
    labels = annotate(plugins, "segmentation", rendering)["segmentation"]
    other = rendering.surface.face_id >= rendering.surface.head_faces
    assert other.any()
    assert np.array_equal(labels == IGNORE, other)


def test_depth_of_a_volume_goes_with_the_pixels(plugins: Plugins, ball: Ball) -> None:
    volume = np.full((96, 96), 0.7, np.float32)
    rendering = dataclasses.replace(ball(), depth=volume)
    assert np.array_equal(annotate(plugins, "depth", rendering)["depth"], volume)
    assert np.array_equal(annotate(plugins, {"name": "depth", "source": "volume"}, rendering)["depth"], volume)
    mesh = annotate(plugins, {"name": "depth", "source": "mesh"}, rendering)["depth"]
    assert np.array_equal(mesh, ball().surface.z)


@pytest.mark.parametrize("name", NAMES)
def test_a_rendering_without_geometry_is_an_error_with_a_way_out(plugins: Plugins, ball: Ball, name: str) -> None:
    bare = dataclasses.replace(ball(), head=None, surface=None)
    with pytest.raises(AnnotationError) as caught:
        annotate(plugins, name, bare)
    assert caught.value.hint


def test_depth_names_the_source_that_is_missing(plugins: Plugins, ball: Ball) -> None:
    with pytest.raises(AnnotationError, match="from 'volume': this rendering has no volume"):
        annotate(plugins, {"name": "depth", "source": "volume"}, ball())


def test_regions_without_a_mapping_are_an_error_that_names_the_schema(plugins: Plugins, ball: Ball) -> None:
    head = BallHead()
    head.region_schema = "lapa11"
    with pytest.raises(AnnotationError, match="'lapa11' to 'celebamask19'") as caught:
        annotate(plugins, {"name": "segmentation", "schema": "celebamask19"}, dataclasses.replace(ball(), head=head))
    assert "lapa11" in str(caught.value.hint)


def test_a_head_with_other_points_is_an_error(plugins: Plugins, ball: Ball) -> None:
    head = BallHead()
    head.point_schema = "other"
    with pytest.raises(AnnotationError, match="no 'ibug68' landmarks\nIt has other"):
        annotate(plugins, "landmarks", dataclasses.replace(ball(), head=head))


@pytest.mark.parametrize(
    "reference",
    [
        {"name": "landmarks", "contour": "moving"},
        {"name": "landmarks", "tolerance": -1.0},
        {"name": "segmentation", "schema": "lapa"},
        {"name": "depth", "source": "guess"},
        {"name": "normals", "colour": "red"},
    ],
)
def test_wrong_options_are_refused(plugins: Plugins, reference: dict) -> None:
    with pytest.raises(ConfigError):
        plugins.build("annotator", reference)


def test_annotators_register_without_torch() -> None:
    code = (
        "import sys; from importlib import import_module as load\n"
        "for name in ('landmarks', 'segmentation', 'depth', 'normals'): load(f'synthforge_plugins.annotators.{name}')\n"
        "load('synthforge_plugins.generators.recorded')\n"
        "assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_annotation_takes_milliseconds(plugins: Plugins, ball: Ball, name: str) -> None:
    rendering, annotator = ball(size=256), plugins.build("annotator", name)
    annotator.annotate(rendering)
    times = []
    for _ in range(30):
        started = time.thread_time()
        annotator.annotate(rendering)
        times.append(time.thread_time() - started)
    assert min(times) < 10e-3
