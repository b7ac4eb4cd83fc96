"""The largest channel of a map at each pixel of a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthforge.core import frames
from synthforge.core.frames import CropFrame


@given(
    scale=st.floats(0.2, 3.0),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    classes=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_the_largest_channel_is_that_of_the_interpolated_map(
    scale: float, shift: tuple[float, float], classes: int, seed: int
) -> None:
    matrix = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    frame = CropFrame(matrix, 32, (3, 2, 40, 31))
    values = torch.randn(classes, 16, 16, generator=torch.Generator().manual_seed(seed))
    top = frame.map(values).astype(np.float64)
    y, x = np.mgrid[2:31, 3:40]
    at = frames.apply(matrix, np.stack([x + 0.5, y + 0.5], -1))
    inside = ((at >= 0) & (at < 32)).all(-1)
    found = frame.largest(values)
    assert not found[~inside].any()
    first, second = np.sort(top, axis=-1)[..., -1], np.sort(top, axis=-1)[..., -2]
    sure = inside & (first - second > 1e-4)
    np.testing.assert_array_equal(found[sure], top.argmax(-1)[sure])


def test_strips_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = CropFrame(np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]), 32, (0, 0, 64, 64))
    values = torch.randn(5, 16, 16, generator=torch.Generator().manual_seed(1))
    whole = frame.largest(values)
    monkeypatch.setattr(frames, "STRIP_PIXELS", 200)
    np.testing.assert_array_equal(frame.largest(values), whole)
