"""Faces as training batches: crops framed as the benchmarks frame them, cut in workers, augmented on the device.

A batch is a flat dict of tensors that the default collation can make. Everything random in it is a pure function of
(seed, epoch, index), for any number of workers, devices or restarts.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from ..core.errors import ConfigError, DataError
from ..core.interfaces import Benchmark, TargetPlan, Task
from ..core.records import Field, RealItem
from ..core.schemas import IGNORE
from ..core.seeding import numpy_rng
from ..datasets import crops
from . import augment
from .config import FramingConfig
from .fields import Moved, plan_tasks

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """An image (H,W,3) uint8, the face box (x0, y0, x1, y1) in its pixels, and its fields by name."""

    image: np.ndarray
    box: tuple[float, float, float, float]
    values: Mapping[str, np.ndarray]


class Examples(Protocol):
    """A sequence of faces."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class SyntheticFaces:
    """Faces of a `ShardDataset` (or anything like it); the box is tight around the finite landmarks, where it has any.

    Raises DataError with the key of a sample that has no two of them, or whose box is off its image or far too large.
    """

    def __init__(self, dataset: Any, names: Sequence[str], box_field: str = "") -> None:
        self.dataset, self.names, self.box_field = dataset, tuple(names), box_field

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Example:
        sample = self.dataset[index]
        image = sample["image"]
        box: tuple[float, float, float, float] = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        if self.box_field:
            points = np.asarray(sample[self.box_field])
            points = points[np.isfinite(points).all(-1)]
            if len(points) < 2 or not np.ptp(points, axis=0).any():
                raise DataError(
                    f"sample {sample.get('__key__', index)}: no two finite points of its field '{self.box_field}' "
                    "differ, so no face can be cut out",
                    hint="Leave the sample out, or generate it again.",
                )
            box = crops.tight_box(points)
            x0, y0, x1, y1 = box
            apart = min(x1, y1) <= 0 or x0 >= image.shape[1] or y0 >= image.shape[0]
            if apart or max(x1 - x0, y1 - y0) > crops.MAX_SIDE / 4:  # a crop is up to four times as large
                raise DataError(
                    f"sample {sample.get('__key__', index)}: the points of its field '{self.box_field}' span "
                    f"{x0:.5g}, {y0:.5g} to {x1:.5g}, {y1:.5g}, which is no face of its {image.shape[1]} x "
                    f"{image.shape[0]} pixels",
                    hint="Leave the sample out, or generate it again.",
                )
        return Example(image, box, {name: sample[name] for name in self.names})


def needed_fields(tasks: Iterable[Task], *manifests: Mapping[str, Any]) -> list[str]:
    """Names of the fields that synthetic faces are read with: images, points for the face box, what tasks learn from.

    manifests: of the datasets, whose shared fields count. The points are the first of the first dataset.
    """
    shared = set.intersection(*({item["name"] for item in manifest["fields"]} for manifest in manifests))
    points = [f["name"] for f in manifests[0]["fields"] if f["kind"] == "points2d" and f["name"] in shared]
    return sorted(shared & {"image", *points[:1], *(name for task in tasks for name in task.fields)})


def fields_of(dataset: Any) -> dict[str, Field]:
    """The fields of a dataset by name."""
    fields = dataset.fields
    return dict(fields) if isinstance(fields, Mapping) else {item.name: item for item in fields}


def synthetic_faces(
    dataset: Any, tasks: Mapping[str, Task], *, where: str
) -> tuple[SyntheticFaces, dict[str, TargetPlan], dict[str, tuple[str, ...]]]:
    """The faces of a dataset with what tasks, by name, learn from: faces, plans by field, fields by task.

    where: for messages. Raises DataError when the dataset lacks what a task learns from.
    """
    fields = fields_of(dataset)
    plans, members = plan_tasks(fields, tasks, where=where)
    points = [item.name for item in fields.values() if item.kind == "points2d"]
    return SyntheticFaces(dataset, list(plans), points[0] if points else ""), plans, members


class RealFaces:
    """Faces of a benchmark split, each with one field `target`; where its mask does not hold, labels are ignored."""

    def __init__(self, benchmark: Benchmark, items: Sequence[RealItem]) -> None:
        self.benchmark, self.items = benchmark, list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Example:
        sample = self.benchmark.load(self.items[index])
        target = sample.target
        if sample.mask is not None and target.shape[:2] == sample.mask.shape:
            outside = IGNORE if target.dtype == np.uint8 else 0
            mask = sample.mask.reshape(*sample.mask.shape, *(1,) * (target.ndim - 2))
            target = np.where(mask, target, np.asarray(outside, target.dtype))
        return Example(sample.image, sample.box, {"target": target})


def real_field(benchmark: Benchmark, task: Task) -> Field:
    """The field that a benchmark's targets are, for the task it scores."""
    return Field("target", task.kind, schema=benchmark.schema)


class CropDataset(Dataset[dict[str, np.ndarray]]):
    """Crops of `size` pixels (`margin` times that when augmented) with their fields and drawn augmentation.

    Indexed by (epoch, index). Without a policy there is no augmentation and no margin. cache_bytes: memory that keeps
    cut crops between epochs, shared with forked workers.
    """

    def __init__(
        self,
        faces: Examples,
        plans: Mapping[str, TargetPlan],
        size: int,
        framing: FramingConfig,
        *,
        policy: augment.Policy | None = None,
        seed: int = 0,
        cache_bytes: int = 0,
    ) -> None:
        self.faces, self.plans, self.size, self.framing = faces, dict(plans), size, framing
        self.policy, self.seed = policy, seed
        self.margin = framing.margin if policy else 1.0
        self.source = 2 * round(size * self.margin / 2) if policy else size
        self._cache = _Cache(len(faces), cache_bytes) if cache_bytes and len(faces) else None

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, np.ndarray]:
        epoch, index = place
        item = dict(self._crop(index))
        frame = item.pop("frame")
        item["index"] = np.asarray(index, np.int64)
        if self.policy is not None:
            # Epochs are spread over the stream's name: the seed sequence takes one index.
            rng = numpy_rng(self.seed, index, f"augment/{epoch}")
            f = self.framing
            drawn = augment.draw(
                self.policy,
                rng,
                margin=float(frame[0]),
                offset=(float(frame[1]), float(frame[2])),
                jitter_shift=f.jitter_shift,
                jitter_scale=f.jitter_scale,
                wide=(f.wide[0], f.wide[1]),
            )
            item["image"] = augment.degrade(item["image"], drawn, self.size)
            item |= {f"draw/{name}": value for name, value in drawn.items()}
        return item

    def reserve(self) -> None:
        """Take the memory of the cache now, before workers are forked, so that they share it."""
        if self._cache is not None:
            self._crop(0)

    def _crop(self, index: int) -> dict[str, np.ndarray]:
        if self._cache is not None:
            kept = self._cache.get(index)
            if kept is not None:
                return kept
        face = self.faces[index]
        square = crops.square_box(face.box, self.framing.crop_scale)
        if self.policy is None:
            image, matrix = crops.crop(face.image, square, self.source)
            item = {"image": image, "frame": np.array([1.0, 0.0, 0.0])}
        else:
            # Whole pixels, never enlarged: cutting is a copy or a fast reduction. The remaining transform to `square`
            # is the first factor of the drawn matrix, so that small images are resampled once.
            wide = crops.pixel_box(crops.square_box(face.box, self.framing.crop_scale * self.margin), self.source)
            whole, _ = crops.crop(face.image, wide, round(wide[2] - wide[0]))
            matrix = crops.box_matrix(wide, self.source)
            image = whole if len(whole) == self.source else augment.resized(whole, self.source)
            item = {"image": image, "frame": _seen_from(wide, square)}
        item |= {f"field/{n}": p.cut(face.values[n], matrix, self.source) for n, p in self.plans.items()}
        if self._cache is not None:
            self._cache.put(index, item)
        return item


def _seen_from(box: crops.Box, other: crops.Box) -> np.ndarray:
    """Side of a square box and its centre (x, y) in the unit frame of another square, (3,) float64."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = box, other
    side = u1 - u0
    return np.array([x1 - x0, x0 + x1 - u0 - u1, y0 + y1 - v0 - v1]) / side


class _Cache:
    """Arrays by index in anonymous shared memory: filled by whichever forked worker comes first."""

    def __init__(self, count: int, limit: int) -> None:
        self.count, self.limit = count, limit
        self.arrays: dict[str, np.ndarray] = {}
        self.filled = np.frombuffer(mmap.mmap(-1, count), np.uint8)

    def allocate(self, example: Mapping[str, np.ndarray]) -> None:
        """Reserve memory for as many items like `example` as the limit allows; call before workers are forked."""
        size = sum(value.nbytes for value in example.values())
        self.count = min(self.count, self.limit // max(size, 1))
        for name, value in example.items():
            if self.count:
                memory = mmap.mmap(-1, self.count * max(value.nbytes, 1))
                shape = (self.count, *value.shape)
                self.arrays[name] = np.frombuffer(memory, value.dtype, count=int(np.prod(shape))).reshape(shape)

    def get(self, index: int) -> dict[str, np.ndarray] | None:
        if index >= self.count or not self.filled[index]:
            return None
        return {name: array[index] for name, array in self.arrays.items()}

    def put(self, index: int, item: Mapping[str, np.ndarray]) -> None:
        if not self.arrays:
            self.allocate(item)
        if index < self.count:
            for name, value in item.items():
                self.arrays[name][index] = value
            self.filled[index] = 1  # last: a reader never sees half an item


def prepare(
    batch: Batch, plans: Mapping[str, TargetPlan], size: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, dict[str, dict[str, torch.Tensor]]]:
    """Move a batch to the device and augment it: images (B,3,size,size) in [0,1], and targets by field name."""
    # Wide numbers stay on the CPU: they decide which kernels run.
    numbers = {name[5:]: value for name, value in batch.items() if name.startswith("draw/")}
    images = batch["image"].to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    count = len(images)
    if numbers:
        matrix = numbers["matrix"].to(device)
        grid = augment.sampling_grid(matrix, size)
        images = augment.photometric(augment.warp(images, grid).div_(255.0), numbers)
        hidden = augment.erased(numbers, size).to(device)
        moved = Moved(matrix, grid, numbers["flip"].to(device) > 0, hidden)
    else:
        images = images.div_(255.0)
        matrix = torch.eye(3, device=device).expand(count, 3, 3)
        none = torch.zeros(count, dtype=torch.bool, device=device)
        grid = augment.sampling_grid(matrix, size)
        moved = Moved(matrix, grid, none, none[:, None, None].expand(count, size, size))
    targets = {n: p.move(batch[f"field/{n}"].to(device, non_blocking=True), moved) for n, p in plans.items()}
    return images, targets


def task_targets(
    targets: Mapping[str, Mapping[str, torch.Tensor]], members: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, torch.Tensor]]:
    """Targets by field to targets by task, whose fields are `members`."""
    return {task: {k: v for name in names for k, v in targets[name].items()} for task, names in members.items()}


class EpochBatches:
    """Batches of (epoch, index) for one of `world` processes, the same samples for any number of them.

    Epoch follows epoch, each with every sample once, in an order that (seed, epoch) decides alone. Batch b is the b-th
    `batch_size` of that sequence: one that the end of an epoch cuts goes on in the next. Its samples stand by index,
    and process `rank` takes the `rank`-th part of them, so that it mostly meets the same samples and shards again.

    Iterates from batch `start`, counted from the begin of epoch `first`, to the end of epoch `last - 1`; what is left
    there and fills no batch is dropped. Of few samples a batch has no more than there are.

    spans: where the samples of each shard lie among the dataset's indices. With them an epoch takes the shards in a
    random order, `together` at a time, and shuffles the samples of these. So each shard is read once. Any place of the
    sequence is found without what stands before it.
    """

    def __init__(
        self,
        indices: Sequence[int] | np.ndarray,
        batch_size: int,
        seed: int,
        *,
        first: int = 0,
        last: int = 1,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        spans: Sequence[range] = (),
        together: int = 1,
    ) -> None:
        self.indices = np.asarray(indices, np.int64)
        self.seed, self.first, self.last, self.start = seed, first, last, start
        self.batch_size = max(1, min(batch_size, len(self.indices)) // world) * world
        share = self.batch_size // world
        self.mine = slice(rank * share, (rank + 1) * share)
        self.spans, self.together = spans, together

    def before(self, epoch: int) -> int:
        """Batches, from the begin of epoch `first`, that are whole when `epoch` begins."""
        return (epoch - self.first) * len(self.indices) // self.batch_size

    def __len__(self) -> int:
        return max(0, self.before(self.last) - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        sequence = self._sequence(self.start * self.batch_size)
        for _ in range(len(self)):
            yield sorted(itertools.islice(sequence, self.batch_size))[self.mine]

    def _sequence(self, place: int) -> Iterator[tuple[int, int]]:
        """(epoch, index) without end, from a place on."""
        passed, skip = divmod(place, max(len(self.indices), 1))
        for epoch in itertools.count(self.first + passed):
            for name, part in self._parts(epoch):
                if skip < len(part):
                    order = numpy_rng(self.seed, epoch, name).permutation(len(part))
                    yield from ((epoch, int(index)) for index in part[order[skip:]])
                skip = max(0, skip - len(part))

    def _parts(self, epoch: int) -> Iterator[tuple[str, np.ndarray]]:
        """What is shuffled as one, with the name of its random numbers."""
        if not self.spans:
            yield "order", self.indices
            return
        cuts = np.searchsorted(self.indices, [*(span.start for span in self.spans), self.spans[-1].stop])
        order = numpy_rng(self.seed, epoch, "shards").permutation(len(self.spans))
        for low in range(0, len(order), self.together):
            shards = [self.indices[cuts[i] : cuts[i + 1]] for i in order[low : low + self.together]]
            yield f"order/{low}", np.concatenate(shards)


def shard_spans(dataset: Any) -> list[range]:
    """Where the samples of each shard of a dataset lie among its indices. Raises ConfigError where it has no shards."""
    spans: list[range] | None = getattr(dataset, "spans", None)
    if spans is None:
        raise ConfigError("sampling.shards: this dataset has no shards", hint="Leave it at 0.")
    return spans
