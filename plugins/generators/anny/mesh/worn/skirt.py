"""Clothes beyond the head model's crop: the cut edges of torso and arms are carried on, so that none is ever seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LENGTHS = (0.0, 0.06, 0.45)  # m along the body from the edge
_CANONICAL_LOW = -300.0  # mm: edges above this belong to mouth, eyes and nose


@dataclass(frozen=True)
class Skirt:
    """source (N,) vertices of the head, repeated for each length; along (N,3) m from them; faces (F,3) into the N."""

    source: np.ndarray
    along: np.ndarray
    faces: np.ndarray

    def posed(self, vertices: np.ndarray) -> np.ndarray:
        """Points (...,N,3) for posed vertices (...,V,3)."""
        return np.asarray(vertices[..., self.source, :] + self.along)


def build_skirt(mm: np.ndarray, faces: np.ndarray) -> Skirt:
    """From the open edges of the skin: canonical vertices (V,3) mm, faces (F,3)."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    code, back = edges @ [len(mm), 1], edges @ [1, len(mm)]
    open_edges = edges[~np.isin(code, back)]
    open_edges = open_edges[(mm[open_edges][..., 1] < _CANONICAL_LOW).all(1)]
    used, index = np.unique(open_edges, return_inverse=True)
    index = index.reshape(-1, 2)
    place = mm[used]
    # arms go on sideways and down, the chest and back down and a little out
    arm = np.abs(place[:, 0]) > 215
    centre = np.array([0.0, 0.0, -90.0])
    out = (place - centre) * [1, 0, 1]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    way = np.where(
        arm[:, None], [0.0, -1.0, 0.0] + 0.45 * np.sign(place[:, :1]) * [1.0, 0.0, 0.0], [0.0, -1.0, 0.0] + 0.2 * out
    )
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    count = len(used)
    quads = []
    for ring in range(len(_LENGTHS) - 1):
        a, b = index[:, 0] + ring * count, index[:, 1] + ring * count
        # an open edge runs a to b with the skin on its left; what goes on from it has it the other way round
        quads += [np.stack([b, a, a + count], 1), np.stack([b, a + count, b + count], 1)]
    return Skirt(
        np.tile(used, len(_LENGTHS)),
        np.concatenate([way * length for length in _LENGTHS]),
        np.concatenate(quads).astype(np.int32),
    )
