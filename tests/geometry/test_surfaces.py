"""Meshes, normals, occlusion tests, shadows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.geometry.meshes import (
    Incidence,
    grid,
    icosphere,
    vertex_normals,
)
from synthforge.geometry.raster import RasterError
from synthforge.geometry.visibility import ambient_occlusion, light_visibility

SIZE = 96


def tensors(*meshes: tuple[np.ndarray, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Several meshes as one: vertices (1, V, 3), faces (F, 3)."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    vertices = np.concatenate([vertices for vertices, _ in meshes])
    faces = np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=False)])
    return torch.tensor(vertices)[None], torch.tensor(faces)


def moved(mesh: tuple[np.ndarray, np.ndarray], x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    return mesh[0] + np.array([x, y, z], dtype=np.float32), mesh[1]


def edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (E, 2) of vertices that share an edge, and how many triangles each lies in."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(pairs, axis=0, return_counts=True)


@pytest.mark.parametrize("subdivisions", [0, 1, 3])
def test_icospheres_are_closed_round_and_face_outwards(subdivisions: int) -> None:
    vertices, faces = icosphere(subdivisions, 0.5)
    assert len(faces) == 20 * 4**subdivisions
    pairs, shared = edges(faces)
    assert len(vertices) - len(pairs) + len(faces) == 2  # Euler
    assert (shared == 2).all()
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 0.5, rtol=1e-6)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()


def test_grids_are_open_and_face_forward() -> None:
    vertices, faces = grid(3, 2, 0.6, 0.2)
    assert len(faces) == 12
    assert (edges(faces)[1] == 1).sum() == 2 * (3 + 2)
    np.testing.assert_allclose(vertices.min(0), [-0.3, -0.1, 0], atol=1e-7)
    normals = vertex_normals(torch.tensor(vertices), torch.tensor(faces))
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 12, atol=1e-6)


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_vertex_normals_are_the_area_weighted_sum(seed: int) -> None:
    random = np.random.default_rng(seed)
    vertices = random.normal(size=(2, 12, 3))
    faces = np.array([random.choice(12, 3, replace=False) for _ in range(9)])
    expected = np.zeros_like(vertices)
    for a, b, c in faces:
        face = np.cross(vertices[:, b] - vertices[:, a], vertices[:, c] - vertices[:, a])
        for corner in (a, b, c):
            expected[:, corner] += face
    lengths = np.linalg.norm(expected, axis=-1, keepdims=True)
    points, triangles = torch.tensor(vertices), torch.tensor(faces)
    normals = vertex_normals(points, triangles)
    unused = np.setdiff1d(np.arange(12), faces)
    assert (normals[:, unused] == 0).all()
    clear = lengths[..., 0] > 0.01  # where faces cancel, float32 decides nothing
    np.testing.assert_allclose(normals.numpy()[clear], (expected / lengths.clip(1e-9))[clear], atol=1e-4)
    assert torch.equal(vertex_normals(points, triangles, Incidence(triangles, 12)), normals)


def test_a_plate_shades_the_plane_below_it_and_nothing_else() -> None:
    plane, plate = grid(40, 40, 0.4, 0.4), moved(grid(2, 2, 0.1, 0.1), 0, 0, 0.1)
    vertices, faces = tensors(plane, plate)
    lights = torch.tensor([[0.0, 0, 1], [1.0, 0, 1]])
    lit = light_visibility(vertices, faces, lights)
    assert lit.shape == (1, 2, vertices.shape[1])
    below = vertices[0, : len(plane[0])]
    texel = 0.012  # two texels of the default map, metres
    for index, shift in enumerate((0.0, -0.1)):  # 45 degrees move the shadow by the plate's height
        distance = torch.maximum((below[:, 0] - shift).abs(), below[:, 1].abs())
        values = lit[0, index, : len(below)]
        assert (values[distance < 0.05 - texel] < 0.05).all()
        assert (values[distance > 0.05 + texel] > 0.95).all()
    assert (lit[0, :, len(below) :] > 0.95).all()
    assert lit.min() >= 0
    assert lit.max() <= 1


def test_shadows_do_not_depend_on_the_rest_of_the_batch() -> None:
    vertices, faces = tensors(icosphere(2, 0.1), moved(icosphere(2, 0.05), 0.1, 0.1, 0.1))
    light = torch.tensor([[0.5, 0.6, 0.7]])
    alone = light_visibility(vertices, faces, light)
    batch = light_visibility(torch.cat([vertices * 3, vertices]), faces, light)
    np.testing.assert_allclose(batch[1], alone[0], atol=1e-6)
    np.testing.assert_allclose(batch[0], alone[0], atol=2e-3)  # nor on the size of the mesh


def test_a_lit_sphere_does_not_shade_itself() -> None:
    vertices, faces = tensors(icosphere(4, 0.1))
    direction = torch.nn.functional.normalize(torch.tensor([[0.3, 0.5, 0.8]]), dim=-1)
    lit = light_visibility(vertices, faces, direction)[0, 0]
    cosine = vertex_normals(vertices, faces)[0] @ direction[0]
    assert lit[cosine > 0.35].min() > 0.99
    assert lit[cosine < -0.35].max() < 0.01
    assert 0.05 < lit[cosine.abs() < 0.05].mean() < 0.95  # soft in between


def test_ambient_occlusion_darkens_corners_only() -> None:
    vertices, faces = tensors(icosphere(3, 0.1))
    assert ambient_occlusion(vertices, faces).min() > 0.95  # convex: nothing in the way
    floor = grid(20, 20, 0.4, 0.4)
    upright = floor[0][:, [0, 2, 1]], floor[1][:, ::-1]  # facing +y
    wall = moved(upright, 0, -0.2, 0.2)
    corner, joined = tensors(floor, wall)
    openness = ambient_occlusion(corner, joined, n_directions=96)[0, : len(floor[0])]
    y = corner[0, : len(floor[0]), 1]
    x = corner[0, : len(floor[0]), 0].abs()
    middle = x < 0.1
    near, far = openness[middle & (y < -0.15) & (y > -0.19)], openness[middle & (y > 0.15)]
    assert near.mean() < 0.75  # an infinite wall takes half of a corner's sky
    assert far.mean() > 0.9


def test_wrong_arguments_are_named() -> None:
    vertices, faces = tensors(icosphere(0, 0.1))
    with pytest.raises(RasterError, match="zero or not finite"):
        light_visibility(vertices, faces, torch.zeros(1, 3))
    with pytest.raises(RasterError, match="directions must"):
        light_visibility(vertices, faces, torch.ones(2, 1, 3))
    with pytest.raises(RasterError, match="at least 16"):
        light_visibility(vertices, faces, torch.ones(1, 3), resolution=4)
    with pytest.raises(RasterError, match="at least 8"):
        ambient_occlusion(vertices, faces, n_directions=2)
