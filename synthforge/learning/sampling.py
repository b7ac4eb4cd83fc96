"""Which samples an epoch sees: all, a random subset of a fixed budget, or an active one drawn by loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import ConfigError
from ..core.seeding import numpy_rng
from .config import SamplingConfig

#: what an endless block of epochs ends at
FOREVER = 1_000_000


class Sampling:
    """The subset of each epoch, a function of the seed, the epoch and (active) the losses seen before it.

    Active: a block of `every` epochs draws `budget` samples without replacement with probabilities
    softmax(temperature * cumulative loss); the first block is drawn uniformly (paper's released code).
    """

    def __init__(self, config: SamplingConfig, indices: Sequence[int], seed: int) -> None:
        self.config, self.seed = config, seed
        self.indices = np.asarray(indices, np.int64)
        if config.policy != "all" and config.budget > len(self.indices):
            raise ConfigError(
                f"sampling.budget: {config.budget} samples are more than the {len(self.indices)} of the training set"
            )
        size = int(self.indices.max()) + 1 if len(self.indices) else 0
        #: cumulative loss by dataset index
        self.losses = np.zeros(size, np.float64)
        self._chosen: tuple[int, np.ndarray] | None = None

    def block(self, epoch: int) -> tuple[int, int]:
        """First epoch and end of the block of epochs that share a subset with `epoch`."""
        if self.config.policy != "active":
            return 0, FOREVER
        first = epoch // self.config.every * self.config.every
        return first, first + self.config.every

    def subset(self, epoch: int) -> np.ndarray:
        """Indices the epoch sees, sorted. Drawn once a block, at its first epoch."""
        if self.config.policy == "all":
            return self.indices
        first, _ = self.block(epoch)
        if self._chosen is None or self._chosen[0] != first:
            rng = numpy_rng(self.seed, first, f"sampling/{self.config.policy}")
            chosen = rng.choice(self.indices, self.config.budget, replace=False, p=self.probabilities())
            self._chosen = (first, np.sort(chosen))
        return self._chosen[1]

    def probabilities(self) -> np.ndarray:
        """Chance of each of `indices` to be drawn first."""
        if self.config.policy != "active":
            return np.full(len(self.indices), 1.0 / len(self.indices))
        logits = self.config.temperature * self.losses[self.indices]
        # Losses grow without bound: a floor keeps as many samples drawable as the budget asks for.
        weights = np.maximum(np.exp(logits - logits.max()), 1e-12)
        return weights / weights.sum()

    def observe(self, indices: np.ndarray, losses: np.ndarray) -> None:
        """Add losses to the cumulative loss of samples; a sample that stands twice counts twice."""
        np.add.at(self.losses, indices, np.nan_to_num(losses))

    def state(self) -> dict[str, object]:
        """Plain data to go on from."""
        chosen = None if self._chosen is None else [self._chosen[0], self._chosen[1].tolist()]
        return {"losses": self.losses.tolist(), "chosen": chosen}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from `state()`."""
        self.losses = np.asarray(state["losses"], np.float64)
        chosen = state["chosen"]
        if isinstance(chosen, list):
            self._chosen = (int(chosen[0]), np.asarray(chosen[1], np.int64))


def split(count: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for validation: a seeded cut of `count` samples, each part sorted.

    At least one sample validates when fraction > 0 and there are two or more.
    """
    held = min(max(1, round(count * fraction)), count - 1) if fraction > 0 and count > 1 else 0
    order = numpy_rng(seed, 0, "split").permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])
