"""The beard's mesh: the skin that beards grow on once more, lifted off the face by the length of the hair.

Every vertex hangs from one of the head, so that a beard follows jaw and lips; what a style lacks stays in the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....schemas import SYNTHFORGE
from .anatomy import VertexAttributes

_LEAST = 0.05  # of the density: below it no hair is lifted
#: what the faces of a beard may lie in: neither lips nor mouth, nose or ears
_GROUND = ("skin", "neck")
#: canonical mm: two points whose middle the hair points away from; the root of the nose and the chin, the way down
_JAW, _ROOT, _CHIN = ((62.0, -85.0, -35.0), (-62.0, -85.0, -35.0)), (0.0, 5.0, 30.0), (0.0, -110.0, 30.0)
_MOUSTACHE_ROOT = -166.0  # texels: skin coordinate v under the nose


@dataclass(frozen=True)
class BeardMesh:
    """Topology and binding.

    - faces (F,3) int32; source (N,) int32: the vertex of the head that each hangs from;
    - strand (N,2) float32: texels across the hair, mm along it; hang (N,) in [0,1]: how far long hair falls;
    - frame (4,) int32: vertices of the head left and right in the jaw, at the root of the nose and on the chin.
    """

    faces: np.ndarray
    source: np.ndarray
    strand: np.ndarray
    hang: np.ndarray
    frame: np.ndarray


def build_beard_mesh(anatomy: VertexAttributes, faces: np.ndarray, table: np.ndarray) -> BeardMesh:
    """faces (F,3) of the head's skin; table (F,...) uint8: their regions, see `heads.anny.regions`."""
    a = anatomy
    grows = np.maximum(np.maximum(a.moustache, a.chin), a.jaw) > _LEAST
    ground = np.isin(table.reshape(len(table), -1), [SYNTHFORGE.id(name) for name in _GROUND]).any(1)
    chosen = faces[grows[faces].any(1) & ground]
    source, inverse = np.unique(chosen, return_inverse=True)
    x, y, z = a.mm[source].T.astype(np.float64)
    u, v = a.skin_uv[source].T.astype(np.float64)
    # moustaches are combed to the sides, beards fall down and a little backwards
    lip = a.moustache[source] * np.clip((y + 78.0) / 12.0, 0, 1)
    lean = np.tanh(x / 6.0) * (0.9 * lip * (v - _MOUSTACHE_ROOT) + 0.12 * (v + 200.0))
    across = u + lean
    low = np.clip((-84.0 - y) / 22.0, 0, 1)
    hang = low * low * (3 - 2 * low) * np.clip((z + 62.0) / 45.0, 0, 1) * np.clip((58.0 - np.abs(x)) / 28.0, 0, 1)
    nearest = [np.linalg.norm(a.mm[source] - point, axis=1).argmin() for point in (*_JAW, _CHIN)]
    skin = np.unique(faces)
    root = skin[np.linalg.norm(a.mm[skin] - np.array(_ROOT), axis=1).argmin()]
    frame = [*source[nearest[:2]], root, source[nearest[2]]]
    return BeardMesh(
        faces=inverse.reshape(-1, 3).astype(np.int32),
        source=source.astype(np.int32),
        strand=np.stack([across, -0.5 * v], axis=1).astype(np.float32),
        hang=hang.astype(np.float32),
        frame=np.array(frame, np.int32),
    )
