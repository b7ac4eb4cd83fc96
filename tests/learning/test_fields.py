"""Maps moved with a batch are read where torch's own sampling reads them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthforge_plugins.schemas import SYNTHFORGE
from torch.nn import functional

from synthforge.core.records import Field
from synthforge.core.schemas import IGNORE
from synthforge.learning import augment
from synthforge.learning.fields import Moved, plan_field
from synthforge.learning.policies import POLICIES


@pytest.mark.parametrize(("source", "size"), [(48, 48), (62, 48)])
def test_labels_and_depth_are_read_as_grid_sample_reads(source: int, size: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [augment.draw(POLICIES["strong"], np.random.default_rng(i), margin=1.3) for i in range(12)]
    numbers = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
    grid = augment.sampling_grid(numbers["matrix"], size)
    hidden = augment.erased(numbers, size)
    moved = Moved(numbers["matrix"], grid, numbers["flip"] > 0, hidden)
    label = torch.from_numpy(rng.integers(0, len(SYNTHFORGE), (12, source, source)).astype(np.uint8))
    depth = torch.from_numpy(rng.uniform(0.5, 1, (12, source, source)).astype(np.float32))

    def sampled(x: torch.Tensor) -> torch.Tensor:
        return functional.grid_sample(x[:, None], grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]

    seen = sampled(label.float() + 1).long() - 1
    wanted = torch.where((seen < 0) | hidden, IGNORE, seen)
    table = torch.from_numpy(SYNTHFORGE.mirror.astype(np.int64))
    wanted = torch.where(moved.flipped[:, None, None], table[wanted], wanted)
    found = plan_field(Field("segmentation", "label", schema="synthforge")).move(label, moved)["label"]
    assert found.dtype == torch.int64
    assert moved.flipped.any()
    assert not moved.flipped.all()
    assert (wanted == IGNORE).any()
    assert torch.equal(found, wanted)
    answer = plan_field(Field("depth", "depth")).move(depth, moved)
    assert torch.equal(answer["depth"][:, 0], sampled(depth))
    assert torch.equal(answer["mask"][:, 0], (sampled(depth) > 0) & ~hidden)
