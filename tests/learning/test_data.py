from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from blobs import BlobBenchmark, Blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from synthforge.core.errors import ConfigError, DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field
from synthforge.core.schemas import IGNORE
from synthforge.learning import augment
from synthforge.learning.config import FramingConfig, SamplingConfig
from synthforge.learning.data import (
    CropDataset,
    EpochBatches,
    RealFaces,
    SyntheticFaces,
    needed_fields,
    prepare,
)
from synthforge.learning.fields import plan_field, plan_tasks
from synthforge.learning.loaders import make_loader, read_batches
from synthforge.learning.policies import POLICIES
from synthforge.learning.sampling import Sampling, split

TASKS = {"keypoints": load_plugins().build("task", "keypoints")}
NAMES = ("landmarks2d", "landmark_visibility", "segmentation", "depth")


def crops_of(policy: str | None, *, cache: int = 0, count: int = 12, margin: float = 1.3) -> CropDataset:
    blobs = Blobs(count)
    plans = {f.name: plan_field(f) for f in blobs.fields}
    faces = SyntheticFaces(blobs, NAMES, "landmarks2d")
    framing = FramingConfig(crop_scale=1.5, margin=margin, jitter_shift=0.03)
    chosen = POLICIES[policy] if policy else None
    return CropDataset(faces, plans, 32, framing, policy=chosen, seed=3, cache_bytes=cache)


def all_batches(dataset: CropDataset, workers: int) -> list[dict[str, torch.Tensor]]:
    order = EpochBatches(range(len(dataset)), 4, 0, last=2)
    return list(make_loader(dataset, order, workers=workers))


def test_the_face_box_is_cut_by_points_of_any_name() -> None:
    def manifest(*fields: tuple[str, str]) -> dict[str, Any]:
        return {"fields": [{"name": name, "kind": kind} for name, kind in fields]}

    one = manifest(("image", "image"), ("whole98", "points2d"), ("pupils", "points2d"), ("albedo", "image"))
    assert needed_fields([], one) == ["image", "whole98"]
    other = manifest(("image", "image"), ("pupils", "points2d"), ("landmarks2d", "points2d"))
    assert needed_fields([], one, other) == ["image", "pupils"]  # what both have
    assert needed_fields(TASKS.values(), other) == ["image", "landmarks2d", "pupils"]


def whole(batches: list[list[list[tuple[int, int]]]]) -> list[list[tuple[int, int]]]:
    """Batches of all processes together, from those of each."""
    return [[place for part in parts for place in part] for parts in zip(*batches, strict=True)]


def spans_of(sizes: list[int]) -> list[range]:
    ends = np.cumsum([0, *sizes]).tolist()
    return [range(a, b) for a, b in pairwise(ends)]


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any),
    left_out=st.sets(st.integers(0, 80), max_size=20),
    together=st.integers(0, 4),
    worlds=st.tuples(st.sampled_from([1, 2, 3, 4, 6]), st.sampled_from([1, 2, 3, 4, 6])),
    stop=st.integers(0, 30),
    seed=st.integers(0, 3),
)
def test_every_sample_once_an_epoch_whoever_takes_part(
    sizes: list[int], left_out: set[int], together: int, worlds: tuple[int, int], stop: int, seed: int
) -> None:
    """Two sittings with any numbers of processes go through the same batches, and each sample once an epoch."""
    spans = spans_of(sizes)
    indices = [i for i in range(spans[-1].stop) if i not in left_out]
    if len(indices) < 12:
        return
    epochs, more = 3, {"spans": spans, "together": together} if together else {}

    def sit(world: int, start: int) -> list[list[tuple[int, int]]]:
        orders = [
            EpochBatches(indices, 12, seed, first=2, last=2 + epochs, start=start, rank=rank, world=world, **more)
            for rank in range(world)
        ]
        parts = [list(order) for order in orders]
        assert {len(batch) for part in parts for batch in part} <= {12 // world}
        assert {len(part) for part in parts} == {len(orders[0])}
        return whole(parts)

    alone = sit(1, 0)
    stop = min(stop, len(alone))
    assert sit(worlds[0], 0)[:stop] + sit(worlds[1], stop) == alone
    seen = [place for batch in alone for place in batch]
    assert len(set(seen)) == len(seen)
    for epoch in range(2, 1 + epochs):
        assert sorted(index for e, index in seen if e == epoch) == indices
    assert len(seen) > epochs * len(indices) - 12


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=9), together=st.integers(1, 4))
def test_shards_are_read_one_after_another(sizes: list[int], together: int) -> None:
    spans = spans_of(sizes)
    order = EpochBatches(range(spans[-1].stop), 1, 5, spans=spans, together=together)
    shards = [next(n for n, span in enumerate(spans) if index in span) for ((_, index),) in order]
    open_at = [len({*shards[: place + 1]} & {*shards[place:]}) for place in range(len(shards))]
    assert max(open_at) <= together


def test_a_process_mostly_meets_the_same_samples() -> None:
    order = EpochBatches(range(96), 32, 1, last=9, rank=0, world=2)
    low = [index < 48 for batch in order for _, index in batch]
    assert np.mean(low) > 0.85


@given(start=st.integers(0, 9))
def test_batches_go_on_from_any_position(start: int) -> None:
    every = list(EpochBatches(range(41), 4, 7, first=2, last=4))
    assert len(every) == 20
    assert list(EpochBatches(range(41), 4, 7, first=2, last=4, start=start)) == every[start:]
    assert every[:10] != every[10:]


def test_batches_do_not_depend_on_workers_or_cache() -> None:
    plain = all_batches(crops_of("strong"), 0)
    for other in (
        all_batches(crops_of("strong"), 2),
        all_batches(crops_of("strong", cache=2**30), 0),
        all_batches(crops_of("strong", cache=60_000), 0),
    ):
        assert len(other) == len(plain)
        for a, b in zip(plain, other, strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_cache_is_shared_with_workers() -> None:
    dataset = crops_of("light", cache=2**30)
    dataset.reserve()
    all_batches(dataset, 1)
    assert dataset._cache is not None
    assert dataset._cache.filled.all()  # filled in another process


def test_an_epoch_differs_from_the_next() -> None:
    dataset = crops_of("paper")
    a, b = dataset[(0, 5)], dataset[(1, 5)]
    assert not np.array_equal(a["draw/matrix"], b["draw/matrix"])
    assert np.array_equal(a["image"], b["image"])


def test_plain_crops_are_framed_by_the_protocol() -> None:
    """The tight box of the points, times the scale, fills the crop exactly."""
    dataset = crops_of(None)
    plans = dataset.plans
    batch = next(iter(make_loader(dataset, EpochBatches(range(12), 12, 0), workers=0)))
    images, targets = prepare(batch, plans, 32)
    assert images.shape == (12, 3, 32, 32)
    points = targets["landmarks2d"]["points"]
    low, high = points.amin(1), points.amax(1)
    assert torch.allclose((high - low).amax(1), torch.full((12,), 1 / 1.5), atol=1e-5)
    assert torch.allclose((high + low) / 2, torch.full((12, 2), 0.5), atol=1e-5)
    assert targets["segmentation"]["label"].dtype == torch.int64
    assert targets["depth"]["depth"].shape == (12, 1, 32, 32)
    assert (targets["depth"]["mask"] == (targets["depth"]["depth"] > 0)).all()
    assert targets["landmark_visibility"]["visible"].all()


def test_labels_lie_on_the_image_they_were_made_for() -> None:
    dataset = crops_of("paper")
    for batch in make_loader(dataset, EpochBatches(range(12), 6, 0), workers=0):
        geometry = {k: v for k, v in batch.items() if k[:5] != "draw/" or k in ("draw/matrix", "draw/flip")}
        neutral = augment.draw(POLICIES["none"], np.random.default_rng(0))
        for name, value in neutral.items():
            geometry.setdefault(f"draw/{name}", torch.from_numpy(np.stack([value] * 6)))
        images, targets = prepare(geometry, dataset.plans, 32)
        label = targets["segmentation"]["label"]
        # Skin is bright and hair is dark in these pictures.
        skin, hair = images[:, 0][label == 1], images[:, 0][label == 19]
        assert (skin > 0.55).float().mean() > 0.9
        assert (hair < 0.55).float().mean() > 0.9


def test_masked_labels_of_photographs_are_ignored() -> None:
    benchmark = BlobBenchmark("segmentation")
    items = benchmark.items("val")
    plain = benchmark.load

    def masked(item):  # type: ignore[no-untyped-def]
        sample = plain(item)
        sample.mask = np.zeros(sample.target.shape, bool)
        return sample

    benchmark.load = masked  # type: ignore[method-assign]
    assert (RealFaces(benchmark, items)[0].values["target"] == IGNORE).all()


def test_missing_and_unusable_fields_are_named() -> None:
    fields = {"segmentation": Field("segmentation", "label", schema="synthforge")}
    with pytest.raises(DataError, match="'keypoints' learns from the field 'landmarks2d'"):
        plan_tasks(fields, TASKS, where="some/folder")
    points = {"landmarks2d": Field("landmarks2d", "points2d", schema="ibug68")}
    _, members = plan_tasks(points, TASKS, where="x")
    assert members == {"keypoints": ("landmarks2d",)}
    with pytest.raises(ConfigError, match="cannot be trained on"):
        plan_field(Field("points", "points3d"))


def test_split_is_seeded_and_whole() -> None:
    train, held = split(100, 0.1, 4)
    assert len(held) == 10
    assert sorted([*train, *held]) == list(range(100))
    assert np.array_equal(split(100, 0.1, 4)[1], held)
    assert not np.array_equal(split(100, 0.1, 5)[1], held)
    assert len(split(3, 0.001, 0)[1]) == 1
    assert len(split(3, 0.0, 0)[1]) == 0


def test_random_sampling_keeps_one_subset() -> None:
    sampling = Sampling(SamplingConfig("random", budget=10), range(50), 0)
    assert len(set(sampling.subset(0).tolist())) == 10
    assert np.array_equal(sampling.subset(0), sampling.subset(77))
    assert not np.array_equal(sampling.subset(0), Sampling(SamplingConfig("random", budget=10), range(50), 1).subset(0))
    with pytest.raises(ConfigError, match="60 samples are more than"):
        Sampling(SamplingConfig("random", budget=60), range(50), 0)


def test_active_sampling_prefers_what_is_hard() -> None:
    config = SamplingConfig("active", budget=10, every=3)
    sampling = Sampling(config, range(40), 0)
    first = sampling.subset(2)
    assert np.array_equal(first, sampling.subset(0))
    hard = np.arange(30, 40)
    for _ in range(20):
        sampling.observe(hard, np.full(10, 5.0))
    assert np.array_equal(sampling.subset(1), first)  # not before the block ends
    # exp(0.2 * 100) to 1: all ten hard ones come first
    assert np.array_equal(sampling.subset(3), hard)
    p = sampling.probabilities()
    assert np.isclose(p.sum(), 1.0)
    again = Sampling(config, range(40), 0)
    again.restore(sampling.state())
    assert np.array_equal(again.subset(4), hard)
    sampling.losses[:] = 0
    sampling.observe(np.array([1, 1]), np.array([2.0, 3.0]))
    ratio = sampling.probabilities()[1] / sampling.probabilities()[0]
    assert np.isclose(ratio, np.exp(0.2 * 5.0))


class Spoiled(Blobs):
    """Blobs whose third sample has points that are not finite: all but `left`."""

    def __init__(self, left: int) -> None:
        super().__init__(8)
        self.left = left

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        if index == 2:
            sample["landmarks2d"][self.left :] = [np.nan, np.inf]
            sample["depth"][:4] = np.nan
        return sample


def test_points_that_are_not_finite_count_nowhere() -> None:
    plans = {f.name: plan_field(f) for f in Blobs(1).fields}
    dataset = CropDataset(SyntheticFaces(Spoiled(60), NAMES, "landmarks2d"), plans, 32, FramingConfig(), policy=None)
    batch = next(iter(make_loader(dataset, [[(0, 1), (0, 2)]], workers=0)))
    _, targets = prepare(batch, plans, 32)
    assert targets["depth"]["depth"].isfinite().all()
    wanted = targets["landmarks2d"]["points"]
    assert wanted[0].isfinite().all()
    assert wanted[1].isfinite().all(-1).sum() == 60
    points = torch.full_like(wanted, 0.5).requires_grad_()
    task = TASKS["keypoints"]
    loss = task.loss({"points": points}, {"points": wanted})
    loss.backward()
    known = (points.detach() - wanted).norm(dim=-1)[wanted.isfinite().all(-1) & ((wanted > 0) & (wanted < 1)).all(-1)]
    assert float(loss.detach()) == pytest.approx(float(known.sum()) / 2, rel=1e-5)
    assert points.grad is not None
    assert points.grad.isfinite().all()
    figures = task.metrics({"points": points.detach()}, {"points": wanted})
    assert all(pair.isfinite().all() for pair in figures.values())
    assert figures["nme"][1] == 2


@pytest.mark.parametrize("place", [1e38, -500.0])
def test_a_sample_whose_points_are_no_face_of_its_image_is_named(place: float) -> None:
    class Far(Blobs):
        def __getitem__(self, index: int) -> dict[str, Any]:
            sample = super().__getitem__(index)
            points = sample["landmarks2d"].copy()
            points[1:] = place
            points[0] = 5.0 if place > 0 else place - 20
            return {**sample, "landmarks2d": points}

    with pytest.raises(DataError, match=r"sample 00000: the points .* no face of its \d+ x \d+ pixels"):
        SyntheticFaces(Far(1), NAMES, "landmarks2d")[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_without_points_is_named(workers: int) -> None:
    plans = {f.name: plan_field(f) for f in Blobs(1).fields}
    dataset = CropDataset(SyntheticFaces(Spoiled(1), NAMES, "landmarks2d"), plans, 32, FramingConfig(), policy=None)
    loader = make_loader(dataset, [[(0, 2)]], workers=workers)
    with pytest.raises(DataError, match="sample 00002: no two finite points") as caught:
        list(read_batches(loader))
    assert "Traceback" not in str(caught.value)
