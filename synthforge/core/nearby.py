"""Samples near another one: its random numbers, perturbed stream by stream.

A scene is a function of random streams, so a scene near it is the same function of streams near them. Every number is
transformed to a standard normal z and moved by z' = sqrt(1 - s^2) z + s e. This is the step of preconditioned
Crank-Nicolson (Cotter et al., "MCMC Methods for Functions", Statistical Science 28, 2013). Two things follow for every
distribution. A moved value never leaves the declared support. Children of parents drawn from the declared distribution
have that distribution, too: only the choice of parents changes it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .seeding import numpy_rng

# The uniform numbers nearest to 0 and 1 that have a normal one.
_LEAST, _MOST = 2.0**-54, 1.0 - 2.0**-53


@dataclass(frozen=True)
class Origin:
    """Where a sample's randomness comes from: its (seed, index) alone, or a parent's, moved by `spread`.

    spread: 0 is the parent itself, 1 is independent of it; standard normal numbers have correlation sqrt(1 - spread^2)
    with the parent's. attempt: number of the try for this index, after filters rejected earlier ones; each has separate
    streams.
    """

    seed: int
    index: int
    parent: Origin | None = None
    spread: float = 0.0
    attempt: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.spread <= 1:
            raise ValueError(f"spread lies between 0 (the parent itself) and 1 (independent), got {self.spread}")

    def stream(self, name: str) -> np.random.Generator:
        """The random numbers of one stream: `seeding.numpy_rng`, near those of the parent where there is one."""
        attempt = f"{self.attempt}/" if self.attempt else ""
        if self.parent is None:
            return numpy_rng(self.seed, self.index, attempt + name)
        fresh = numpy_rng(self.seed, self.index, f"{attempt}near/{name}")
        return NearbyStream(self.parent.stream(name), fresh, self.spread)

    def to_json(self) -> dict[str, Any]:
        """As stored in a sample's record."""
        record: dict[str, Any] = {"seed": self.seed, "index": self.index}
        if self.attempt:
            record["attempt"] = self.attempt
        if self.parent is not None:
            record |= {"spread": self.spread, "parent": self.parent.to_json()}
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Origin:
        """The origin in a sample's `scene` record. Raises KeyError or TypeError if it has none."""
        parent = record.get("parent")
        return Origin(
            int(record["seed"]),
            int(record["index"]),
            Origin.from_json(parent) if parent else None,
            float(record["spread"]) if parent else 0.0,
            int(record.get("attempt", 0)),
        )


class NearbyStream(np.random.Generator):
    """Draws near those of `parent`: uniform, normal, log-normal, beta and Dirichlet numbers are moved by `spread`.

    Every other kind of draw (keys, permutations) is drawn independently; the parent's stream is advanced as well, so
    that later draws stay aligned.
    """

    def __init__(self, parent: np.random.Generator, fresh: np.random.Generator, spread: float) -> None:
        super().__init__(fresh.bit_generator)
        self._parent, self._fresh, self._spread = parent, fresh, spread
        self._keep = math.sqrt(1 - spread**2)

    def _moved(self, parent: Any, fresh: Any) -> Any:
        """Uniform numbers in [0, 1) near the parent's."""
        from scipy.special import ndtr, ndtri

        if self._spread == 0:
            return parent
        z = self._keep * ndtri(np.clip(parent, _LEAST, _MOST)) + self._spread * ndtri(np.clip(fresh, _LEAST, _MOST))
        moved = np.clip(ndtr(z), _LEAST, _MOST)
        return moved if np.ndim(moved) else float(moved)

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """See NumPy."""
        return self._moved(self._parent.random(size), self._fresh.random(size))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """See NumPy."""
        shape = np.broadcast_shapes(np.shape(low), np.shape(high)) if size is None else size
        return low + (np.subtract(high, low)) * self.random(shape if shape != () else None)

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """See NumPy."""
        return self._keep * self._parent.standard_normal(size) + self._spread * self._fresh.standard_normal(size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """See NumPy."""
        shape = np.broadcast_shapes(np.shape(loc), np.shape(scale)) if size is None else size
        return loc + scale * self.standard_normal(shape if shape != () else None)

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Any:
        """See NumPy."""
        return np.exp(self.normal(mean, sigma, size))

    def beta(self, a: Any, b: Any, size: Any = None) -> Any:
        """See NumPy."""
        return self._moved_beta(a, b, self._parent.beta(a, b, size), self._fresh.beta(a, b, size))

    def _moved_beta(self, a: Any, b: Any, parent: Any, fresh: Any) -> Any:
        from scipy.special import betainc, betaincinv

        if self._spread == 0:
            return parent
        return betaincinv(a, b, self._moved(betainc(a, b, parent), betainc(a, b, fresh)))

    def dirichlet(self, alpha: Any, size: Any = None) -> Any:
        """See NumPy. Moved share by share, by the stick-breaking construction with beta numbers."""
        alpha = np.asarray(alpha, float)
        parent, fresh = self._parent.dirichlet(alpha, size), self._fresh.dirichlet(alpha, size)
        if self._spread == 0:
            return parent
        shares = np.zeros_like(parent)
        left, of_parent, of_fresh = (np.ones(parent.shape[:-1]) for _ in range(3))
        for k in range(len(alpha) - 1):
            broken = [
                np.clip(value[..., k] / np.maximum(rest, 1e-300), 0, 1)
                for value, rest in ((parent, of_parent), (fresh, of_fresh))
            ]
            shares[..., k] = left * self._moved_beta(alpha[k], alpha[k + 1 :].sum(), *broken)
            of_parent, of_fresh = of_parent - parent[..., k], of_fresh - fresh[..., k]
            left = np.maximum(1 - shares[..., : k + 1].sum(-1), 0)
        shares[..., -1] = left
        return shares


def _fresh_draw(name: str) -> Any:
    def method(self: NearbyStream, *args: Any, **kwargs: Any) -> Any:
        getattr(self._parent, name)(*copy.deepcopy(args), **copy.deepcopy(kwargs))
        return getattr(self._fresh, name)(*args, **kwargs)

    method.__name__ = name
    return method


_MOVED = ("random", "uniform", "standard_normal", "normal", "lognormal", "beta", "dirichlet")
for _name in dir(np.random.Generator):
    if not _name.startswith("_") and _name not in (*_MOVED, "bit_generator", "spawn"):
        setattr(NearbyStream, _name, _fresh_draw(_name))
