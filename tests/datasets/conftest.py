"""A made-up dataset on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from made_samples import FIELDS, make_samples

from synthforge.datasets.writer import finish, write_shard

# Slow machines are no failure: the first example of a test may pay for imports.
settings.register_profile("datasets", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("datasets")


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """make_dataset(shards, count) -> folder of a finished dataset with `count` samples a shard."""

    def make(shards: int = 2, count: int = 3, name: str = "data") -> Path:
        root = tmp_path / name
        for shard in range(shards):
            write_shard(root, shard, make_samples(shard * count, count), FIELDS, config_hash="abc")
        finish(root, shards=shards, config_hash="abc", config={"samples": 6}, licences={"made up": "CC0"})
        return root

    return make
