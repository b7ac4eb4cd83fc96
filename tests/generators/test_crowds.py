"""Several people in one picture, against each of them rendered alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from synthforge_plugins.generators.anny.factors.picture import BACKGROUNDS
from synthforge_plugins.generators.anny.together.crowd import depth_of
from test_together import digests

import synthforge as sf
from synthforge import testing
from synthforge.core.errors import ConfigError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering
from synthforge.datasets.layers import layer
from synthforge.datasets.verify import verify
from synthforge.geometry.mesh_files import write_mesh

CROWD: dict[str, Any] = {"name": "anny", "crowd": {"least": 3, "most": 6, "smallest": 0.06}, "batch_size": 4}


@pytest.fixture(scope="module")
def crowd() -> tuple[Rendering, list[Rendering]]:
    """A crowd, and its people before their own cameras, in the order of its scene."""
    scene = load_plugins().build("generator", CROWD).sample(7, 2)
    (together,) = load_plugins().build("generator", CROWD).render([scene], 192)
    people = [scene.parameters, *scene.parameters["others"]]
    alone = load_plugins().build("generator", {"name": "anny", "batch_size": 4})
    return together, alone.render([replace(scene, parameters=each) for each in people], 192)


def test_workers_change_no_byte_of_a_crowd(tmp_path: Path) -> None:
    options: dict[str, Any] = {"samples": 6, "resolution": 64, "seed": 4, "shard_size": 4, "depth_scale": 1e-3}
    for workers in (1, 2):
        sf.generate(
            tmp_path / str(workers), CROWD, **options, workers=workers, annotators=["people", "depth", "normals"]
        )
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    report = verify(tmp_path / "1")
    assert report.ok, report.problems


def test_labels_of_each_are_those_of_the_person_alone(crowd: tuple[Rendering, list[Rendering]]) -> None:
    """Landmarks lie at the same pixels, poses to the camera are the same, and no more of anyone is seen than alone."""
    together, alone = crowd
    assert 3 <= len(alone) <= 6
    found = load_plugins().build("annotator", "people").annotate(together)
    ordered = sorted(alone, key=depth_of)
    assert len(found["people"]) == len(ordered)
    landmarks, pose = (load_plugins().build("annotator", name) for name in ("landmarks", "head-pose"))
    for entry, person in zip(found["people"], ordered, strict=True):
        assert np.abs(np.array(entry["landmarks2d"]) - landmarks.annotate(person)["landmarks2d"]).max() < 0.01
        for name, angle in pose.annotate(person)["head_angles"].items():
            assert entry["head_angles"][name] == pytest.approx(angle, abs=0.01)
        assert entry["depth"] == pytest.approx(depth_of(person), abs=0.12)
        assert person.surface is not None
        mine = found["instances"] == entry["id"]
        assert entry["pixels"] == mine.sum()
        assert not (mine & (person.surface.face_id < 0)).any()


def test_boxes_of_all_are_drawn(crowd: tuple[Rendering, list[Rendering]]) -> None:
    annotator = load_plugins().build("annotator", "people")
    sample = {"image": crowd[0].image, **annotator.annotate(crowd[0])}
    (marks,) = layer(sample, annotator.fields[1], annotator.fields).marks
    boxes = [entry[name] for entry in sample["people"] for name in ("face_box", "face_box_amodal") if entry[name]]
    assert len(marks.at) == len(boxes) > 2


def test_the_nearer_person_hides_the_farther(crowd: tuple[Rendering, list[Rendering]]) -> None:
    together, alone = crowd
    instances = load_plugins().build("annotator", "people").annotate(together)["instances"]
    expected = np.zeros_like(instances)
    depth = np.zeros(instances.shape, np.float32)
    for number, person in reversed(list(enumerate(sorted(alone, key=depth_of), 1))):
        assert person.surface is not None
        solid = person.surface.face_id >= 0
        expected[solid], depth[solid] = number, person.surface.z[solid]
    assert len(np.unique(expected)) >= 3
    assert np.array_equal(instances, expected)
    assert together.surface is not None
    np.testing.assert_allclose(together.surface.z, depth, rtol=1e-5)


def test_everyone_s_mesh_is_in_one_world(crowd: tuple[Rendering, list[Rendering]]) -> None:
    """The mesh of all, before the one camera, is where the maps say."""
    together, alone = crowd
    surface = together.surface
    assert surface is not None
    assert len(surface.vertices) == len(alone) * len(alone[0].surface.vertices) if alone[0].surface else False
    rows, columns = np.nonzero(surface.face_id >= 0)
    weights = surface.barycentric[rows, columns].astype(float)
    corners = surface.vertices[surface.faces[surface.face_id[rows, columns]]].astype(float)
    pixels, z = together.camera.project((corners * (weights / weights.sum(1, keepdims=True))[..., None]).sum(1))
    assert np.abs(pixels - np.stack([columns, rows], 1) - 0.5).max() < 0.02
    np.testing.assert_allclose(z, surface.z[rows, columns], rtol=1e-4)


def test_people_keep_sizes_and_distances() -> None:
    generator = load_plugins().build("generator", CROWD)
    counts = []
    for index in range(12):
        parameters = generator.sample(5, index).parameters
        places = [each["camera"] for each in (parameters, *parameters["others"])]
        counts.append(len(places))
        sizes = [each["face_fraction"] for each in places]
        assert sizes == sorted(sizes, reverse=True)
        assert 0.06 <= sizes[-1] <= sizes[0] <= 0.25
        for k, one in enumerate(places):
            for two in places[:k]:
                apart = math.hypot(one["shift_x"] - two["shift_x"], one["shift_y"] - two["shift_y"])
                assert apart > 0.7 * 0.85 * (one["face_fraction"] + two["face_fraction"])
        assert all(each["light"] is parameters["light"] for each in parameters["others"])
    assert len(set(counts)) > 1


def test_the_meshes_of_all_are_written(crowd: tuple[Rendering, list[Rendering]], tmp_path: Path) -> None:
    together, alone = crowd
    write_mesh(together, tmp_path / "crowd.obj")
    write_mesh(together, tmp_path / "crowd.glb")
    scene = trimesh.load_scene(tmp_path / "crowd.glb", process=False)
    heads = [mesh for name, mesh in scene.geometry.items() if name.startswith("head")]
    assert len(heads) == len(alone) == len(list(tmp_path.glob("crowd_head*.png")))
    for person in together.people:
        assert person.surface is not None
        middle = person.surface.vertices[: person.surface.head_vertices].mean(0)
        assert min(np.linalg.norm(mesh.vertices.mean(0) - middle) for mesh in heads) < 0.1


def test_a_portrait_is_a_crowd_of_one() -> None:
    generator = load_plugins().build("generator", "anny")
    (portrait,) = generator.render([generator.sample(1, 0)], 64)
    found = load_plugins().build("annotator", "people").annotate(portrait)
    assert len(found["people"]) == 1
    assert np.array_equal(found["instances"] > 0, portrait.surface.face_id >= 0)
    testing.check_plugin(load_plugins(), "annotator", "people", rendering=portrait)


def test_crowds_keep_the_contract_and_have_no_rig(crowd: tuple[Rendering, list[Rendering]]) -> None:
    testing.check_plugin(load_plugins(), "generator", CROWD)
    testing.check_plugin(load_plugins(), "annotator", "people", rendering=crowd[0])
    with pytest.raises(ConfigError, match="crowd"):
        load_plugins().build("generator", {**CROWD, "rig": {"kind": "stereo"}})


def test_nobody_in_the_background_lacks_labels() -> None:
    config = {**CROWD, "background": {"kind": "crowd"}}
    scene = load_plugins().build("generator", config).sample(3, 0)
    people = [scene.parameters, *scene.parameters["others"]]
    assert {person["background"]["kind"] for person in people} == {"plain"}
    assert not any(person["background"]["shapes"].any() for person in people)
    kinds = scene.drawn["background"]["kind"], scene.rendered["background"]["kind"]
    assert [BACKGROUNDS[int(kind)] for kind in kinds] == ["crowd", "plain"]
