"""Exposure: no more of a face is clipped or crushed than `film.clipped` allows, and a user may allow it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from by_path import load
from hypothesis import given
from hypothesis import strategies as st
from synthforge_plugins.generators.anny.film.develop import tone_table
from synthforge_plugins.generators.anny.film.meter import fitted

from synthforge.core.plugins import load_plugins

STUDY = load(Path(__file__).resolve().parents[2] / "studies" / "exposure.py")


def byte_of(light: float, contrast: float, shoulder: float) -> float:
    """What the tone table makes of light."""
    entry = int((math.log2(max(light, 2.0**-12)) + 12) * 128)
    return float(tone_table(contrast, shoulder)[min(max(entry, 0), 14 * 128 - 1)])


@given(st.floats(1e-5, 0.1), st.floats(0.01, 50.0), st.floats(0.5, 3.0), st.sampled_from([0.0, 0.6, 1.0]))
def test_highlights_always_fit(low: float, high: float, contrast: float, shoulder: float) -> None:
    gain, slope = fitted(low, max(high, low), contrast, shoulder)
    assert slope <= contrast
    assert byte_of(gain * max(high, low), slope, shoulder) < 254
    if gain == 1 and slope == contrast:  # nothing to do
        assert byte_of(low, contrast, shoulder) >= 1


def test_what_fits_stays_as_it_is() -> None:
    assert fitted(0.02, 0.4, 1.2, 1.0) == (1.0, 1.2)


@pytest.mark.parametrize("preset", ["in-the-wild", "driver-camera"])
def test_faces_keep_their_highlights_unless_asked_for(preset: str) -> None:
    shares = {}
    for allowed in (0.05, 1.0):
        settings = {"name": "anny", "preset": preset, "film": {"clipped": allowed}}
        generator = load_plugins().build("generator", settings, where="test")
        shares[allowed] = np.array([STUDY.outside(*face) for face in STUDY.faces_of(generator, 7, 32, 64)]).sum(1)
    assert shares[0.05].max() <= 0.05
    assert shares[1.0].max() > 0.2
    calm = shares[1.0] < 0.001
    assert calm.any()
