"""Coordinates on the lashes' strips, along the lid and along the hair, from which single lashes are drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np

ROWS = 5  # of vertices, from the lid to the tips


def lash_coordinates(mm: np.ndarray, faces: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices (N,) of one strip and, for each, mm along the lid from the inner corner and the share of the hair's
    length (N,2).

    mm (V,3): canonical vertices; faces (F,3): of the strip, a grid of `ROWS` rows; centre (3,): of its eyeball.
    """
    used = np.unique(faces)
    columns = len(used) // ROWS
    rim = _rim(faces)
    distance = np.linalg.norm(mm[rim] - centre, axis=1)
    # the lashes' roots are the stretch of the rim that lies closest to the eyeball
    means = [np.roll(distance, -start)[:columns].mean() for start in range(len(rim))]
    row = set(np.roll(rim, -int(np.argmin(means)))[:columns].tolist())
    along, share = np.zeros(len(mm)), np.zeros(len(mm))
    left = set(used.tolist())
    length: np.ndarray | None = None
    for number in range(ROWS):
        ordered = np.array(sorted(row, key=lambda v: (abs(mm[v, 0]), v)))
        if length is None:
            length = np.concatenate([[0.0], np.linalg.norm(np.diff(mm[ordered], axis=0), axis=1).cumsum()])
        along[ordered] = np.interp(np.linspace(0, 1, len(ordered)), np.linspace(0, 1, len(length)), length)
        share[ordered] = number / (ROWS - 1)
        left -= row
        row = {v for face in faces[np.isin(faces, list(row)).any(1)].tolist() for v in face} & left
    return used, np.stack([along, share], axis=1)[used]


def _rim(faces: np.ndarray) -> np.ndarray:
    """Vertices of the only boundary of a patch, in order."""
    edges = [(a, b) for face in faces.tolist() for a, b in zip(face, (face[1], face[2], face[0]), strict=True)]
    count = Counter(tuple(sorted(edge)) for edge in edges)
    following = {a: b for a, b in edges if count[tuple(sorted((a, b)))] == 1}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    return np.array(loop)
