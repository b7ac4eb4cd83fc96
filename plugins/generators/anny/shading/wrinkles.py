"""Lines of the face as a texture over the skin: forehead and brow, folds from nose to mouth to chin, about the eyes.

Coordinates are the canonical head's (see `anatomy`), millimetres; the texture is laid out in the skin's own
coordinates, one texel a millimetre. It moves with the skin; how deep its lines are is what age and expression make it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....heads.anny.expressions import mean_actions

WIDTH, HEIGHT = 512, 256  # texels: powers of two, for kernels wrap with a mask
TEXEL = 2.0  # skin coordinates a texel
LEFT, BOTTOM = -WIDTH * TEXEL / 2, -290.0  # skin coordinates of the first texel

Line = tuple[tuple[float, float], ...]
#: (x, y) along each line on the subject's left and front, its share of the strength; drawn on both sides
FOREHEAD: tuple[tuple[Line, float], ...] = (
    (((0, 36), (12, 37), (24, 39), (36, 37), (44, 33)), 0.8),
    (((0, 45), (10, 45.5), (22, 47.5), (35, 46), (46, 41)), 1.0),
    (((0, 54), (14, 55.5), (28, 56), (40, 52)), 0.8),
    (((0, 62), (10, 62.5), (26, 63), (34, 61)), 0.4),
)
FROWN: tuple[tuple[Line, float], ...] = (
    (((5, 10), (6, 17), (6.5, 24), (9, 30)), 0.9),  # between the brows
    (((0, 6), (5, 5.5), (9, 3)), 0.4),
)
FOLDS: tuple[tuple[Line, float], ...] = (
    (((18, -33), (23, -39), (28.5, -48), (33, -57), (36, -66), (36, -72)), 1.0),
    (((31, -78), (33, -85), (34, -93), (32, -100)), 0.55),
    (((0, -84), (8, -85), (15, -87)), 0.45),  # above the chin
)
EYES: tuple[tuple[Line, float], ...] = (
    (((49, 1), (55, 5), (61, 11)), 0.7),
    (((50, -2), (57, -1), (64, 2)), 0.9),
    (((49, -5), (56, -7), (63, -9)), 0.8),
    (((46, -9), (53, -14), (59, -18)), 0.5),
    (((13, -8), (19, -15), (27, -18.5), (36, -18), (44, -14)), 1.0),  # lower edge of the bag
    (((14, -5), (20, -10), (28, -12.5), (37, -11.5)), 0.6),
    (((17, -17), (25, -24), (34, -28)), 0.4),
)
_WIDTHS = (1.0, 2.2, 0.8, 1.2)  # mm: half a line's width in each group

#: The actions whose muscles fold the skin there, and how far each does alone. Which do is FACS's (action units 1, 2, 4,
#: 6, 9, 10 and 12; Ekman, Friesen & Hager 2002). The shares are choices, by looking at renders.
ACTIONS: dict[str, dict[str, float]] = {
    "forehead": {"browInnerUp": 0.6, "browOuterUp": 0.6},
    "folds": {"mouthSmile": 0.7, "mouthUpperUp": 0.35, "noseSneer": 0.7, "cheekSquint": 0.25, "mouthStretch": 0.3},
    "crow": {"cheekSquint": 0.8, "eyeSquint": 0.6, "mouthSmile": 0.25, "eyeBlink": 0.15},
    "frown": {"browDown": 1.0, "noseSneer": 0.4},
}
_SLACK = 0.15  # of an action: skin does not fold at once


def creased(expression: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """How far an expression folds the skin of each group of lines, in [0, 1]; names: of its actions."""
    found = mean_actions(expression, names)
    return {
        group: min(sum(share * max(found.get(a, 0.0) - _SLACK, 0.0) for a, share in parts.items()) / (1 - _SLACK), 1.0)
        for group, parts in ACTIONS.items()
    }


# Coordinates along a line are a plane fitted to this many vertices of skin, weighted by a Gaussian of this width, mm.
_AROUND, _SIGMA = 24, 4.0
# Behind the foremost of them by more than this, mm, lie the walls of the mouth.
_BEHIND = 20.0


def build_wrinkles(mm: np.ndarray, normals: np.ndarray, skin_uv: np.ndarray) -> np.ndarray:
    """Texture (HEIGHT*WIDTH,4) float32: forehead, folds, eyes, between the brows.

    mm: the canonical vertices (V,3); normals: theirs (V,3); skin_uv: their skin coordinates (V,2).

    Values are shading: -1 in a line, somewhat above 0 on the skin that bulges beside it, 0 elsewhere.
    """
    front = np.flatnonzero((mm[:, 2] > -45) & (mm[:, 1] > -115) & (mm[:, 1] < 95) & (normals[:, 2] > 0.05))
    texture = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    for channel, (group, width) in enumerate(zip((FOREHEAD, FOLDS, EYES, FROWN), _WIDTHS, strict=True)):
        for line, share in group:
            for side in (1.0, -1.0):
                points = _subdivided(np.array(line, float), 2.0) * [side, 1.0]
                place = np.stack([_on_skin(point, mm[front], skin_uv[front]) for point in points])
                _draw(texture[..., channel], (place - [LEFT, BOTTOM]) / TEXEL - 0.5, share, width)
    return np.ascontiguousarray(texture.reshape(-1, 4).clip(-1, 1))


def _on_skin(point: np.ndarray, mm: np.ndarray, skin_uv: np.ndarray) -> np.ndarray:
    """Skin coordinates (2,) of a point (x, y) seen from in front."""
    offset = mm[:, :2] - point
    square = (offset**2).sum(1)
    near = np.argsort(square)[:_AROUND]
    near = near[mm[near, 2] > mm[near, 2].max() - _BEHIND]
    root = np.exp(-square[near, None] / (4 * _SIGMA**2))  # of the weights: they are squared with the residuals
    plane = np.column_stack([np.ones(len(near)), offset[near]])
    return np.asarray(np.linalg.lstsq(root * plane, root * skin_uv[near], rcond=None)[0][0])


def _subdivided(points: np.ndarray, step: float) -> np.ndarray:
    length = np.concatenate([[0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    at = np.linspace(0, length[-1], max(2, int(length[-1] / step) + 1))
    return np.stack([np.interp(at, length, points[:, k]) for k in range(2)], 1)


def _draw(channel: np.ndarray, line: np.ndarray, share: float, width: float) -> None:
    """A line (N,2) in texels, across and along, as a groove with a ridge on either side; it fades towards its ends."""
    low = np.maximum(np.floor(line.min(0)).astype(int) - 8, 0)
    high = np.minimum(np.ceil(line.max(0)).astype(int) + 9, [WIDTH, HEIGHT])
    if (high <= low).any():
        return
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    best, along = np.full(x.shape, np.inf), np.zeros(x.shape)
    for k in range(len(line) - 1):
        step = line[k + 1] - line[k]
        t = np.clip(((x - line[k, 0]) * step[0] + (y - line[k, 1]) * step[1]) / max(float(step @ step), 1e-9), 0, 1)
        distance = np.hypot(x - line[k, 0] - t * step[0], y - line[k, 1] - t * step[1])
        closer = distance < best
        best[closer], along[closer] = distance[closer], ((k + t) / (len(line) - 1))[closer]
    fade = np.clip(4 * along * (1 - along) * 1.4, 0, 1) if line[0, 0] != line[-1, 0] else 1.0
    profile = -np.exp(-((best / width) ** 2)) + 0.4 * np.exp(-(((best - 2.2 * width) / (1.2 * width)) ** 2))
    part = channel[low[1] : high[1], low[0] : high[0]]
    part += (share * fade * profile).astype(np.float32)
