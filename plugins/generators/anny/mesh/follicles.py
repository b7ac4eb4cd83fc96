"""Where short hairs may stand on the head's skin: brows, beard, scalp. Whether they do is the look's affair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import VertexAttributes

BROW, BEARD, SCALP = range(3)
COUNTS = {BROW: 1800, BEARD: 6500, SCALP: 5500}
_HAIRLINE = 14.0  # mm before the reference hairline that scalps may begin


@dataclass(frozen=True)
class Follicles:
    """Points of the skin: face (N,) int32 of the head, weights (N,3) float32, kind (N,) uint8."""

    face: np.ndarray
    weights: np.ndarray
    kind: np.ndarray


def build_follicles(
    mm: np.ndarray, faces: np.ndarray, body: np.ndarray, brow_face: np.ndarray, anatomy: VertexAttributes
) -> Follicles:
    """Evenly random points of the canonical head: vertices (V,3) mm, faces (F,3); body (F,): of skin; brow_face (F,):
    near a brow."""
    rng = np.random.default_rng(20262)
    corners = mm[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    beard = np.maximum(np.maximum(anatomy.moustache, anatomy.chin), anatomy.jaw)
    inside = anatomy.inside[faces].max(1)
    where = {
        BROW: brow_face > 0,
        BEARD: (beard[faces] > 0.05).any(1),
        # most stand about the hairline: farther in, longer hair covers them
        SCALP: (inside > -_HAIRLINE) * np.exp(-np.maximum(inside, 0.0) / 35.0),
    }
    found = []
    for kind, count in COUNTS.items():
        weight = area * where[kind] * body
        face = rng.choice(len(faces), count, p=weight / weight.sum())
        root, along = np.sqrt(rng.random(count)), rng.random(count)
        bary = np.stack([1 - root, root * (1 - along), root * along], axis=1)
        found.append((face, bary, np.full(count, kind)))
    face, bary, kinds = (np.concatenate(part) for part in zip(*found, strict=True))
    return Follicles(face.astype(np.int32), bary.astype(np.float32), kinds.astype(np.uint8))
