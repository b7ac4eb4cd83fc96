from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from synthforge_plugins.schemas import LAPA11, SYNTHFORGE
from synthforge_plugins.tasks.depth import Depth, DepthConfig, masked_median
from synthforge_plugins.tasks.keypoints import Keypoints, KeypointsConfig
from synthforge_plugins.tasks.normals import Normals, NormalsConfig
from synthforge_plugins.tasks.segmentation import Segmentation, SegmentationConfig

import synthforge
from synthforge.core.errors import ConfigError
from synthforge.core.interfaces import Task
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field, FieldKind
from synthforge.core.schemas import IGNORE
from synthforge.learning.augment import sampling_grid
from synthforge.learning.config import NetworkConfig
from synthforge.learning.fields import Moved, plan_field
from synthforge.learning.model import AdapterInfo, FaceModel
from synthforge.testing import check_task

TASKS: list[Task] = [
    Keypoints(KeypointsConfig(head="light", width=16)),
    Keypoints(KeypointsConfig(head="paper", size=8, width=16)),
    *(Keypoints(KeypointsConfig(head="light", width=16, loss=kind)) for kind in ("smooth", "wing")),
    Segmentation(SegmentationConfig(head="light", width=0.25)),
    Segmentation(SegmentationConfig(head="paper", width=0.0625)),
    Depth(DepthConfig(head="light", width=0.25)),
    Depth(DepthConfig(head="paper", width=0.0625, normalise="none")),
    Normals(NormalsConfig(head="light", width=0.25)),
    Normals(NormalsConfig(head="paper", width=0.0625)),
]
#: tasks without a label fine-tuning network
PLAIN: list[Task] = [load_plugins().build("task", name) for name in ("mesh", "arkit", "openness", "head-pose", "gaze")]


@pytest.mark.parametrize("task", TASKS + PLAIN, ids=lambda t: f"{t.name}-{getattr(t.config, 'head', '')}")
def test_tasks_keep_the_contract(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize("task", TASKS, ids=lambda t: f"{t.name}-{t.config.head}")
def test_adapters_take_what_heads_give(task: Task) -> None:
    schema = {"keypoints": "ibug68", "segmentation": "lapa11", "depth": "", "normals": ""}[task.name]
    features = torch.randn(2, 8, 32, 32)
    found = task.build_adapter(schema, 8)(task.build_head(8)(features), features)
    target = task.example_target(2, 32)
    assert torch.isfinite(task.loss(found, target))
    wrong = {"keypoints": "lapa11", "segmentation": "ibug68", "depth": "lapa11", "normals": "lapa11"}[task.name]
    with pytest.raises(ConfigError, match="cannot be fine-tuned"):
        task.build_adapter(wrong, 0)


def test_a_class_counts_as_much_as_its_weight() -> None:
    """Cross-entropy on two pixels of one class each; a label network, whose classes are others, has no weights."""
    weighted, plain = (
        Segmentation(SegmentationConfig(head="light", class_weights=weights))
        for weights in ({"hair": 3.0, "skin": 0.5}, {})
    )
    hair, skin = SYNTHFORGE.id("hair"), SYNTHFORGE.id("skin")
    logits = torch.randn(1, len(SYNTHFORGE), 1, 2, generator=torch.Generator().manual_seed(0))
    each = [
        plain.loss({"logits": logits}, {"label": torch.tensor([[row]])}) for row in ([hair, IGNORE], [IGNORE, skin])
    ]
    both = {"label": torch.tensor([[[hair, skin]]])}
    torch.testing.assert_close(weighted.loss({"logits": logits}, both), (3.0 * each[0] + 0.5 * each[1]) / 2)
    small = NetworkConfig(backbone="residual", width=0.125, channels=8, input_size=32)
    model = FaceModel(small, {"segmentation": weighted}, {"segmentation": {}})
    model.add_adapter("segmentation", AdapterInfo(LAPA11.name, False))
    assert model.adapter_task("segmentation").config.class_weights == {}
    with pytest.raises(ConfigError, match=r"adapter\.class_weights: belongs to the output head"):
        model.add_adapter("segmentation", AdapterInfo(LAPA11.name, False, options={"class_weights": {"hair": 2.0}}))
    with pytest.raises(ValueError, match="no class 'moustache'"):
        SegmentationConfig(class_weights={"moustache": 2.0})


def test_the_catalogue_builds_them_by_name() -> None:
    plugins = load_plugins()
    for name in ("keypoints", "segmentation", "depth", "normals"):
        task = plugins.build("task", {"name": name, "head": "light"})
        assert task.name == name
    with pytest.raises(ConfigError, match="head: 'big' is not one of paper, light"):
        plugins.build("task", {"name": "depth", "head": "big"})


def test_keypoint_loss_is_the_sum_of_distances() -> None:
    task = Keypoints(KeypointsConfig())
    points = torch.full((2, 68, 2), 0.5)
    target = {"points": points, "visible": torch.ones(2, 68, dtype=torch.bool)}
    found = points.clone()
    found[0, 10] += torch.tensor([0.03, 0.04])
    assert torch.isclose(task.loss({"points": found}, target), torch.tensor(0.025), atol=1e-4)
    # A point that lies outside of the image cannot be reached and does not count.
    outside = points.clone()
    outside[0, 10] = 1.2
    assert task.loss({"points": points}, {**target, "points": outside}) < 1e-3


def test_hidden_points_can_weigh_less() -> None:
    points = torch.full((1, 68, 2), 0.5)
    visible = torch.ones(1, 68, dtype=torch.bool)
    visible[0, :34] = False
    target = {"points": points, "visible": visible}
    found = {"points": points + 0.1}
    whole = Keypoints(KeypointsConfig()).loss(found, target)
    half = Keypoints(KeypointsConfig(hidden_weight=0.0)).loss(found, target)
    assert torch.isclose(half, whole / 2)


@pytest.mark.parametrize("loss", ["l2", "smooth", "wing"])
def test_unknown_points_are_ignored_and_let_no_nan_through(loss: str) -> None:
    task = Keypoints(KeypointsConfig(loss=loss))
    truth = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0))
    unknown = truth.clone()
    unknown[0, [0, 16]] = torch.nan
    outside = truth.clone()
    outside[0, [0, 16]] = 2.0
    visible = torch.ones(2, 68, dtype=torch.bool)
    gradients = []
    for target in (unknown, outside):
        found = torch.full((2, 68, 2), 0.4, requires_grad=True)
        value = task.loss({"points": found}, {"points": target, "visible": visible})
        value.backward()
        assert found.grad is not None
        gradients.append((value.detach(), found.grad))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])
    assert torch.isfinite(gradients[0][1]).all()
    assert not gradients[0][1][0, [0, 16]].any()


def test_figures_run_over_the_points_and_faces_that_are_known() -> None:
    task = Keypoints(KeypointsConfig())
    truth = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0)).double()
    found = truth + 0.01
    truth[0, [0, 16]] = torch.nan
    truth[1, 36] = torch.nan  # an outer corner of an eye: this face has no scale
    truth[2, :17] = torch.nan
    values = task.metrics({"points": found.float()}, {"points": truth.float()})
    nme = 100 * 0.01 * 2**0.5 / (truth[:, 36] - truth[:, 45]).norm(dim=-1)
    assert torch.allclose(values["nme"], torch.tensor([float(nme[0] + nme[2]), 2.0]), rtol=1e-4)
    assert torch.allclose(values["nme/jaw"], torch.tensor([float(nme[0]), 1.0]), rtol=1e-4)


def test_every_stack_of_the_hourglass_is_supervised() -> None:
    task = Keypoints(KeypointsConfig())
    points = torch.full((1, 68, 2), 0.5)
    stacks = torch.stack([points + 0.1, points], dim=1)
    with_stacks = task.loss({"points": points, "stacks": stacks}, {"points": points})
    assert torch.isclose(with_stacks, torch.tensor(0.5 * 68 * 0.1 * 2**0.5), rtol=1e-3)


def test_nme_is_in_percent_of_the_outer_eye_corners() -> None:
    task = Keypoints(KeypointsConfig())
    points = torch.full((1, 68, 2), 0.5)
    points[0, 36, 0], points[0, 45, 0] = 0.3, 0.7
    value, weight = task.metrics({"points": points + torch.tensor([0.02, 0.0])}, {"points": points})["nme"]
    assert torch.isclose(value / weight, torch.tensor(5.0))


def test_segmentation_ignores_what_is_unlabelled() -> None:
    task = Segmentation(SegmentationConfig())
    logits = torch.zeros(1, len(SYNTHFORGE), 4, 4)
    logits[:, 1] = 12.0
    label = torch.full((1, 4, 4), IGNORE)
    assert task.loss({"logits": logits}, {"label": label}) == 0
    label[0, :2] = 1
    assert task.loss({"logits": logits}, {"label": label}) < 1e-3
    label[0, 2] = 3
    figures = task.metrics({"logits": logits}, {"label": label})
    assert (figures["accuracy"][0] / figures["accuracy"][1]).item() == pytest.approx(100 * 8 / 12)
    assert (figures["f1/skin"][0] / figures["f1/skin"][1]).item() == pytest.approx(100 * 16 / 20)
    assert figures["f1/neck"][1] == 0
    other = task.metrics({"logits": torch.zeros(1, len(LAPA11), 4, 4)}, {"label": torch.zeros(1, 4, 4).long()})
    assert (other["accuracy"][0] / other["accuracy"][1]).item() == 100


def test_the_dice_loss_is_one_less_the_mean_f1_of_the_classes_there() -> None:
    from sklearn.metrics import f1_score

    generator = torch.Generator().manual_seed(3)
    label, found = (torch.randint(0, 5, (2, 8, 8), generator=generator) for _ in range(2))
    logits = 60.0 * torch.nn.functional.one_hot(found, len(SYNTHFORGE)).movedim(-1, 1).float()
    label[0, 0] = IGNORE
    kept = label != IGNORE
    plain, dice = Segmentation(SegmentationConfig()), Segmentation(SegmentationConfig(dice=2.0))
    extra = dice.loss({"logits": logits}, {"label": label}) - plain.loss({"logits": logits}, {"label": label})
    expected = f1_score(label[kept], found[kept], labels=label[kept].unique(), average="macro")
    assert extra.item() == pytest.approx(2.0 * (1.0 - expected), abs=1e-4)
    assert dice.loss({"logits": logits}, {"label": torch.full_like(label, IGNORE)}) == 0


def test_depth_counts_inside_the_mask_relative_to_the_median() -> None:
    depth = torch.rand(3, 1, 9, 9) * 0.1 + 0.6
    mask = torch.rand(3, 1, 9, 9) > 0.3
    target = {"depth": torch.where(mask, depth, 0.0), "mask": mask}
    relative = depth - masked_median(depth, mask)
    assert Depth(DepthConfig()).loss({"depth": relative}, target) < 1e-6
    assert Depth(DepthConfig()).loss({"depth": relative + 0.02}, target).item() == pytest.approx(0.2, rel=1e-3)
    assert Depth(DepthConfig(normalise="none")).loss({"depth": depth}, target) < 1e-6
    value, weight = Depth(DepthConfig()).metrics({"depth": relative + 7.0}, target)["mae_mm"]
    assert value / weight < 1e-3
    nothing = {"depth": depth, "mask": torch.zeros_like(mask)}
    assert Depth(DepthConfig()).loss({"depth": depth}, nothing) == 0


def test_normals_lose_and_measure_the_angle() -> None:
    task = Normals(NormalsConfig())
    facing = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    turned = torch.tensor([0.0, math.sin(math.radians(60)), -0.5]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[:, :, :2] = True
    target = {"normals": torch.where(mask, turned, 0.0), "mask": mask}
    assert task.loss({"normals": 7 * facing}, target).item() == pytest.approx(0.5)  # the length does not count
    value, weight = task.metrics({"normals": facing}, target)["angle_deg"]
    assert (value / weight).item() == pytest.approx(60, abs=1e-3)
    assert task.loss({"normals": facing}, {"normals": facing, "mask": torch.zeros_like(mask)}) == 0


def test_normals_move_with_the_picture() -> None:
    """Mirrored, x flips; turned by a quarter, right becomes down; the same for a task's mirrored answers."""
    plan = plan_field(Field("normals", "normals"))
    value = torch.zeros(2, 8, 8, 3)
    value[..., 0], value[..., 2] = 0.6, -0.8
    value[:, :, 4:] = 0
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    matrix = torch.stack([torch.diag(torch.tensor([-1.0, 1.0, 1.0])), quarter])
    nothing = torch.zeros(2, 8, 8, dtype=torch.bool)
    found = plan.move(value, Moved(matrix, sampling_grid(matrix, 8), torch.tensor([True, False]), nothing))
    flipped, turned = found["normals"]
    assert torch.allclose(flipped[:, :, 4:], torch.tensor([-0.6, 0.0, -0.8]).view(3, 1, 1))
    assert not flipped[:, :, :4].any()
    assert torch.allclose(turned[:, :4], torch.tensor([0.0, 0.6, -0.8]).view(3, 1, 1), atol=1e-6)
    assert torch.equal(found["mask"][:, 0], found["normals"].any(1))
    answer = Normals(NormalsConfig()).flip({"normals": value[:1].movedim(-1, 1)}, "")["normals"]
    assert torch.equal(answer[0], flipped)


def test_the_engine_calls_no_task_by_name() -> None:
    """What they are, they say themselves; those that train when none is named declare it."""
    package = Path(synthforge.__file__).parent
    # A task called like the kind of its field (`depth`, `normals`) cannot be told from the kind.
    names = set(load_plugins().catalogues["task"].names()) - set(get_args(FieldKind))
    assert {"keypoints", "segmentation"} <= names
    found = [
        str(path.relative_to(package))
        for room in ("core", "learning", "prediction", "evaluation", "cli")
        for path in sorted((package / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert not found
