"""Rotations and linear blend skinning: exact at zero, inverse of each other, blind to where the world's axes lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthforge.heads.skinning import axis_angle, bone_transforms, rodrigues, skin

PARENTS = (-1, 0, 1, 1)
vectors = arrays(np.float64, 3, elements=st.floats(-1.8, 1.8, allow_subnormal=False))
seeds = st.integers(0, 2**32 - 1)


def _chain(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vertices (2,9,3), weights (9,4), joints (2,4,3) and rotations (2,4,3,3) drawn from a seed."""
    rng = np.random.default_rng(seed)
    weights = torch.as_tensor(rng.dirichlet(np.ones(4), 9))
    vertices, joints = torch.as_tensor(rng.normal(size=(2, 9, 3))), torch.as_tensor(rng.normal(size=(2, 4, 3)))
    return vertices, weights, joints, rodrigues(torch.as_tensor(rng.normal(size=(2, 4, 3))))


@given(vectors)
def test_rodrigues_gives_rotations(vector: np.ndarray) -> None:
    rotation = rodrigues(torch.as_tensor(vector))
    np.testing.assert_allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert torch.linalg.det(rotation) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(rotation @ torch.as_tensor(vector), torch.as_tensor(vector), atol=1e-9, rtol=0)


@given(vectors)
def test_axis_angle_inverts_rodrigues(vector: np.ndarray) -> None:
    turn = torch.as_tensor(vector)
    if turn.norm() < math.pi - 1e-3:
        np.testing.assert_allclose(axis_angle(rodrigues(turn)), turn, atol=1e-7, rtol=0)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.6, 0.0, 0.8)])
def test_axis_angle_of_half_turns(axis: tuple[float, float, float]) -> None:
    rotation = rodrigues(math.pi * torch.tensor(axis, dtype=torch.float64))
    np.testing.assert_allclose(rodrigues(axis_angle(rotation)), rotation, atol=1e-9, rtol=0)


def test_rodrigues_turns_by_the_right_hand() -> None:
    turned = rodrigues(torch.tensor([0.0, math.pi / 2, 0.0])) @ torch.tensor([0.0, 0.0, 1.0])
    np.testing.assert_allclose(turned, torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)


def test_rodrigues_has_a_gradient_at_zero() -> None:
    turn = torch.zeros(3, requires_grad=True)
    (rodrigues(turn)[2, 1]).backward()
    assert turn.grad is not None
    assert turn.grad.tolist() == [1.0, 0.0, 0.0]


@given(seeds)
@settings(max_examples=20)
def test_no_rotation_leaves_the_rest_pose(seed: int) -> None:
    vertices, weights, joints, rotations = _chain(seed)
    still = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    np.testing.assert_allclose(skin(vertices, weights, bone_transforms(still, joints, PARENTS)), vertices, atol=1e-12)


@given(seeds, vectors)
@settings(max_examples=30)
def test_skinning_is_rigidly_equivariant(seed: int, vector: np.ndarray) -> None:
    """Moving vertices and joints together, with each bone's axes turned along, moves the posed mesh the same way."""
    vertices, weights, joints, rotations = _chain(seed)
    turn, shift = rodrigues(torch.as_tensor(vector)), torch.tensor([0.3, -2.0, 1.1], dtype=torch.float64)
    posed = skin(vertices, weights, bone_transforms(rotations, joints, PARENTS))
    moved = skin(
        vertices @ turn.T + shift,
        weights,
        bone_transforms(turn @ rotations @ turn.T, joints @ turn.T + shift, PARENTS),
    )
    np.testing.assert_allclose(moved, posed @ turn.T + shift, atol=1e-9, rtol=0)


def test_a_single_bone_turns_about_its_joint() -> None:
    joint = torch.tensor([[[1.0, 0.0, 0.0]]])
    transform = bone_transforms(rodrigues(torch.tensor([[[0.0, 0.0, math.pi / 2]]])), joint, (-1,))
    posed = skin(torch.tensor([[[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]), torch.ones(2, 1), transform)
    np.testing.assert_allclose(posed, torch.tensor([[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]), atol=1e-6, rtol=0)


def test_children_before_parents_are_refused() -> None:
    with pytest.raises(ValueError, match="before its parent"):
        bone_transforms(torch.eye(3).expand(1, 2, 3, 3), torch.zeros(1, 2, 3), (1, -1))
