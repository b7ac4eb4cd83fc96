"""Where things lie on the canonical head: hairline, beard, brows, blush; computed once for the mesh.

Coordinates are the canonical head's, in millimetres from the midpoint between the eyeball centres: x to the subject's
left, y up, z forward. The canonical head is a young adult whose eyes are 63 mm apart; anthropometric means (Farkas,
"Anthropometry of the Head and Face", 1994) are close to it. As the mesh deforms, everything moves along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The hairline: height (y, mm) by azimuth (radians) about the skull's axis, 0 in front, the same on both sides. From the
# middle of the forehead over the temple and down in front of the ear, around the ear and down to the nape.
HAIRLINE_AZIMUTH = np.array([0.0, 0.35, 0.62, 0.85, 1.05, 1.25, 1.45, 1.7, 1.95, 2.2, 2.6, 3.1416])
HAIRLINE_HEIGHT = np.array([74.0, 76.0, 68.0, 44.0, 12.0, -12.0, 12.0, 14.0, -12.0, -48.0, -66.0, -70.0])

SKULL_CENTRE = np.array([0.0, 20.0, -80.0])
CROWN = np.array([0.0, 1.0, -0.22]) / np.hypot(1.0, 0.22)  # where strands spread from: up and a little back


@dataclass(frozen=True)
class VertexAttributes:
    """Static numbers per vertex of the head (V,...), float32.

    mm: canonical position. azimuth about the crown's axis. inside: mm above the reference hairline. temple, front:
    weights of hairline changes at the temples and the forehead. moustache, chin, jaw: in [0, 1], where a beard of that
    kind grows; jaw_height: mm below the upper edge of a full beard on the cheek. blush, socket, oily, shadow
    (of the eyes, painted), bag: in [0, 1].
    collar: mm above the collar bones. skin_uv: texture coordinates in texels.
    """

    mm: np.ndarray
    azimuth: np.ndarray
    inside: np.ndarray
    temple: np.ndarray
    front: np.ndarray
    moustache: np.ndarray
    chin: np.ndarray
    jaw: np.ndarray
    jaw_height: np.ndarray
    blush: np.ndarray
    socket: np.ndarray
    oily: np.ndarray
    shadow: np.ndarray
    bag: np.ndarray
    collar: np.ndarray
    skin_uv: np.ndarray


def canonical_millimetres(rest: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Rest vertices (V,3) in metres to millimetres from the midpoint of the eyeball centres (2,3)."""
    return (np.asarray(rest, np.float64) - np.asarray(eyes, np.float64).mean(0)) * 1000.0


def skull_frame() -> np.ndarray:
    """Rows: left, front and crown directions of the skull (3,3), orthonormal."""
    left = np.array([1.0, 0.0, 0.0])
    return np.stack([left, np.cross(left, CROWN), CROWN])


def azimuth_of(mm: np.ndarray) -> np.ndarray:
    """Angle (...) about the crown's axis of points (...,3): 0 in front, positive to the subject's left."""
    local = (mm - SKULL_CENTRE) @ skull_frame().T
    return np.asarray(np.arctan2(local[..., 0], local[..., 1]))


def hairline_height(azimuth: np.ndarray) -> np.ndarray:
    """Height y of the reference hairline, mm, at an azimuth in radians."""
    return np.interp(np.abs(azimuth), HAIRLINE_AZIMUTH, HAIRLINE_HEIGHT)


def _ramp(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _bump(*terms: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-sum(t * t for t in terms)))


def build_vertex_attributes(mm: np.ndarray, ear: np.ndarray) -> VertexAttributes:
    """Evaluate the tables on the canonical vertices (V,3), mm; ear (V,): 1 on the ears."""
    x, y, z = mm.T
    side = np.abs(x)
    azimuth = azimuth_of(mm)
    around = np.abs(azimuth)
    line = hairline_height(azimuth)
    slope = (hairline_height(around + 0.02) - hairline_height(around - 0.02)) / (0.04 * 90.0)
    inside = (y - line) / np.sqrt(1 + slope**2)

    # A full beard: from the sideburn down to the corner of the mouth, along the jaw and a little down the neck.
    upper_edge = np.interp(z, [-75, -55, -30, 0, 20], [-5, -32, -58, -72, -82])
    jaw_height = upper_edge - y
    below_jaw = np.interp(z, [-75, -40, 0, 20], [-95, -112, -128, -128])
    jaw = _ramp(-12, 4, y - below_jaw + 8) * _ramp(-88, -62, z)
    moustache = _ramp(-70, -65, y) * _ramp(-52, -57, y) * _ramp(31, 26, side) * (z > 5)
    # its ends come down to the corners of the mouth; from there on it is the chin's beard that meets it
    strip = _ramp(24, 27, side) * _ramp(36, 31, side) * _ramp(-58, -64, y) * (z > 0)
    moustache = np.maximum(moustache, strip * _ramp(-80, -70, y))
    chin = _ramp(31, 24, side) * _ramp(-86, -92, y) * (z > -25)
    chin = np.maximum(chin, strip * (y > -95))
    chin = np.maximum(chin, _ramp(8, 5, side) * _ramp(-82, -86, y) * (z > 0))
    # beards end on the throat, and none grows on ears: their lobes hang into the sideburns
    bare = (1.0 - ear) * _ramp(-142, -128, y)
    moustache, chin, jaw = moustache * bare, chin * bare, jaw * bare

    blush = _bump((side - 42) / 16, (y + 36) / 15) * (z > -30) + 0.8 * _bump(x / 10, (y + 40) / 10) * (z > 20)
    blush = np.maximum(blush, 0.7 * _bump((side - 78) / 12, (y + 20) / 30, (z + 85) / 25))
    socket = _bump((side - 29) / 17, (y + 9) / 8) * (z > -15) + 0.6 * _bump((side - 20) / 9, (y - 6) / 9) * (z > -15)
    oily = _bump(x / 40, (y - 50) / 25) + _bump(x / 9, (y + 20) / 30) + 0.5 * _bump((side - 40) / 14, (y + 30) / 14)
    oily = np.clip(oily * (z > -20), 0, 1)
    # where eye shadow goes, from the lid's rim towards the brow; the crescent under the lower lid
    shadow = _bump((side - 33) / 15, (y - 8) / 7) * (z > -15) * _ramp(-3, 1, y)
    bag = _bump((side - 28) / 13, (y + 15 - 0.012 * (side - 28) ** 2) / 4.5) * (z > -15)

    # 2 texels a millimetre at the face: around the head's vertical axis; down the face, under the chin, down the neck
    skin_uv = np.stack([np.arctan2(x, z + 70.0) * 170.0, 2.0 * (y - 0.6 * z)], axis=1)
    values = {
        "mm": mm,
        "azimuth": azimuth,
        "inside": inside,
        "temple": _bump((around - 0.62) / 0.3),
        "front": _ramp(1.1, 0.8, around),
        "moustache": moustache,
        "chin": chin,
        "jaw": jaw,
        "jaw_height": jaw_height,
        "blush": np.clip(blush, 0, 1),
        "socket": np.clip(socket, 0, 1),
        "oily": oily,
        "shadow": np.clip(shadow, 0, 1),
        "bag": np.clip(bag, 0, 1),
        "collar": y + 190.0 - 0.0012 * side**2 + 0.25 * (z + 60),
        "skin_uv": skin_uv,
    }
    return VertexAttributes(**{name: np.ascontiguousarray(value, np.float32) for name, value in values.items()})
