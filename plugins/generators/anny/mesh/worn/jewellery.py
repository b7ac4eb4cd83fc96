"""Earrings at the lobes: studs, hoops, drops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .slots import SLOTS, Patch, loft

#: gold, silver, pearl, stone (whose hue is drawn); linear
METALS = np.array([[0.62, 0.36, 0.09], [0.5, 0.5, 0.51], [0.78, 0.74, 0.68], [0.3, 0.3, 0.3]])
_DOWN = np.array([0.0, -1.0, 0.0])


def lobe_vertices(mm: np.ndarray, ear: np.ndarray) -> np.ndarray:
    """The vertex at the lower edge of each ear (2,), left first: canonical mm (V,3), mask (V,)."""
    found = []
    for side in (1.0, -1.0):
        near = ear & (mm[:, 0] * side > 65) & (mm[:, 2] > -86) & (mm[:, 2] < -62)
        place = np.flatnonzero(near)
        found.append(int(place[mm[place, 1].argmin()]))
    return np.array(found)


def earring_patches(
    jewellery: Mapping[str, Any], lobes: np.ndarray, frame: np.ndarray, scale: float
) -> dict[str, Patch]:
    """Earrings at lobes (2,3) metres; frame rows x, y, z of the face."""
    patches = {}
    rings, sides = SLOTS["left_earring"].rows, SLOTS["left_earring"].columns
    kind, colour = jewellery["kind"], jewellery["colour"]
    for number, (name, side) in enumerate((("left_earring", 1.0), ("right_earring", -1.0))):
        if not jewellery["worn"][number]:
            continue
        out = side * frame[0]
        lobe = lobes[number] + 0.0025 * frame[1] * scale
        if kind == "hoop":
            radius, wire = 0.001 * jewellery["hoop"], 0.001 * jewellery["wire"]
            turn = np.linspace(0, 2 * np.pi, rings)
            ahead = 0.8 * frame[2] + 0.6 * out
            ahead = ahead - _DOWN * (ahead @ _DOWN)
            ahead /= np.linalg.norm(ahead)
            line = lobe + 0.0015 * out + radius * ((1 - np.cos(turn))[:, None] * _DOWN + np.sin(turn)[:, None] * ahead)
            size = np.full(rings, wire)
            points = loft(line, size, size, out, sides)
            first = loft(line[[-2, 0, 1]], size[:3], size[:3], out, sides)[:, 1]
            points[:, 0] = points[:, -1] = first
        else:
            long = 0.001 * (jewellery["stud"] if kind == "stud" else jewellery["drop"] / 2)
            wide = 0.001 * jewellery["stud"] if kind == "stud" else min(0.45 * long, 0.005)
            start = lobe + out * (0.6 * wide + 0.0012)
            if kind == "stud":
                polar = np.linspace(0, np.pi, rings)
                line = start - np.cos(polar)[:, None] * _DOWN * long
                size = np.sin(polar) * wide
            else:  # a wire from the lobe, then the drop
                hang = 0.001 * jewellery["swing"]
                polar = np.linspace(0, np.pi, rings - 4)
                depth = np.concatenate([[0.0, 0.15 * hang, 0.6 * hang, hang], hang + long * (1 - np.cos(polar))])
                size = np.concatenate([[0.0012, 0.0006, 0.0005, 0.0005], np.maximum(np.sin(polar), 0.0) * wide])
                line = start + depth[:, None] * _DOWN
            points = loft(line, size, size, frame[2], sides)
        patches[name] = Patch(points, colour, "earring", 2.2)
    return patches
