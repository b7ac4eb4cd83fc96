"""A pipeline that takes seconds: the generator `ball` of the example third-party package, as a user's own file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

BALLKIT = Path(__file__).resolve().parents[1] / "third_party/ballkit/ballkit.py"

GENERATE = """
seed: 11
plugins: [./ballkit.py]
stages:
  dataset:
    run: generate
    generator: {name: ball}
    annotators: [segmentation, depth]
    samples: 40
    resolution: 48
    shard_size: 8
    workers: 2
"""


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    """`balls.yaml` with the plugin file beside it."""
    shutil.copy(BALLKIT, tmp_path / "ballkit.py")
    path = tmp_path / "balls.yaml"
    path.write_text(GENERATE)
    return path
