from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.filters import gaussian_blur2d
from synthforge_plugins.schemas import CELEBAMASK19, IBUG68, SYNTHFORGE

from synthforge.core.errors import ConfigError
from synthforge.core.records import Field
from synthforge.core.schemas import IGNORE
from synthforge.core.seeding import numpy_rng
from synthforge.learning import augment
from synthforge.learning.fields import Moved, plan_field
from synthforge.learning.policies import POLICIES, Policy, policy_of

SIZE = 64
GEOMETRY = Policy(rotation=18.0, scale=0.1, shift=0.05, perspective=0.05, flip=0.5)


def collate(draws: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.stack([d[name] for d in draws])) for name in draws[0]}


def drawn(policy: Policy, count: int, seed: int = 0, **options: float) -> dict[str, torch.Tensor]:
    return collate([augment.draw(policy, numpy_rng(seed, i, "test"), **options) for i in range(count)])


def moved_by(numbers: dict[str, torch.Tensor], size: int = SIZE) -> Moved:
    grid = augment.sampling_grid(numbers["matrix"], size)
    hidden = augment.erased(numbers, size)
    return Moved(numbers["matrix"], grid, numbers["flip"] > 0, hidden)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), margin=st.sampled_from([1.0, 1.3]))
def test_a_bright_spot_stays_under_its_landmark(seed: int, margin: float) -> None:
    """Image and points go through different formulas: sampling by the inverse, and the map itself."""
    source = round(SIZE * margin)
    rng = numpy_rng(seed, 0, "spot")
    spot = source * (0.5 + rng.uniform(-0.15, 0.15, 2))
    y, x = np.mgrid[:source, :source] + 0.5
    image = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 2.0**2)).astype(np.float32)
    numbers = drawn(GEOMETRY, 1, seed, margin=source / SIZE, jitter_shift=0.02, jitter_scale=0.05)
    out = augment.warp(torch.from_numpy(image)[None, None], augment.sampling_grid(numbers["matrix"], SIZE))[0, 0]
    points = augment.warp_points(torch.tensor((spot / source)[None, None], dtype=torch.float32), numbers["matrix"])
    weight = out.clamp_min(0.05) - 0.05
    centres = torch.arange(SIZE) + 0.5
    found = torch.stack([(weight.sum(0) * centres).sum(), (weight.sum(1) * centres).sum()]) / weight.sum()
    assert torch.allclose(found, SIZE * points[0, 0], atol=0.25)


def test_label_and_depth_move_with_the_image() -> None:
    rng = numpy_rng(3, 0, "map")
    coarse = rng.integers(0, 5, (8, 8))
    label = np.kron(coarse, np.ones((16, 16))).astype(np.uint8)
    numbers = drawn(dataclasses.replace(GEOMETRY, flip=0.0), 6)
    moved = moved_by(numbers)
    batch = torch.from_numpy(np.broadcast_to(label, (6, 128, 128)).copy())
    image = augment.warp(batch[:, None].float() / 10, moved.grid)[:, 0]
    seen = plan_field(Field("s", "label", schema="synthforge")).move(batch, moved)["label"]
    depth = plan_field(Field("d", "depth")).move(0.3 + batch.float() / 10, moved)
    inside = (seen != IGNORE) & depth["mask"][:, 0]
    assert inside.float().mean() > 0.7
    assert torch.allclose(depth["depth"][:, 0][inside], 0.3 + seen[inside] / 10)
    agree = ((image - seen / 10).abs() < 1e-4)[inside].float().mean()
    assert agree > 0.9  # everywhere but on the bilinear seams


def test_what_comes_from_outside_is_ignored() -> None:
    numbers = drawn(Policy(shift=0.5), 4, seed=5)
    moved = moved_by(numbers)
    label = torch.zeros(4, SIZE, SIZE, dtype=torch.uint8)
    seen = plan_field(Field("s", "label", schema="synthforge")).move(label, moved)["label"]
    assert set(seen.unique().tolist()) == {0, IGNORE}


def test_flipping_twice_changes_nothing() -> None:
    numbers = drawn(Policy(flip=1.0), 2)
    assert numbers["flip"].tolist() == [1.0, 1.0]
    moved = moved_by(numbers)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 68, 2, generator=generator)
    label = torch.randint(0, len(SYNTHFORGE), (2, SIZE, SIZE), generator=generator).byte()
    image = torch.rand(2, 3, SIZE, SIZE, generator=generator)
    of_points = plan_field(Field("p", "points2d", schema="ibug68"))
    of_label = plan_field(Field("s", "label", schema="synthforge"))
    once = of_points.move(points, moved)["points"]
    assert not torch.allclose(once, points, atol=0.01)
    assert torch.allclose(of_points.move(once, moved)["points"], points, atol=1e-6)
    mirrored = of_label.move(label, moved)["label"]
    assert torch.equal(of_label.move(mirrored.byte(), moved)["label"], label.long())
    assert torch.allclose(augment.warp(augment.warp(image, moved.grid), moved.grid), image, atol=1e-5)
    assert torch.allclose(augment.warp(image, moved.grid), image.flip(-1), atol=1e-5)


def test_flip_exchanges_left_and_right_classes_and_points() -> None:
    numbers = drawn(Policy(flip=1.0), 1)
    moved = moved_by(numbers, 8)
    left, right = SYNTHFORGE.id("left_eye"), SYNTHFORGE.id("right_eye")
    label = torch.zeros(1, 8, 8, dtype=torch.uint8)
    label[0, 2, 1] = left
    seen = plan_field(Field("s", "label", schema="synthforge")).move(label, moved)["label"]
    assert seen[0, 2, 6] == right
    # The lower lip of CelebAMask-HQ is called l_lip and must not become an upper one.
    lip = torch.full((1, 8, 8), CELEBAMASK19.id("l_lip"), dtype=torch.uint8)
    seen = plan_field(Field("s", "label", schema="celebamask19")).move(lip, moved)["label"]
    assert (seen == CELEBAMASK19.id("l_lip")).all()
    points = torch.zeros(1, 68, 2)
    points[0, 36] = torch.tensor([0.2, 0.4])
    seen = plan_field(Field("p", "points2d", schema="ibug68")).move(points, moved)["points"]
    assert torch.allclose(seen[0, IBUG68.mirror[36]], torch.tensor([0.8, 0.4]))
    flags = torch.zeros(1, 68, dtype=torch.bool)
    flags[0, 0] = True
    assert plan_field(Field("v", "flags", schema="ibug68")).move(flags, moved)["visible"].nonzero().tolist() == [
        [0, 16]
    ]


def test_classes_are_mapped_to_the_schema_of_the_task() -> None:
    plan = plan_field(Field("s", "label", schema="synthforge"), "lapa11")
    assert plan.lut is not None
    assert plan.lut[SYNTHFORGE.id("left_ear")] == 0
    with pytest.raises(ConfigError, match="no mapping"):
        plan_field(Field("s", "label", schema="lapa11"), "celebamask19")


@pytest.mark.parametrize("name", list(POLICIES))
def test_policies_keep_images_in_range_and_do_not_mix_samples(name: str) -> None:
    policy = POLICIES[name]
    numbers = drawn(policy, 12, seed=2)
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    out = augment.photometric(images, numbers)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, augment.photometric(images, drawn(policy, 12, seed=2)))
    for i in (0, 7):
        alone = augment.photometric(images[i : i + 1], {k: v[i : i + 1] for k, v in numbers.items()})
        assert torch.allclose(alone[0], out[i], atol=1e-5)
    if name == "none":
        assert torch.allclose(out, images, atol=2e-4)
    else:
        assert not torch.allclose(out, images, atol=0.02)


@pytest.mark.parametrize("kind", ["blur", "noise", "erase", "grey", "gamma", "brightness", "contrast", "shade"])
def test_every_change_changes_something(kind: str) -> None:
    strongest = {"blur": (1.0, 2.0), "noise": (1.0, 0.1), "erase": (1.0, 0.5), "shade": (1.0, 0.7)}
    policy = Policy(**{kind: strongest.get(kind, 1.0 if kind == "grey" else 0.3)})  # type: ignore[arg-type]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    out = augment.photometric(images, drawn(policy, 4))
    assert (out - images).abs().mean() > 0.005
    if kind == "grey":
        assert torch.allclose(out[:, 0], out[:, 1], atol=1e-5)


def test_compression_keeps_the_picture_and_changes_its_pixels() -> None:
    y, x = np.mgrid[:40, :50]
    image = np.stack([5 * x, 6 * y, 3 * (x + y) // 2], axis=-1).clip(0, 255).astype(np.uint8)
    squeezed = augment.compress(image, 30.0)
    difference = np.abs(squeezed.astype(int) - image)
    assert squeezed.shape == image.shape
    assert 0.5 < difference.mean() < 8
    assert augment.compress(image, 100.0) is image


@pytest.mark.parametrize(("margin", "kept"), [(1.3, 16), (0.65, 8), (3.0, 37)])
def test_low_resolution_is_a_share_of_the_pixels_of_the_output(margin: float, kept: int) -> None:
    """Stripes as fine as the pixels that are kept stay; finer ones are grey."""
    drawn = augment.draw(Policy(lowres=(1.0, 0.2)), numpy_rng(0, 0, "lowres"), margin=margin)
    drawn["lowres"] = np.float32(0.2)
    assert np.array_equal(augment.degrade(stripes(64, 2), drawn | {"lowres": np.float32(1.0)}, SIZE), stripes(64, 2))
    pixels = round(0.2 * margin * SIZE)
    assert abs(pixels - kept) <= 1
    fine = augment.degrade(stripes(256, 4), drawn, SIZE)
    coarse = augment.degrade(stripes(256, 256 // 2), drawn, SIZE)
    assert fine.std() < 12
    assert coarse.std() > 90
    assert fine.shape == (256, 256, 3)


def stripes(size: int, period: int) -> np.ndarray:
    columns = np.where(np.arange(size) % period < period // 2, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(columns[:, None], (size, size, 3)))


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.8])
def test_blur_is_a_gaussian(sigma: float) -> None:
    x = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    wanted = gaussian_blur2d(x[None], 15, (sigma, sigma))[0]
    assert torch.allclose(augment._blur(x, sigma), wanted, atol=0.01)
    assert torch.allclose(augment._blur(torch.full((3, 20, 20), 0.4), sigma), torch.tensor(0.4), atol=1e-6)


def test_noise_is_normal_and_not_the_same_twice() -> None:
    numbers = drawn(Policy(noise=(1.0, 0.1)), 4)
    noise = augment.photometric(torch.full((4, 3, 64, 64), 0.5), numbers) - 0.5
    for i in range(4):
        assert abs(noise[i].std() / numbers["noise"][i] - 1) < 0.05
        assert abs(noise[i].mean()) < 0.1 * numbers["noise"][i]
    together = torch.corrcoef(noise.reshape(12, -1))  # channels of one image and of another
    assert (together - torch.eye(12)).abs().max() < 0.1


def test_shade_is_a_smooth_gain_of_bounded_strength() -> None:
    numbers = drawn(Policy(shade=(1.0, 0.7)), 6)
    grey = torch.full((6, 3, SIZE, SIZE), 0.4)
    gain = (augment.photometric(grey, numbers) / 0.4).log()
    for one, strength in zip(gain, numbers["shade"], strict=True):
        assert one.abs().max() <= strength + 1e-5
        assert one.max() - one.min() > 0.5 * strength
        assert torch.allclose(one[0], one[2], atol=1e-5), "light without a colour"
        assert (one[:, 1:] - one[:, :-1]).abs().max() < strength, "even a shadow's edge is a few pixels wide"


def test_erased_pixels_are_not_supervised() -> None:
    numbers = drawn(Policy(erase=(1.0, 0.5)), 3)
    moved = moved_by(numbers)
    assert moved.hidden.any()
    label = torch.ones(3, SIZE, SIZE, dtype=torch.uint8)
    seen = plan_field(Field("s", "label", schema="synthforge")).move(label, moved)["label"]
    assert torch.equal(seen == IGNORE, moved.hidden)
    mask = plan_field(Field("d", "depth")).move(torch.ones(3, SIZE, SIZE), moved)["mask"]
    assert torch.equal(~mask[:, 0], moved.hidden)


def test_one_number_of_a_policy_leaves_the_others_alone() -> None:
    a = augment.draw(POLICIES["paper"], numpy_rng(0, 0, "x"))
    b = augment.draw(policy_of({"policy": "paper", "rotation": 0}), numpy_rng(0, 0, "x"))
    assert not np.allclose(a["matrix"], b["matrix"])
    assert all(np.array_equal(a[k], b[k]) for k in a if k != "matrix")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("pper", "no policy 'pper'"),
        ({"policy": "paper", "rotatoin": 3}, "rotatoin"),
        ({"blur": 3}, "pair"),
        ({"gamma": "x"}, "number"),
    ],
)
def test_wrong_policies_are_answered(reference: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        policy_of(reference)  # type: ignore[arg-type]
