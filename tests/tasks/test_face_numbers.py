"""Tasks that learn points in space and numbers of the whole face: how targets move, what figures say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from synthforge_plugins.tasks.mesh import RADIUS, SEEN, SPREAD_PLACE, SPREAD_SPACE
from synthforge_plugins.tasks.numbers import ROWS

from synthforge.core.frames import CropFrame
from synthforge.core.interfaces import Task
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field
from synthforge.core.schemas import POINT_SCHEMAS
from synthforge.learning.augment import sampling_grid
from synthforge.learning.fields import Moved, plan_for

NAMES = [row.name for row in ROWS]
MIRROR = POINT_SCHEMAS["mediapipe478"].mirror


def build(name: str) -> Task:
    task: Task = load_plugins().build("task", name)
    return task


def moved(angle: float, flip: bool) -> Moved:
    """A batch of one, turned clockwise in the picture by `angle` radians, and mirrored afterwards."""
    c, s, sign = math.cos(angle), math.sin(angle), -1.0 if flip else 1.0
    matrix = torch.tensor([[[sign * c, -sign * s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]])
    return Moved(matrix, sampling_grid(matrix, 16), torch.tensor([flip]), torch.zeros(1, 16, 16, dtype=torch.bool))


def values(name: str) -> torch.Tensor:
    """A target of one face, as its field is cut out."""
    return build(name).example_target(3, 16)["values"][2:]


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_target_is_the_mirrored_answer(name: str) -> None:
    task, given = build(name), values(name)
    plan = task.target_plan(Field(task.fields[0], "json"), "")
    assert plan is not None
    found = plan.move(given, moved(0.0, flip=True))["values"]
    torch.testing.assert_close(found, task.flip({"values": given}, "")["values"])
    torch.testing.assert_close(plan.move(given, moved(0.0, flip=False))["values"], given)


@pytest.mark.parametrize("flip", [False, True])
def test_a_turned_rotation_stays_one_and_rolls_with_the_picture(flip: bool) -> None:
    task = build("head-pose")
    plan = task.target_plan(Field("head_pose", "directions"), "")
    assert plan is not None
    upright = torch.from_numpy(plan.cut(np.diag([1.0, -1.0, -1.0]), np.eye(2, 3), 16))[None]
    found = plan.move(upright, moved(0.3, flip))["values"][0]
    torch.testing.assert_close(found @ found.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(found) > 0
    roll = math.atan2(float(found[0, 1]), float(found[0, 0]))
    assert roll == pytest.approx(-0.3 if flip else 0.3, abs=1e-5)


def test_a_rotation_comes_back_as_the_annotator_wrote_it() -> None:
    task = build("head-pose")
    written = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    plan = task.target_plan(Field("head_pose", "directions"), "")
    assert plan is not None
    frame = CropFrame(np.eye(2, 3), 16, (0, 0, 16, 16))
    found = task.to_photograph(torch.from_numpy(plan.cut(written, np.eye(2, 3), 16)), frame)
    np.testing.assert_allclose(found, written, atol=1e-6)


def test_every_facial_action_has_its_counterpart() -> None:
    (row,) = (row for row in ROWS if row.name == "arkit")
    assert len(set(row.names)) == 52
    moved_names = [name for name, other in zip(row.names, row.mirror, strict=True) if row.names[other] != name]
    assert moved_names == [name for name in row.names if "Left" in name or "Right" in name]
    assert [row.mirror[other] for other in row.mirror] == list(range(52))


@pytest.mark.parametrize("flip", [False, True])
def test_points_in_space_and_in_the_picture_move_together(flip: bool) -> None:
    """Of a head far away, the picture is the front view: space and picture agree up to size and place."""
    task = build("mesh")
    space = np.random.default_rng(0).normal(size=(478, 3)) * [0.05, 0.08, 0.06] + [0.1, -0.2, 90.0]
    plans = [
        plan_for(task, Field("mesh2d", "points2d", schema="mediapipe478"), "mediapipe478"),
        plan_for(task, Field("mesh3d", "points3d", schema="mediapipe478"), "mediapipe478"),
    ]
    pixels = 800 * space[:, :2] / space[:, 2:] + 8
    cut = [plan.cut(value, np.eye(2, 3), 16) for plan, value in zip(plans, (pixels, space), strict=True)]
    step = moved(0.4, flip)
    place, in_space = (plan.move(torch.from_numpy(c)[None].float(), step) for plan, c in zip(plans, cut, strict=True))
    a, b = place["points"][0].numpy(), in_space["space"][0].numpy()
    assert np.sqrt((b**2).sum(1).mean()) == pytest.approx(RADIUS, rel=1e-4)
    design = np.concatenate([b[:, :2], np.ones((478, 1))], 1)
    linear = np.linalg.lstsq(design, a, rcond=None)[0]
    np.testing.assert_allclose(linear[:2] / linear[0, 0], np.eye(2), atol=0.02)
    np.testing.assert_allclose(design @ linear, a, atol=1e-3)


def answer(target: dict[str, torch.Tensor], spread: float, seed: int = 0) -> torch.Tensor:
    """`mesh` whose errors are Gaussian with the standard deviation `spread`, as it says itself."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(*target["points"].shape[:2], 11)
    found[..., :2], found[..., 2:5] = target["points"], target["space"]
    found[..., :5] += spread * torch.randn(found[..., :5].shape, generator=generator)
    found[..., SPREAD_PLACE], found[..., SPREAD_SPACE] = math.log(spread), math.log(spread)
    found[..., SEEN] = 2.0 * target["visible"] + torch.randn(found.shape[:2], generator=generator)
    return found


def test_figures_of_known_errors() -> None:
    task = build("mesh")
    target = task.example_target(8, 16)
    found = answer(target, 0.01)
    figures = {name: float(pair[0] / pair[1]) for name, pair in task.metrics({"mesh": found}, target).items()}
    assert figures["within_sigma"] == pytest.approx(68.3, abs=1.5)
    assert figures["within_sigma_space"] == pytest.approx(68.3, abs=1.5)
    assert figures["space_mm"] == pytest.approx(10 * math.sqrt(8 / math.pi), rel=0.02)
    seen, scores = target["visible"].flatten(), found[..., SEEN].flatten()
    pairs = (scores[seen][:, None] > scores[~seen][None]).float().mean()
    assert figures["auc_hidden"] == pytest.approx(float(pairs), abs=1e-4)


def test_the_likelihood_is_best_where_the_spread_is_that_of_the_errors() -> None:
    task = build("mesh")
    target = task.example_target(8, 16)
    found = answer(target, 0.01)
    costs = {}
    for trained in (0.0, 1e6):
        for off in (-0.4, 0.0, 0.4):
            other = found.clone()
            other[..., 5:10] += off
            costs[trained, off] = float(task.loss({"mesh": other, "trained": torch.full((8, 1), trained)}, target))
    assert costs[0.0, -0.4] == costs[0.0, 0.4]  # not before the warm-up
    assert costs[1e6, 0.0] < min(costs[1e6, -0.4], costs[1e6, 0.4])


def test_calibrated_spreads_hold_as_many_errors_as_a_gaussian() -> None:
    task = build("mesh")
    target = task.example_target(8, 16)
    found = answer(target, 0.01)
    found[..., SPREAD_PLACE] += 0.4
    found[..., SPREAD_SPACE] -= 0.3
    head: Any = task.build_head(8)
    factors = task.calibrate(head, {"mesh": found}, target)
    assert factors["x"] == pytest.approx(math.exp(-0.4), rel=0.03)
    assert factors["Z"] == pytest.approx(math.exp(0.3), rel=0.03)
    found[..., 5:10] += head.bias[:, 5:10].detach()
    figures = {name: float(pair[0] / pair[1]) for name, pair in task.metrics({"mesh": found}, target).items()}
    assert figures["within_sigma"] == pytest.approx(68.27, abs=0.1)
    assert figures["within_sigma_space"] == pytest.approx(68.27, abs=0.1)


def test_points_behind_the_camera_cost_nothing() -> None:
    task = build("mesh")
    target = task.example_target(2, 16)
    head = task.build_head(8)
    prediction = head(torch.randn(2, 8, 16, 16))
    target["points"][0, :5] = torch.nan
    loss = task.loss(prediction, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)
    assert all(bool(torch.isfinite(pair).all()) for pair in task.metrics(prediction, target).values())


def test_a_photograph_is_told_in_its_own_pixels() -> None:
    task = build("mesh")
    target = task.example_target(1, 16)
    found = answer(target, 0.01)[0]
    frame = CropFrame(np.array([[0.5, 0.0, -3.0], [0.0, 0.5, -2.0]]), 16, (6, 4, 38, 36))
    value = task.to_photograph(found, frame)
    np.testing.assert_allclose(value[:, :2], frame.points(found[:, :2]))
    np.testing.assert_allclose(value[:, 5:7], 0.01 * 32, rtol=1e-5)  # the crop has 16 pixels, 32 of the photograph
    assert ((value[:, 10] > 0.5) == (found[:, SEEN] > 0).numpy()).all()
    record = task.record(value, "mediapipe478", 0)["mesh"]
    assert record["radius_m"] == RADIUS
    assert len(record["points"]) == len(record["seen"]) == len(MIRROR)
