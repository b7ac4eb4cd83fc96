"""`studies/peers.py`, without the peers: its geometry and its tables."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import load

PATH = Path(__file__).resolve().parents[2] / "studies/peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    return load(PATH)


def test_dlibs_box_is_undone_by_its_calibration(peers: ModuleType) -> None:
    from synthforge.prediction.detectors import to_crop_box

    assert np.allclose(to_crop_box(peers.dlib_box((10, 20, 110, 120)), "dlib"), (10, 20, 110, 120))


def test_a_table_says_how_sure_a_difference_is(peers: ModuleType) -> None:
    base = np.random.default_rng(0).normal(4, 1, (200, 2))
    lines = peers.table({"ours": base, "dlib": base + 1 + base[:, ::-1] / 100}, ["jaw"], 200, "raw")
    assert lines[0] == "| raw, 200 faces | NME | jaw |"
    assert lines[2].startswith("| SynthForge | 3.90 |")
    low, _, high = lines[4].split(" | ")[1].partition(" .. ")
    assert -1.06 < float(low) <= float(high) < -1.02
