"""Randomness is a pure function of (seed, index, stream)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthforge.core.seeding import numpy_rng, torch_rng

numbers = st.integers(0, 2**40)


@given(numbers, numbers)
def test_same_key_same_draws(seed: int, index: int) -> None:
    assert numpy_rng(seed, index, "light").random(4).tolist() == numpy_rng(seed, index, "light").random(4).tolist()


@given(numbers, numbers)
def test_streams_seeds_and_indices_are_independent(seed: int, index: int) -> None:
    draws = {
        numpy_rng(s, i, name).random()
        for s, i, name in (
            (seed, index, "light"),
            (seed, index, "skin"),
            (seed + 1, index, "light"),
            (seed, index + 1, "light"),
        )
    }
    assert len(draws) == 4


def test_the_numbers_do_not_drift_between_versions() -> None:
    # Parameters are promised to be bit-identical everywhere; this pins them.
    assert numpy_rng(7, 3, "identity").integers(0, 2**32, 3).tolist() == [3103801043, 2944309176, 3999887423]


def test_torch_streams_follow_the_same_key() -> None:
    import torch

    first = torch.rand(3, generator=torch_rng(1, 2, "jitter"))
    assert torch.equal(first, torch.rand(3, generator=torch_rng(1, 2, "jitter")))
    assert not torch.equal(first, torch.rand(3, generator=torch_rng(1, 3, "jitter")))


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        numpy_rng(-1, 0, "light")
