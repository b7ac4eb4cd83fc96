from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthforge_plugins.schemas import CELEBAMASK19, LAPA11, SYNTHFORGE
from torch import nn

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.core.plugins import load_plugins
from synthforge.core.schemas import class_mapping
from synthforge.learning import losses
from synthforge.learning.config import NetworkConfig, SelfSupervisionConfig
from synthforge.learning.networks.adapters import ClassAdapter, DepthAdapter, PointAdapter
from synthforge.learning.networks.backbone import build_backbone
from synthforge.learning.networks.blocks import resize, soft_argmax
from synthforge.learning.networks.heads import HeatmapNet, PointHead, dense_net
from synthforge.learning.networks.pyramid import PIXELS, stacked
from synthforge.learning.networks.tokens import TokenHead
from synthforge.learning.networks.unet import WIDTHS, UNet


def test_the_papers_unet_has_the_papers_widths() -> None:
    assert WIDTHS == (64, 128, 256, 512, 512)
    with torch.device("meta"):
        net = build_backbone(NetworkConfig())
        out = net(torch.empty(1, 3, 256, 256))
    assert out.shape == (1, 64, 256, 256)
    widest = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert max(widest) == 512
    assert 13e6 < sum(p.numel() for p in net.parameters()) < 14e6  # as Ronneberger's with 512 at the bottom, bilinear


@pytest.mark.parametrize(("size", "stride"), [(64, 4), (50, 4)])
@pytest.mark.parametrize("backbone", ["residual", "unet"])
def test_backbones_give_the_asked_channels(backbone: str, size: int, stride: int) -> None:
    net = build_backbone(NetworkConfig(backbone=backbone, width=0.125, channels=12, input_size=size))
    out = net(torch.rand(2, 3, size, size))
    side = size if backbone == "unet" else -(-size // stride)
    assert out.shape == (2, 12, side, side)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224", "convnext_atto"])
def test_timm_models_serve_as_encoders(model: str) -> None:
    net = build_backbone(NetworkConfig(backbone="timm", model=model, channels=16, input_size=64))
    out = net(torch.rand(2, 3, 64, 64))
    assert out.shape == (2, 16, 16, 16)
    out.sum().backward()
    assert all(p.grad is not None for p in net.lateral.parameters())  # type: ignore[union-attr, operator]


def test_unknown_timm_models_are_answered_and_weights_refused() -> None:
    with pytest.raises(ConfigError, match="timm has no model 'resnet19'"):
        build_backbone(NetworkConfig(backbone="timm", model="resnet19"))
    with pytest.raises(ConfigError, match="timm has no model 'hf-hub:timm/resnet18'"):
        build_backbone(NetworkConfig(backbone="timm", model="hf-hub:timm/resnet18"))


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"pretrained": True}, "pretrained: one of False, got True"),
        ({"checkpoint_path": "/tmp/x.pth"}, "checkpoint_path: only these arguments"),
        ({"pretrained_cfg": {"file": "x"}}, "pretrained_cfg: only these arguments"),
        ({"drop_rate": "${oc.env:HOME}"}, "drop_rate: numbers"),
        ({"embed_dim": 10**9}, "embed_dim: whole numbers of up to 4096"),
        ({"act_layer": "os.system"}, "act_layer: one of 'relu'"),
    ],
)
def test_options_that_load_files_or_code_are_refused(options: dict[str, Any], answer: str) -> None:
    with pytest.raises(ValueError, match=answer):
        NetworkConfig(backbone="timm", options=options)


def test_plain_options_reach_timm() -> None:
    net = build_backbone(NetworkConfig(backbone="timm", model="resnet18", channels=8, options={"output_stride": 16}))
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 8, 16, 16)


def test_configurations_are_checked() -> None:
    with pytest.raises(ConfigError, match="backbone: there is no 'vgg'"):
        build_config(NetworkConfig, {"backbone": "vgg"})
    with pytest.raises(ValueError, match="head is one of"):
        dense_net(4, 2, head="heavy")


@settings(max_examples=30, deadline=None)
@given(row=st.integers(0, 8), column=st.integers(0, 12))
def test_soft_argmax_finds_pixel_centres(row: int, column: int) -> None:
    heat = torch.full((1, 1, 9, 13), -50.0)
    heat[0, 0, row, column] = 50.0
    assert torch.allclose(soft_argmax(heat)[0, 0], torch.tensor([(column + 0.5) / 13, (row + 0.5) / 9]), atol=1e-6)


def test_the_papers_landmark_head_has_two_stacks_at_64() -> None:
    with torch.device("meta"):
        head = HeatmapNet(64, 68, head="paper")
        stacks = head(torch.empty(1, 64, 256, 256))
    assert [tuple(s.shape) for s in stacks] == [(1, 68, 64, 64)] * 2
    small = PointHead(8, 5, head="paper", size=8, width=16)
    out = small(torch.rand(2, 8, 32, 32))
    assert out["points"].shape == (2, 5, 2)
    assert out["stacks"].shape == (2, 2, 5, 2)
    assert out["heatmaps"].shape == (2, 5, 8, 8)
    assert torch.equal(out["points"], out["stacks"][:, -1])
    out["points"].sum().backward()


@pytest.mark.parametrize("head", ["paper", "light"])
@pytest.mark.parametrize("channels", [0, 6])
def test_the_point_adapter_starts_at_the_identity(head: str, channels: int) -> None:
    torch.manual_seed(0)
    model = PointHead(6, 68, head=head, size=8, width=16)
    features = torch.randn(3, 6, 32, 32)
    adapter = PointAdapter(68, 68, channels, head=head, size=8, width=16)
    before = model(features)
    after = adapter(before, features if channels else None)
    assert torch.allclose(after["points"], before["points"], atol=1e-5)
    after["points"].square().sum().backward()
    moved = [p for p in adapter.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert moved, "it must be able to leave the identity"
    if channels:
        with pytest.raises(ValueError, match="feature map"):
            adapter(before, None)


@pytest.mark.parametrize("target", [LAPA11, CELEBAMASK19])
def test_the_class_adapter_starts_at_the_known_mapping(target) -> None:  # type: ignore[no-untyped-def]
    table = class_mapping("synthforge", target.name)
    adapter = ClassAdapter(len(SYNTHFORGE), len(target), 0, table, head="light", width=0.25)
    label = torch.arange(len(SYNTHFORGE)).view(1, 1, -1).expand(1, 4, -1)
    logits = 20.0 * nn.functional.one_hot(label, len(SYNTHFORGE)).permute(0, 3, 1, 2).float()
    found = adapter({"logits": logits})["logits"].argmax(1)
    assert np.array_equal(found.numpy(), table[label.numpy()])
    free = ClassAdapter(5, len(target), 0, None, head="light", width=0.25)
    assert free({"logits": torch.rand(1, 5, 8, 8)})["logits"].shape == (1, len(target), 8, 8)


@pytest.mark.parametrize("size", [32, 30])
def test_class_tokens_start_at_the_light_head_and_at_the_known_mapping_on_a_finer_grid(size: int) -> None:
    pyramid = build_backbone(NetworkConfig(backbone="residual", width=0.125, channels=12, input_size=size))
    with torch.no_grad():
        parts = pyramid.eval().parts(torch.rand(2, 3, size, size))
        levels = stacked(parts)
    head = TokenHead(12, levels.shape[1], len(SYNTHFORGE), "logits", width=0.25).eval()
    logits = head(parts)["logits"]
    assert logits.shape[2:] == (16, 16)
    torch.testing.assert_close(logits, resize(head.net(parts[0]), (16, 16)))
    table = class_mapping("synthforge", CELEBAMASK19.name)
    here, there = len(SYNTHFORGE), len(CELEBAMASK19)
    adapter = ClassAdapter(here, there, levels.shape[1], table, head="tokens", width=0.25).eval()
    sure = 20.0 * nn.functional.one_hot(logits.argmax(1), here).permute(0, 3, 1, 2).float()
    assert np.array_equal(adapter({"logits": sure}, levels)["logits"].argmax(1).numpy(), table[logits.argmax(1)])
    # they can leave the start, and each class looks at the picture: another picture, other tokens
    optimiser = torch.optim.Adam(head.fine.parameters(), 1e-2)
    target = torch.randint(0, 3, (2, 16, 16), generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(8):
        losses.append(nn.functional.cross_entropy(head(parts)["logits"], target))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]
    whole = [levels[:, :12], levels[:, 12:-PIXELS], levels[:, -PIXELS:]]
    torch.testing.assert_close(head(whole)["logits"], head(parts)["logits"])
    whole[1][:, :, 0, 0] += 3.0
    assert not torch.equal(head(whole)["logits"][..., -1, -1], head(parts)["logits"][..., -1, -1])


def test_the_depth_adapter_starts_at_the_identity() -> None:
    adapter = DepthAdapter(3, 0.1, head="light", width=0.25)
    depth = torch.rand(2, 1, 8, 8)
    assert torch.allclose(adapter({"depth": depth}, torch.rand(2, 3, 8, 8))["depth"], depth, atol=1e-6)


def test_the_unet_needs_no_even_size() -> None:
    assert UNet(3, 2, (4, 4, 8))(torch.rand(1, 3, 19, 21)).shape == (1, 2, 19, 21)


def some_affine(count: int = 4) -> torch.Tensor:
    return losses.draw_affine(SelfSupervisionConfig(), count, torch.Generator().manual_seed(0))


def smooth(count: int, size: int) -> torch.Tensor:
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, size=size, mode="bicubic")


def test_the_affine_term_vanishes_for_an_equivariant_map() -> None:
    images, matrix = smooth(4, 64), some_affine()
    moved, inside = losses.transform(images, matrix)
    assert 0.3 < inside.mean() < 1

    def pointwise(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(2 * x - 1)

    def biased(x: torch.Tensor) -> torch.Tensor:
        return x * torch.linspace(0, 1, x.shape[-1])

    assert losses.map_consistency(pointwise(moved), pointwise(images), matrix) < 0.005
    assert losses.map_consistency(biased(moved), biased(images), matrix) > 0.02


def test_the_affine_term_on_outputs_knows_points() -> None:
    matrix = some_affine(3)
    points = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(2))
    wanted = losses.augment.warp_points(points, matrix)
    task = load_plugins().build("task", "keypoints")
    assert losses.prediction_consistency(task, {"points": wanted}, {"points": points}, matrix) < 1e-6
    assert losses.prediction_consistency(task, {"points": points}, {"points": points}, matrix) > 0.01


def test_learned_weights_find_their_optimum() -> None:
    """The minimum of exp(-s) L + s lies at s = log L."""
    weights = losses.TaskWeights({"a": 1.0, "b": 2.0}, learned=True)
    optimiser = torch.optim.Adam(weights.parameters(), 0.05)
    values = {"a": torch.tensor(0.1), "b": torch.tensor(4.0)}
    for _ in range(400):
        optimiser.zero_grad()
        weights(values).backward()
        optimiser.step()
    assert torch.allclose(weights.log_variance, torch.log(torch.tensor([0.1, 4.0])), atol=0.01)
    fixed = losses.TaskWeights({"a": 1.0, "b": 2.0}, learned=False)
    assert torch.isclose(fixed(values), torch.tensor(8.1))
    assert not list(fixed.parameters())
