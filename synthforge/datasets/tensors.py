"""A dataset for torch: samples that a DataLoader's own collate function can batch, by index or shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils import data

from ..core.camera import Camera
from ..core.records import Field
from .members import Clip, Groups
from .reader import ShardDataset


class CameraArrays(NamedTuple):
    """A camera as arrays, so that cameras can be batched; `core.camera.Camera(*arrays)` is the camera.

    width, height: pixels; intrinsics: (3,3) float64 pixels; world_to_camera: (4,4) float64, metres, OpenCV axes.
    """

    width: int
    height: int
    intrinsics: np.ndarray
    world_to_camera: np.ndarray


class Dataset(data.Dataset[dict[str, Any]]):
    """A finished dataset, sample by sample: a dict of arrays by field name.

    `key`: the sample's; `image` (H,W,3) uint8 sRGB and every other field as `core.records.Field` says; `camera`:
    `CameraArrays`. Fields of free form (`json`, and `scene`: every parameter of the sample) come only when named, and
    cannot be batched. fields: names to read, None for all that can be batched; what is left out costs nothing.
    skip_damaged: give the next sound sample instead of raising. Raises DataError, naming shard and key.
    """

    def __init__(self, root: Path | str, fields: Sequence[str] | None = None, *, skip_damaged: bool = False) -> None:
        if fields is None:
            known = ShardDataset(root, [], skip_damaged=skip_damaged).all_fields
            fields = [item.name for item in known if item.kind != "json"] + ["camera"]
        self.shards = ShardDataset(root, fields, skip_damaged=skip_damaged)

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        return self.shards.root

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is read of each sample: name, kind, unit, frame and schema."""
        return self.shards.fields

    @property
    def manifest(self) -> dict[str, Any]:
        """How the dataset was made: configuration, versions, licences, checksums."""
        return self.shards.manifest

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.shards[index]
        item = {"key": sample.pop("__key__"), **sample}
        if "camera" in item:
            camera = Camera.from_json(item["camera"])
            item["camera"] = CameraArrays(
                camera.width, camera.height, camera.intrinsics.copy(), camera.world_to_camera.copy()
            )
        return item

    def groups(self) -> Groups:
        """The scenes that several samples show together, as clips: the cameras of a rig, the frames of a clip. In a
        dataset of single pictures every sample is a group."""
        return Groups(self, self.shards)

    def clip(self, number: int) -> Clip:
        """The samples of one group by its place: `dataset.clip(3)[7]` opens a frame, `for frame in dataset.clip(3)`
        streams them, `dataset.clip(3).view(1)` is what one camera sees. Raises IndexError for one that is not there."""
        clip: Clip = self.groups()[number]
        return clip

    def stream(self, *, shuffle: bool = False, seed: int = 0) -> Stream:
        """The same samples shard by shard, for datasets that are too large for random access.

        shuffle: shards, and the samples within each, in an order of their own for each seed. The workers of a
        DataLoader share the shards.
        """
        return Stream(self, shuffle, seed)


class Stream(data.IterableDataset[dict[str, Any]]):
    """Samples of a dataset shard by shard, see `Dataset.stream`."""

    def __init__(self, dataset: Dataset, shuffle: bool, seed: int) -> None:
        self.dataset, self.shuffle, self.seed = dataset, shuffle, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = data.get_worker_info()
        order = np.random.default_rng(self.seed)
        spans = self.dataset.shards.spans
        if self.shuffle:
            spans = [spans[i] for i in order.permutation(len(spans))]
        for number, span in enumerate(spans):
            indices = order.permutation(span) if self.shuffle else span
            if worker is None or number % worker.num_workers == worker.id:
                yield from (self.dataset[int(index)] for index in indices)
