"""Panoramas of the user's own (HDRI): what lies behind the head, and the light that comes from there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.files import files_in
from synthforge.core.images import read_exr, read_radiance
from synthforge.core.machine import need_file

from ..factors.picture import CONVERT, PANORAMAS
from ..light.environment import basis, unit
from ..light.lamps import PENUMBRA
from ..light.palette import LUMA

_ROWS = 32  # of the small panorama that light is summed over
_SOFTEST = 5.0  # texels of shadow maps that their few taps still blur without steps
_BRIGHT, _SHARE = 20.0, 0.1  # a sun: so many times the mean, and so much of all light


class Surroundings:
    """Equirectangular panoramas (.hdr, .exr), one file or a folder of them in the order of their names.

    Raises ConfigError when there is none.
    """

    blurred = True  # by the background's blur, as what is far away

    def __init__(self, path: str, where: str) -> None:
        place = Path(path).expanduser()
        self.path, self.names = place.parent, [place.name]
        if place.is_dir():
            self.path, self.names = place, [file.name for file in files_in(place, PANORAMAS)]
        need_file(where, path, PANORAMAS, CONVERT)

    def choose(self, parameters: dict[str, Any], share: float) -> None:
        """Write the panorama, its turn, and its light into a scene's parameters, in that share of all scenes."""
        background, light = parameters["background"], parameters["light"]
        lot, number, turn = np.random.default_rng(background["place"]).random(3).tolist()
        if lot >= share:
            return
        name = self.names[int(number * len(self.names))]
        parameters["background"] = {**background, "file": name, "count": 0, "panorama_turn": 2 * math.pi * turn}
        around, sun = _light_of(self.path / name)
        # a turn about the vertical moves light and picture alike
        turned = _turned(around, 2 * math.pi * turn)
        azimuth, elevation, colour = light["azimuth"].copy(), light["elevation"].copy(), np.zeros((3, 3))
        if sun is not None:
            azimuth[0] = sun[0] + 2 * math.pi * turn - parameters["camera"]["azimuth"]
            elevation[0], colour[0] = sun[1], sun[3:]
            light = {**light, "softness": min(sun[2] / PENUMBRA, _SOFTEST)}
        lamps = {"count": int(sun is not None), "azimuth": azimuth, "elevation": elevation, "colour": colour}
        parameters["light"] = {**light, **lamps, "casting": int(sun is not None), "around": turned}

    def behind(self, background: Mapping[str, Any], look: Any, side: int, size: int) -> np.ndarray:
        """Light (side,side,3) behind the head in a picture of `size` pixels whose record is `look`; not out of focus.

        Raises DataError when the file cannot be read.
        """
        panorama, _ = _loaded(self.path / background["file"])
        scale = size / side
        x = (np.arange(side) + 0.5) * scale - 0.5
        rays = look["ray0"] + x[:, None, None] * look["ray_y"] + x[None, :, None] * look["ray_x"]
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        height, width = panorama.shape[:2]
        # the middle of the panorama lies at the azimuth of its turn; its right is the right of somebody inside it
        azimuth = background["panorama_turn"] - np.arctan2(rays[..., 0], rays[..., 2])
        u = (azimuth / (2 * math.pi) + 0.5) * width - 0.5
        v = np.clip((0.5 - np.arcsin(np.clip(rays[..., 1], -1, 1)) / math.pi) * height - 0.5, 0, height - 1)
        left, top = np.floor(u).astype(int), np.floor(v).astype(int)
        below = np.minimum(top + 1, height - 1)
        a, b = (u - left)[..., None], (v - top)[..., None]
        upper = panorama[top, left % width] * (1 - a) + panorama[top, (left + 1) % width] * a
        lower = panorama[below, left % width] * (1 - a) + panorama[below, (left + 1) % width] * a
        return np.asarray(upper * (1 - b) + lower * b, np.float32)

    def provenance(self) -> dict[str, Any]:
        """Where the panoramas are, how many, and a digest of their names and sizes."""
        listing = "\n".join(f"{name} {(self.path / name).stat().st_size}" for name in self.names)
        digest = hashlib.sha256(listing.encode()).hexdigest()
        return {"folder": str(self.path), "panoramas": len(self.names), "names_and_sizes_sha256": digest}


@lru_cache(maxsize=8)
def _loaded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A panorama (H,W,3) whose mean luminance is 1, and a small copy of it (_ROWS,2*_ROWS,3)."""
    light = (read_exr if path.suffix.lower() == ".exr" else read_radiance)(path)
    rows = np.array_split(np.arange(light.shape[0]), _ROWS)
    columns = np.array_split(np.arange(light.shape[1]), 2 * _ROWS)
    means = np.stack([light[row[0] : row[-1] + 1].mean(0) for row in rows if len(row)])
    small = np.stack([means[:, column[0] : column[-1] + 1].mean(1) for column in columns if len(column)], 1)
    weight = np.cos(_elevations(len(small)))[:, None]
    mean = float((small @ LUMA * weight).sum() / (weight.sum() * small.shape[1]))
    return light / max(mean, 1e-9), small / max(mean, 1e-9)


def _elevations(rows: int) -> np.ndarray:
    return np.asarray(math.pi * (0.5 - (np.arange(rows) + 0.5) / rows))


@lru_cache(maxsize=64)
def _light_of(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Light from everywhere, a polynomial (9,3) as in `light.environment`; and a sun: azimuth,
    elevation, radius in radians, colour.

    For a panorama whose middle lies at azimuth 0. Ramamoorthi and Hanrahan 2001: nine numbers are enough.
    """
    small = _loaded(path)[1].astype(np.float64)
    rows, columns = small.shape[:2]
    rise, turn = np.meshgrid(
        _elevations(rows), math.pi - 2 * math.pi * (np.arange(columns) + 0.5) / columns, indexing="ij"
    )
    towards = np.stack([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)], -1)
    # steradians over pi: what a white surface that faces a light of 1 from there reflects
    share = np.cos(rise) * (2 * math.pi / columns) * (math.pi / rows) / math.pi
    power = small @ LUMA * share
    peak = np.unravel_index(int(np.argmax(small @ LUMA)), power.shape)
    near = (small @ LUMA > _BRIGHT) & (towards @ towards[peak] > math.cos(0.5))
    sun = None
    if near.any() and power[near].sum() > _SHARE * power.sum():
        x, y, z = (power[near][:, None] * towards[near]).sum(0)
        colour = (small[near] * share[near][:, None]).sum(0)
        sun = np.array([math.atan2(x, z), math.atan2(y, math.hypot(x, z)), math.sqrt(share[near].sum()), *colour])
        small[near] = np.median(small[~near], axis=0)
    normals = np.stack([unit(a, e) for e in np.linspace(-1.4, 1.4, 9) for a in np.linspace(0, 2 * math.pi, 16)])
    lit = np.maximum(normals @ towards.reshape(-1, 3).T, 0) @ (small * share[..., None]).reshape(-1, 3)
    return np.linalg.lstsq(basis(normals), lit, rcond=None)[0], sun


def _turned(polynomial: np.ndarray, turn: float) -> np.ndarray:
    """The polynomial of light that is turned about the vertical, from +z towards +x."""
    c, s = math.cos(turn), math.sin(turn)
    one, x, y, z, xx, zz, xy, yz, zx = polynomial
    # a normal n sees now what the normal turned back saw: x' = c x - s z, z' = s x + c z
    terms = [one, c * x + s * z, y, c * z - s * x]
    terms += [c * c * xx + s * s * zz + c * s * zx, s * s * xx + c * c * zz - c * s * zx]
    terms += [c * xy + s * yz, c * yz - s * xy, (c * c - s * s) * zx + 2 * c * s * (zz - xx)]
    return np.stack(terms)
