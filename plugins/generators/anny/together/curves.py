"""Smooth functions of time, from a stream of random numbers: noise in a band, and values reached one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TERMS = 8


class Noise:
    """Noise of standard deviation 1 whose frequencies lie between `low` and `high` hertz, slow ones stronger: a sum of
    sines, so that it is known at any time at once."""

    def __init__(self, rng: np.random.Generator, channels: int, low: float, high: float) -> None:
        self._rate = 2 * np.pi * rng.uniform(low, high, (channels, _TERMS))
        self._phase = rng.uniform(0, 2 * np.pi, (channels, _TERMS))
        weight = 1 / self._rate
        self._weight = weight * np.sqrt(2 / (weight**2).sum(1, keepdims=True))

    def at(self, time: float) -> np.ndarray:
        """The values (channels,) at a time in seconds."""
        return np.asarray((self._weight * np.sin(self._rate * time + self._phase)).sum(1))


def eased(share: float) -> float:
    """From 0 to 1 with the least jerk (Flash & Hogan 1985), as limbs and faces move."""
    x = min(max(share, 0.0), 1.0)
    return x * x * x * (10 + x * (6 * x - 15))


@dataclass(frozen=True)
class Keys:
    """Values (K,...) reached one after another: the change to the k-th begins at `starts[k]` and takes `lengths[k]`
    seconds; the first is there from the beginning. Changes do not overlap."""

    starts: Sequence[float]
    lengths: Sequence[float]
    values: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The value at a time in seconds."""
        k = int(np.searchsorted(np.asarray(self.starts), time, side="right")) - 1
        if k < 1:
            return np.asarray(self.values[0])
        share = eased((time - self.starts[k]) / self.lengths[k])
        return np.asarray(self.values[k - 1] + share * (self.values[k] - self.values[k - 1]))
