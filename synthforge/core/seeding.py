"""Randomness as a pure function of (seed, index, stream name); no global state.

Every stream is a `numpy.random.SeedSequence` keyed by the seed, the sample's index and a hash of the stream's name. So
adding a draw to one stream (such as `light`) changes no other stream (such as `identity`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_sequence(seed: int, index: int, stream: str) -> np.random.SeedSequence:
    """The root of all randomness of one stream of one sample.

    Raises ValueError for a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got seed={seed}, index={index}")
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    # the words that NumPy would make of the three numbers, in less than half the time
    return np.random.SeedSequence(np.array([*_words(seed), *_words(index), *_words(name)], np.uint32))


def _words(number: int) -> list[int]:
    """The number in 32 bits at a time, lowest first."""
    found = [number & 0xFFFFFFFF]
    while number := number >> 32:
        found.append(number & 0xFFFFFFFF)
    return found


def numpy_rng(seed: int, index: int, stream: str) -> np.random.Generator:
    """A NumPy generator for one stream of one sample."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, index, stream)))


def torch_rng(seed: int, index: int, stream: str) -> torch.Generator:
    """A CPU torch generator for one stream of one sample."""
    import torch

    state = seed_sequence(seed, index, stream).generate_state(1, np.uint64)[0]
    generator = torch.Generator(device="cpu")
    generator.manual_seed(int(state >> np.uint64(1)))
    return generator
