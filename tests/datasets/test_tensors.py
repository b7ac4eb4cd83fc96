from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from synthforge.core.camera import Camera
from synthforge.core.errors import DataError
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.tensors import CameraArrays, Dataset


def test_torchs_own_collate_batches_everything_that_is_read(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=2, count=3)
    dataset, stored = Dataset(root), ShardDataset(root)
    batch = next(iter(DataLoader(dataset, batch_size=6)))
    assert batch["key"] == stored.keys()
    assert {item.name for item in dataset.fields} <= set(batch)
    for item in dataset.fields:
        assert isinstance(batch[item.name], torch.Tensor)
        for row in range(6):
            assert np.array_equal(batch[item.name][row].numpy(), stored[row][item.name], equal_nan=item.kind != "flags")
    camera = batch["camera"]
    assert isinstance(camera, CameraArrays)
    assert camera.intrinsics.shape == (6, 3, 3)
    one = Camera(*(value[4].numpy() for value in camera))
    assert one == Camera.from_json(stored[4]["camera"])


def test_only_what_is_named_is_read(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=1, count=1)
    assert set(Dataset(root, ["depth"])[0]) == {"key", "depth"}
    assert "parameters" in Dataset(root, ["scene"])[0]["scene"]
    with pytest.raises(DataError, match="no field 'dpeth'"):
        Dataset(root, ["dpeth"])
    with pytest.raises(DataError, match="is not a dataset"):
        Dataset(root / "nothing")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_gives_every_sample_once_whatever_the_workers(make_dataset: Callable[..., Path], workers: int) -> None:
    dataset = Dataset(make_dataset(shards=3, count=2), ["image"])
    keys = [item["key"] for item in dataset]
    loader = DataLoader(dataset.stream(), batch_size=None, num_workers=workers)
    found = [item["key"] for item in loader]
    assert sorted(found) == keys
    assert workers or found == keys


def test_a_shuffled_stream_depends_on_its_seed_alone(make_dataset: Callable[..., Path]) -> None:
    dataset = Dataset(make_dataset(shards=3, count=4), ["image"])
    first, again, other = ([i["key"] for i in dataset.stream(shuffle=True, seed=seed)] for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == sorted(other) == [item["key"] for item in dataset]
