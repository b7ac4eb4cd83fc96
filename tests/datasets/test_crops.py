"""Crops: one half-pixel convention, no bias, no aliasing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synthforge.core.schemas import IGNORE
from synthforge.datasets import crops

coordinates = st.floats(-200, 200, allow_nan=False)
sides = st.floats(4, 300)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), coordinates, coordinates, sides, sides)
affine = st.builds(
    lambda angle, scale, dx, dy: np.array(
        [
            [scale * np.cos(angle), -scale * np.sin(angle), dx],
            [scale * np.sin(angle), scale * np.cos(angle), dy],
        ]
    ),
    st.floats(-np.pi, np.pi),
    st.floats(0.1, 10),
    coordinates,
    coordinates,
)


def blob(height: int, width: int, x: float, y: float, sigma: float) -> np.ndarray:
    """A Gaussian dot whose centre of mass is the continuous point (x, y)."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    value = 250 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(value).astype(np.uint8)[..., None], 3, axis=2)


def centre_of_mass(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(np.float64)
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()


def test_a_box_whose_centre_is_beyond_all_numbers_has_no_square() -> None:
    with pytest.raises(ValueError, match="no square"):
        crops.square_box((1e308, 0.0, 1.5e308, 1.0))


@given(boxes, st.floats(0.5, 3))
def test_square_box_is_square_centred_and_scaled(box: crops.Box, scale: float) -> None:
    x0, y0, x1, y1 = crops.square_box(box, scale)
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert x1 - x0 == pytest.approx(scale * max(box[2] - box[0], box[3] - box[1]))
    assert (x0 + x1, y0 + y1) == pytest.approx((box[0] + box[2], box[1] + box[3]), abs=1e-9)


@given(affine, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_invert_is_the_inverse(matrix: np.ndarray, points: list[tuple[float, float]]) -> None:
    there = crops.apply(matrix, np.array(points))
    np.testing.assert_allclose(crops.apply(crops.invert(matrix), there), points, atol=1e-8)


@given(boxes, st.integers(1, 512))
def test_corners_of_the_box_become_corners_of_the_crop(box: crops.Box, size: int) -> None:
    corners = crops.apply(crops.box_matrix(box, size), np.array([box[:2], box[2:]]))
    np.testing.assert_allclose(corners, [[0, 0], [size, size]], atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(60, 100),
    st.floats(60, 100),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.floats(70, 300),
    st.sampled_from([48, 64, 101, 256]),
    st.booleans(),
)
def test_a_dot_lands_where_the_matrix_says(
    x: float, y: float, dx: float, dy: float, side: float, size: int, antialias: bool
) -> None:
    """The prototype was half a pixel off at every scale; here the dot's centre of mass decides."""
    sigma = max(4.0, 2 * side / size)
    image = blob(160, 160, x, y, sigma)
    box = (x + dx - side / 2, y + dy - side / 2, x + dx + side / 2, y + dy + side / 2)
    wide = 5 * sigma  # only dots that lie wholly inside both frames have a comparable centre of mass
    assume(min(x, y, 160 - x, 160 - y) > wide and side / 2 - max(abs(dx), abs(dy)) > wide)
    cut, matrix = crops.crop(image, box, size, antialias)
    error = centre_of_mass(cut) - crops.apply(matrix, np.array([x, y]))
    assert np.abs(error).max() < 0.06


def test_no_constant_bias_over_many_positions() -> None:
    """Mean offset over random sub-pixel positions and scales: zero, not half a pixel."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        x, y = rng.uniform(70, 90, 2)
        side = rng.uniform(100, 150)
        image = blob(160, 160, x, y, 5.0)
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        cut, matrix = crops.crop(image, box, int(rng.integers(64, 200)))
        errors.append(centre_of_mass(cut) - crops.apply(matrix, np.array([x, y])))
    assert np.abs(np.mean(errors, axis=0)).max() < 5e-3


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("padding", ["zero", "edge"])
def test_the_whole_image_at_its_own_size_is_itself(antialias: bool, padding: crops.Padding) -> None:
    image = np.random.default_rng(1).integers(0, 256, (37, 37, 3), dtype=np.uint8)
    cut, matrix = crops.crop(image, (0, 0, 37, 37), 37, antialias, padding)
    np.testing.assert_array_equal(cut, image)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("antialias", [True, False])
def test_an_integer_shift_moves_pixels_unchanged(antialias: bool) -> None:
    image = np.random.default_rng(2).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cut, _ = crops.crop(image, (7, 5, 27, 25), 20, antialias)
    np.testing.assert_array_equal(cut, image[5:25, 7:27])


def test_padding_outside_of_the_image() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    zero, _ = crops.crop(image, (-20, -20, 20, 20), 40)
    assert zero[:19, :19].max() == 0
    assert zero[21:, 21:].min() == 200
    edge, _ = crops.crop(image, (-20, -20, 20, 20), 40, padding="edge")
    assert edge.min() == 200
    nothing, _ = crops.crop(image, (100, 100, 120, 120), 8)
    assert nothing.max() == 0


def test_downscaling_does_not_alias() -> None:
    """A one-pixel checkerboard is grey from afar; point sampling would return stripes."""
    ys, xs = np.mgrid[:1031, :1031]
    board = np.repeat((((xs + ys) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    smooth, _ = crops.crop(board, (100.3, 90.7, 900.3, 890.7), 128)
    assert np.abs(smooth.astype(float) - 127.5).max() < 4
    rough, _ = crops.crop(board, (100.3, 90.7, 900.3, 890.7), 128, antialias=False)
    assert rough.std() > smooth.std() + 10


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (5, 5, 1, 10), (0, 0, float("nan"), 4), (0, 0, 1e6, 1e6)])
def test_absurd_boxes_are_refused(box: crops.Box) -> None:
    with pytest.raises(ValueError, match="box"):
        crops.crop(np.zeros((8, 8, 3), np.uint8), box, 4)


@settings(max_examples=50, deadline=None)
@given(affine, st.integers(4, 40))
def test_warp_label_reads_the_label_under_each_centre(matrix: np.ndarray, size: int) -> None:
    label = np.random.default_rng(3).integers(0, 20, (31, 47)).astype(np.uint8)
    got = crops.warp_label(label, matrix, size)
    back = crops.invert(matrix)
    for row in range(0, size, 3):
        for column in range(0, size, 3):
            x, y = np.floor(crops.apply(back, np.array([column + 0.5, row + 0.5])))
            inside = 0 <= x < 47 and 0 <= y < 31
            assert got[row, column] == (label[int(y), int(x)] if inside else IGNORE)


def test_warp_label_agrees_with_and_without_rotation_path() -> None:
    rng = np.random.default_rng(4)
    label = rng.integers(0, 20, (60, 50)).astype(np.uint8)
    for size in (7, 20, 61):
        x, y, side = rng.uniform(-20, 30), rng.uniform(-20, 30), rng.uniform(10, 80)
        matrix = crops.box_matrix((x, y, x + side, y + side), size)
        tilted = matrix + np.array([[0, 1e-13, 0], [1e-13, 0, 0]])
        np.testing.assert_array_equal(crops.warp_label(label, matrix, size), crops.warp_label(label, tilted, size))


def test_cropping_is_fast() -> None:
    image = np.random.default_rng(5).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    best = min(_seconds(image) for _ in range(10))
    assert best < 0.01  # 1-2 ms; the margin is for a busy machine


def _seconds(image: np.ndarray) -> float:
    start = time.perf_counter()
    crops.crop(image, (40.5, 60.2, 440.5, 460.2), 256)
    return time.perf_counter() - start
