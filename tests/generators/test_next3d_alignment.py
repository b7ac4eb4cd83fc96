"""A known place of the head in a volume is found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.generators.next3d.alignment import (
    PUBLISHED,
    Affine,
    fit_affine,
    read_alignment,
    refine,
    write_alignment,
)

from synthforge.core.errors import AssetError

RADII = np.array([0.075, 0.115, 0.095])


def egg(count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Front half of an ellipsoid: points and normals (N,3), metres."""
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions[:, 2] = np.abs(directions[:, 2]) + 0.2
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    normals = directions / RADII
    return directions * RADII, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def density_of(truth: Affine, level: float = 20.0) -> object:
    """Solid inside the moved ellipsoid, with a soft skin a hundredth wide."""
    inverse = np.linalg.inv(truth.matrix)

    def density(points: torch.Tensor) -> torch.Tensor:
        rest = (points.double().numpy() - truth.offset) @ inverse.T
        return torch.from_numpy(level / (1 + np.exp((np.linalg.norm(rest / RADII, axis=1) - 1) / 0.01)))

    return density


@pytest.mark.parametrize(
    "truth",
    [
        Affine(np.diag([2.6, 2.35, 2.5]), np.array([0.004, 0.03, 0.09])),
        Affine(np.diag([2.45, 2.5, 2.4]), np.array([-0.006, 0.015, 0.11])),
    ],
)
def test_a_known_map_is_recovered_from_the_density(truth: Affine) -> None:
    points, normals = egg()
    found, residuals = refine(points, normals, density_of(truth), PUBLISHED)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=0.01)
    np.testing.assert_allclose(found.offset, truth.offset, atol=0.001)
    assert residuals.median < 5e-4
    assert residuals.met > 0.9 * residuals.of
    before = np.abs(PUBLISHED(points) - truth(points)).max()
    assert np.abs(found(points) - truth(points)).max() < 0.1 * before


def test_an_empty_volume_leaves_the_map_alone() -> None:
    points, normals = egg(200)
    found, residuals = refine(points, normals, lambda p: torch.zeros(len(p)), PUBLISHED)
    assert found is PUBLISHED
    assert residuals.met == 0
    assert residuals.of == 200


@pytest.mark.parametrize("diagonal", [False, True])
def test_pairs_give_their_affine_map_in_spite_of_outliers(diagonal: bool) -> None:
    rng = np.random.default_rng(1)
    matrix = np.diag([2.5, 2.4, 2.6]) + (0 if diagonal else 0.05 * rng.normal(size=(3, 3)))
    truth = Affine(matrix, np.array([0.01, 0.02, 0.1]))
    source = rng.normal(size=(100, 3)) * 0.08
    target = truth(source)
    target[:5] += 0.5
    found = fit_affine(source, target, diagonal=diagonal, trim=0.1)
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=1e-6)
    np.testing.assert_allclose(found.offset, truth.offset, atol=1e-6)
    with pytest.raises(ValueError, match="one plane"):
        fit_affine(source * [1, 1, 0], target)


def test_kept_maps_come_back_and_others_are_refused(tmp_path: Path) -> None:
    write_alignment(tmp_path / "a.json", PUBLISHED)
    found = read_alignment(tmp_path / "a.json")
    np.testing.assert_array_equal(found.matrix, PUBLISHED.matrix)
    np.testing.assert_array_equal(found.offset, PUBLISHED.offset)
    for text in ("{}", "[]", '{"matrix": [[1,0,0],[0,1,0],[0,0,-1]], "offset": [0,0,0]}', '{"matrix": 1, "offset": 2}'):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(AssetError, match="alignment"):
            read_alignment(tmp_path / "b.json")
