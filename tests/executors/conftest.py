"""The pipeline of seconds that the stages are tested with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    """`balls.yaml` with the plugin file beside it."""
    shutil.copy(ROOT / "third_party/ballkit/ballkit.py", tmp_path / "ballkit.py")
    path = tmp_path / "balls.yaml"
    path.write_text(
        "seed: 11\nplugins: [./ballkit.py]\nstages:\n  dataset: {run: generate, generator: {name: ball}, "
        "annotators: [segmentation, depth], samples: 40, resolution: 48, shard_size: 8, workers: 2}\n"
    )
    return path
