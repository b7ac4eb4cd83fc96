"""Where accessories live in the scene's mesh: grids of fixed topology, filled with whatever a person wears or holds.

A grid has columns and rows; its outside is where (row direction) x (column direction) points. Rows at one place make an
edge sharp, since normals are not shared across it. What is absent stays at the origin, inside the head, as faces
without area: nothing is drawn of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PARTS = 2  # lofts of a thing held
SIDES, RINGS = 10, 12  # around and along a loft
ABSENT = 2  # in the mask of dead vertices: not part of this picture


@dataclass(frozen=True)
class Slot:
    """A grid; first: its first vertex, counted from the accessories' first; wraps: the last column meets the first."""

    columns: int
    rows: int
    wraps: bool
    first: int

    @property
    def run(self) -> slice:
        """Its vertices."""
        return slice(self.first, self.first + self.columns * self.rows)

    def faces(self) -> np.ndarray:
        """(F,3) into the accessories' vertices."""
        cells = [(c, r) for c in range(self.columns if self.wraps else self.columns - 1) for r in range(self.rows - 1)]
        column, row = np.array(cells).T
        a = self.first + column * self.rows + row
        b = self.first + (column + 1) % self.columns * self.rows + row
        return np.concatenate([np.stack([a, a + 1, b + 1], 1), np.stack([a, b + 1, b], 1)]).astype(np.int32)


def _layout() -> dict[str, Slot]:
    shapes: dict[str, tuple[int, int, bool]] = {
        "hat": (57, 22, False),
        "neck": (41, 17, False),
        "mask": (19, 13, False),
        "left_loop": (5, 8, True),
        "right_loop": (5, 8, True),
        "left_earring": (8, 13, True),
        "right_earring": (8, 13, True),
        "chain": (5, 37, True),
        **{f"part{i}": (SIDES, RINGS, True) for i in range(PARTS)},
    }
    slots, first = {}, 0
    for name, (columns, rows, wraps) in shapes.items():
        slots[name] = Slot(columns, rows, wraps, first)
        first += columns * rows
    return slots


SLOTS = _layout()
NUM_VERTICES = max(slot.run.stop for slot in SLOTS.values())
FACES = np.concatenate([slot.faces() for slot in SLOTS.values()])

# what the surface shows besides its colour, see `fragments.shade_worn`
PLAIN, KNIT, SKIN = range(3)
WEAVES = 32  # a vertex's kind is its class plus this times its weave


@dataclass
class Patch:
    """The contents of one slot.

    points (C,R,3) world metres; colour (3,) or (C,R,3) linear. label: a class of the schema `synthforge`. gloss:
    strength of highlights. weave: one of PLAIN, KNIT, SKIN with strength `pattern` at texture coordinates uv
    (C,R,2), texels or, for ribs, turns. Colours carry what light folds and hollows keep out.
    """

    points: np.ndarray
    colour: np.ndarray
    label: str
    gloss: float = 0.3
    weave: int = PLAIN
    pattern: float = 0.0
    uv: np.ndarray | None = None


def loft(
    centres: np.ndarray, wide: np.ndarray, deep: np.ndarray, across: np.ndarray, sides: int = SIDES, power: float = 2.0
) -> np.ndarray:
    """Rings around a line: (sides,R,3). centres (R,3); wide, deep (R,): half axes along `across` ((3,) or (R,3)) and
    perpendicular to it and the line; power: 2 makes ellipses, more makes boxes."""
    tangent = np.gradient(centres, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    first = np.broadcast_to(across, centres.shape)
    first = first - tangent * (first * tangent).sum(1, keepdims=True)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(first, tangent)
    angle = np.arange(sides) / sides * 2 * np.pi
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    if power != 2.0:
        cos = np.sign(cos) * np.abs(cos) ** (2 / power)
        sin = np.sign(sin) * np.abs(sin) ** (2 / power)
    return np.asarray(centres + first * cos * wide[:, None] + second * sin * deep[:, None])
