"""Meshes as files, read back by trimesh: the head where it was, its texture's colours, and the rest with colours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh
from click.testing import CliRunner
from scipy.spatial import cKDTree

import synthforge as sf
from synthforge.cli.main import cli
from synthforge.core.errors import DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering
from synthforge.geometry.mesh_files import write_mesh


@pytest.fixture(scope="module")
def rendering() -> Rendering:
    generator = load_plugins().build("generator", {"name": "anny", "hat": {"present": 1}})
    (found,) = generator.render([generator.sample(7, 2)], 64)
    assert isinstance(found, Rendering)
    return found


def parts(path: Path) -> dict[str, trimesh.Trimesh]:
    options = {"split_objects": True, "group_material": False} if path.suffix == ".obj" else {}
    scene = trimesh.load_scene(path, process=False, **options)
    return dict(scene.geometry)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_a_mesh_is_read_back_as_it_was(rendering: Rendering, tmp_path: Path, suffix: str) -> None:
    write_mesh(rendering, tmp_path / f"face{suffix}")
    surface, found = rendering.surface, parts(tmp_path / f"face{suffix}")
    assert surface is not None
    head, rest = found["head"], found["rest"]
    # what the camera sees is in the file
    seen = np.unique(surface.face_id[surface.face_id >= 0])
    centres = surface.vertices[surface.faces[seen]].mean(1)
    written = np.concatenate([head.triangles_center, rest.triangles_center])
    gap, _ = cKDTree(written).query(centres)
    assert (gap < 1e-5).mean() > 0.97
    assert head.triangles_center[:, 1].max() < rest.triangles_center[:, 1].max()  # the hat
    texture = head.visual.material.baseColorTexture if suffix == ".glb" else head.visual.material.image
    assert texture.size == (1024, 1024)


def test_the_texture_has_the_colours_of_the_picture(rendering: Rendering, tmp_path: Path) -> None:
    """Albedo of pixels that show the head is that of their place in the texture."""
    write_mesh(rendering, tmp_path / "face.glb")
    texture = np.asarray(parts(tmp_path / "face.glb")["head"].visual.material.baseColorTexture.convert("RGB"), float)
    surface, head = rendering.surface, rendering.head
    assert surface is not None
    assert head is not None
    assert head.uv is not None
    assert head.uv_faces is not None
    assert rendering.layers is not None
    layers = rendering.layers()
    pixels = np.flatnonzero((rendering.labels["synthforge"] == 1).ravel() & (layers.mattes["hair"].ravel() == 0))
    weights = surface.barycentric.reshape(-1, 3)[pixels]
    u, v = (head.uv[head.uv_faces[surface.face_id.ravel()[pixels]]] * weights[..., None]).sum(1).T
    found = texture[((1 - v) * 1024).astype(int), (u * 1024).astype(int)]
    linear = layers.albedo.reshape(-1, 3)[pixels]
    assert np.median(np.abs(found - 255 * (1.055 * linear ** (1 / 2.4) - 0.055))) < 4


def test_without_layers_the_camera_s_colours_are_taken(rendering: Rendering, tmp_path: Path) -> None:
    write_mesh(dataclasses.replace(rendering, layers=None), tmp_path / "face.glb")
    texture = np.asarray(parts(tmp_path / "face.glb")["head"].visual.material.baseColorTexture.convert("RGB"))
    grey = (texture == 128).all(-1) | (texture == 127).all(-1)
    assert 0.2 < grey.mean() < 0.98
    with pytest.raises(DataError, match="no mesh"):
        write_mesh(dataclasses.replace(rendering, surface=None), tmp_path / "none.glb")


def test_show_writes_the_mesh_of_a_sample(tmp_path: Path) -> None:
    sf.generate(tmp_path / "faces", "anny", samples=2, resolution=32, seed=7, annotators=["landmarks"], workers=1)
    command = ["show", str(tmp_path / "faces"), "--first", "1", "--out", str(tmp_path / "face.obj")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    points = sf.open_dataset(tmp_path / "faces", ["landmarks3d"])[1]["landmarks3d"]
    vertices = parts(tmp_path / "face.obj")["head"].vertices
    nearest = np.linalg.norm(points[:, None] - vertices[None], axis=2).min(1)
    assert nearest.max() < 0.01  # vertices of the jaw lie that far apart
    assert np.median(nearest) < 0.003
