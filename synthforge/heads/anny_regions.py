"""Which part of the face a surface point belongs to.

The answer is a table: every triangle has its own little map of CELLS x CELLS class ids, indexed by the first two
barycentric coordinates. One look-up a pixel, no seams, and the same array serves a GPU kernel. The table is computed
once from the canonical head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.schemas import SYNTHFORGE

if TYPE_CHECKING:
    from .anny import AnnyHead

CELLS = 16
#: classes of the schema `synthforge` that the head itself can show; what it wears and grows comes after them
ANNY_REGIONS = SYNTHFORGE.classes[:19]


@dataclass(frozen=True)
class RegionTable:
    """table (F,CELLS,CELLS) uint8 class ids: face f at barycentric (a,b,c) reads table[f, int(a*CELLS), int(b*CELLS)]."""

    table: np.ndarray

    def at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 of points given by face_id (N,) and barycentric (N,3)."""
        cells = self.table.shape[1]
        first = np.minimum((barycentric[:, 0] * cells).astype(np.int32), cells - 1)
        second = np.minimum((barycentric[:, 1] * cells).astype(np.int32), cells - 1)
        return self.table.reshape(-1)[(face_id.astype(np.int32) * cells + first) * cells + second]


_BY_GROUP = {
    "body": "skin",
    "left_eye": "left_eye",
    "right_eye": "right_eye",
    "upper_teeth": "teeth",
    "lower_teeth": "teeth",
    "tongue": "tongue",
    "left_lower_lashes": "left_lid",
    "left_upper_lashes": "left_lid",
    "right_lower_lashes": "right_lid",
    "right_upper_lashes": "right_lid",
    "hair": "scalp",
}


def build_regions(head: AnnyHead) -> RegionTable:
    """The region table of a head."""
    by_group = np.array([ANNY_REGIONS.index(_BY_GROUP[name]) for name in head.group_names], np.uint8)
    flat = by_group[head.face_group]
    return RegionTable(np.broadcast_to(flat[:, None, None], (len(flat), CELLS, CELLS)).copy())
