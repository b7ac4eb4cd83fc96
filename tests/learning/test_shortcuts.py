"""What makes training cheap or flexible: dense losses on part of the pixels, wide crops, a model to start from."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import Blobs, light_tasks, tiny
from safetensors.torch import load_file

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.core.plugins import load_plugins
from synthforge.core.seeding import numpy_rng
from synthforge.learning import augment
from synthforge.learning.config import FramingConfig, NetworkConfig, SelfSupervisionConfig
from synthforge.learning.losses import TaskWeights, resized_logits
from synthforge.learning.model import AdapterInfo, FaceModel, build_tasks, load_model
from synthforge.learning.networks.widened import start_weights, widened
from synthforge.learning.train import MultiTask, train

NO_TERM = SelfSupervisionConfig(weight=0.0)


@pytest.mark.parametrize("stride", [2, 3])
def test_part_of_an_upsampled_map_is_that_part_of_the_whole(stride: int) -> None:
    maps = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = resized_logits(maps, (33, 32))
    for row, column in itertools.product(range(stride), repeat=2):
        pixels = slice(row, None, stride), slice(column, None, stride)
        torch.testing.assert_close(resized_logits(maps, (33, 32), pixels), whole[..., pixels[0], pixels[1]])


def _batch(count: int = 2, size: int = 32) -> tuple[torch.Tensor, dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, size, size, generator=generator)
    return images, {
        "keypoints": {"points": torch.rand(count, 68, 2, generator=generator), "visible": torch.ones(count, 68).bool()},
        "segmentation": {"label": torch.randint(0, 20, (count, size, size), generator=generator)},
        "depth": {
            "depth": torch.rand(count, 1, size, size, generator=generator),
            "mask": torch.ones(count, 1, size, size).bool(),
        },
    }


def test_dense_losses_on_every_second_pixel_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over all first pixels is the loss over all pixels, and losses of points stay what they are."""
    references = [*light_tasks()[:2], {"name": "depth", "head": "light", "width": 0.25, "normalise": "none"}]
    tasks, complete = build_tasks(references, load_plugins())
    torch.manual_seed(0)
    model = FaceModel(NetworkConfig(backbone="residual", width=0.25, channels=8, input_size=32), tasks, complete).eval()
    weights = TaskWeights(dict.fromkeys(tasks, 1.0), learned=False)
    images, targets = _batch()
    with torch.no_grad():
        whole = MultiTask(model, weights, NO_TERM)(images, targets)
        parts = []
        for first in itertools.product(range(2), repeat=2):
            monkeypatch.setattr(torch, "randint", lambda *_, first=first: torch.tensor(first))
            parts.append(MultiTask(model, weights, NO_TERM, 2)(images, targets))
    for name in whole:
        values = torch.stack([part[name] for part in parts])
        torch.testing.assert_close(values.mean(), whole[name], rtol=1e-5, atol=1e-5)
        assert (values.std() > 1e-6) == (name != "loss/keypoints")


def test_training_on_every_second_pixel_repeats(tmp_path: Path) -> None:
    found = []
    for name, stride in (("a", 2), ("b", 2), ("c", 1)):
        train(tiny(max_steps=3, dense_stride=stride, augmentation="paper"), "", tmp_path / name, dataset=Blobs(16))
        found.append(load_file(tmp_path / name / "model.safetensors"))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert not all(torch.equal(found[0][key], found[2][key]) for key in found[0])


def test_wide_crops_show_up_to_the_factor_and_no_more() -> None:
    plain = augment.Policy()
    zooms = []
    for index in range(400):
        matrix = augment.draw(plain, numpy_rng(0, index, "x"), margin=2.0, wide=(0.5, 1.75))["matrix"]
        zooms.append(2.0 / matrix[0, 0])
        assert matrix[0, 0] == matrix[1, 1]
    shown = np.array(zooms)
    assert shown.min() >= 1.0 - 1e-6
    assert shown.max() <= 1.75 + 1e-6
    assert 0.4 < (shown > 1.0 + 1e-6).mean() < 0.6
    assert shown.max() > 1.7


@pytest.mark.parametrize("wide", [[0.5], [1.5, 2.0], [0.5, 0.9]])
def test_wrong_wide_crops_are_answered(wide: list[float]) -> None:
    with pytest.raises(ConfigError, match="wide"):
        build_config(FramingConfig, {"wide": wide})


def test_training_starts_from_another_model(tmp_path: Path) -> None:
    first = tiny(max_steps=3, self_supervision=NO_TERM)
    train(first, "", tmp_path / "first", dataset=Blobs(16))
    again = tiny(max_steps=1, self_supervision=NO_TERM)
    again.optimiser.lr = again.optimiser.final_lr = 1e-9
    train(again, "", tmp_path / "second", dataset=Blobs(16, seed=3), initial=tmp_path / "first")
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")]
    learned = [key for key in weights[0] if key.endswith("weight")]
    assert all(torch.allclose(weights[0][key], weights[1][key], atol=1e-6) for key in learned)


def _images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("changes", [{"channels": 12}, {"width": 0.4, "channels": 9}, {}])
def test_a_wider_network_starts_with_the_answers_of_the_narrow_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    narrow = tiny(max_steps=3, self_supervision=NO_TERM)
    narrow.network = NetworkConfig(backbone="residual", width=0.25, channels=8, input_size=32)
    train(narrow, "", tmp_path / "narrow", dataset=Blobs(16))
    given = load_model(tmp_path / "narrow")
    wide = FaceModel(dataclasses.replace(narrow.network, **changes), given.tasks, given.references)
    wide.load_state_dict(widened(given.state_dict(), wide.state_dict()))
    for name, answer in wide.eval()(_images()).items():
        for key, value in answer.items():
            torch.testing.assert_close(value, given(_images())[name][key], rtol=1e-4, atol=1e-4)
    # its new channels have gradients, so they learn
    wide.train()(_images())["keypoints"]["points"].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in wide.backbone.parameters())
    if changes:
        lateral = wide.backbone.get_parameter("smooth.0.0.weight")
        assert lateral.grad is not None
        assert lateral.grad[:8, 8:].abs().max() > 0


def test_training_goes_on_with_a_wider_network(tmp_path: Path) -> None:
    narrow = tiny(max_steps=2, self_supervision=NO_TERM)
    narrow.network = NetworkConfig(backbone="residual", width=0.25, channels=8, input_size=32)
    train(narrow, "", tmp_path / "narrow", dataset=Blobs(16))
    wide = dataclasses.replace(narrow, network=dataclasses.replace(narrow.network, channels=16))
    train(wide, "", tmp_path / "wide", dataset=Blobs(16), initial=tmp_path / "narrow")
    assert load_model(tmp_path / "wide").network.channels == 16
    with pytest.raises(ConfigError, match="which is no part of"):
        train(narrow, "", tmp_path / "back", dataset=Blobs(16), initial=tmp_path / "wide")


def test_training_starts_from_a_model_with_other_tasks(tmp_path: Path) -> None:
    """The encoder and the output heads that both have go on; the others start from nothing."""
    both = tiny(max_steps=2, self_supervision=NO_TERM)
    both.network = NetworkConfig(backbone="residual", width=0.25, channels=8, input_size=32)
    train(both, "", tmp_path / "both", dataset=Blobs(16))
    names = [str(task["name"]) for task in both.tasks]
    assert len(names) > 1
    one, other = (dataclasses.replace(both, tasks=tasks) for tasks in (both.tasks[:1], both.tasks))
    train(one, "", tmp_path / "one", dataset=Blobs(16), initial=tmp_path / "both")
    assert list(load_model(tmp_path / "one").tasks) == names[:1]
    given, fresh = load_model(tmp_path / "one"), FaceModel(other.network, load_model(tmp_path / "both").tasks, {})
    weights = start_weights(given, fresh)
    assert set(weights) == set(fresh.state_dict())
    for name, value in weights.items():
        old = name.startswith("backbone.") or name.split(".")[1] == names[0]
        torch.testing.assert_close(value, (given if old else fresh).state_dict()[name])


def test_class_tokens_learn_behind_an_encoder_that_stays_as_it_is(tmp_path: Path) -> None:
    """From a model with the light head, whose scores they start at; statistics of the encoder stay as well."""
    light = {"name": "segmentation", "head": "light", "width": 0.25}
    first = tiny(max_steps=2, self_supervision=NO_TERM, tasks=[light])
    first.network = NetworkConfig(backbone="residual", width=0.25, channels=8, input_size=32)
    train(first, "", tmp_path / "first", dataset=Blobs(16))
    optimiser = dataclasses.replace(first.optimiser, encoder_factor=0.0)
    second = dataclasses.replace(first, optimiser=optimiser, tasks=[{**light, "head": "tokens"}])
    train(second, "", tmp_path / "second", dataset=Blobs(16), initial=tmp_path / "first")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    encoder = [key for key in before if key.startswith("backbone.")]
    assert all(torch.equal(before[key], after[key]) for key in encoder)
    assert any("running_mean" in key for key in encoder)
    assert not torch.equal(before["heads.segmentation.net.1.bias"], after["heads.segmentation.net.1.bias"])
    model = load_model(tmp_path / "second")
    assert model.head("segmentation", model.features(_images()))["logits"].shape[2:] == (16, 16)
    for levels in (False, True):  # a label network like the head, where it reads as much as the head does
        model.add_adapter("segmentation", AdapterInfo("lapa11", with_features=True, with_levels=levels))
        found = model.eval().predict(_images(), tasks=["segmentation"])["segmentation"]["logits"]
        assert found.shape == (2, 11, 32, 32)
        assert any("tokens" in key for key in model.adapters.state_dict()) == levels
    own = AdapterInfo("lapa11", with_features=True, own_encoder=True, options={"head": "light"})
    adapter = model.add_adapter("segmentation", own)
    assert any("tokens" in key for key in adapter.head.state_dict())
    found = model.eval().predict(_images(), tasks=["segmentation"])["segmentation"]["logits"]
    assert found.shape == (2, 11, 32, 32)
    third = dataclasses.replace(first, max_steps=1)
    train(third, "", tmp_path / "third", dataset=Blobs(16), initial=tmp_path / "second")
    back = load_file(tmp_path / "third" / "model.safetensors")
    assert {key for key in back if key.startswith("heads.")} == {key for key in before if key.startswith("heads.")}
    second.network = NetworkConfig(backbone="unet", width=0.0625, channels=8, input_size=32)
    with pytest.raises(ConfigError, match=r"tokens.*needs a backbone with a feature pyramid"):
        train(second, "", tmp_path / "fourth", dataset=Blobs(16))


@pytest.mark.parametrize(
    ("network", "head"), [({"width": 0.125}, {}), ({}, {"width": 0.125})], ids=["backbone", "parsing head"]
)
def test_another_network_cannot_be_started_from(
    tmp_path: Path, network: dict[str, float], head: dict[str, float]
) -> None:
    """A U-Net concatenates, so more channels would change what each of them reads."""
    parsing = {"name": "segmentation", "head": "paper", "width": 0.0625}
    first = tiny(max_steps=1, self_supervision=NO_TERM, tasks=[parsing])
    first.network = NetworkConfig(backbone="unet", width=0.0625, channels=8, input_size=32)
    train(first, "", tmp_path / "first", dataset=Blobs(16))
    wider = dataclasses.replace(
        first, network=dataclasses.replace(first.network, **network), tasks=[{**parsing, **head}]
    )
    with pytest.raises(ConfigError, match="other tasks: the answers to 'segmentation' are others with more channels"):
        train(wider, "", tmp_path / "second", dataset=Blobs(16), initial=tmp_path / "first")


def test_what_prediction_kept_is_fit_for_training() -> None:
    """A pipeline scores a model and fine-tunes its labels in one process."""
    with torch.inference_mode():
        resized_logits(torch.rand(1, 2, 7, 9), (11, 13))
    maps = torch.rand(1, 2, 7, 9, requires_grad=True)
    resized_logits(maps, (11, 13)).sum().backward()
    assert maps.grad is not None
