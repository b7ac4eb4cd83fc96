from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from blobs import BlobBenchmark, Blobs, tiny
from safetensors.torch import load_file

from synthforge.core.errors import ConfigError, DataError, SynthForgeError
from synthforge.core.records import RealItem, RealSample
from synthforge.learning.config import (
    FinetuneConfig,
    FramingConfig,
    NetworkConfig,
    OptimiserConfig,
    SelfSupervisionConfig,
)
from synthforge.learning.data import CropDataset, RealFaces, prepare, real_field
from synthforge.learning.fields import plan_for
from synthforge.learning.finetune import LabelNetwork, finetune
from synthforge.learning.model import AdapterInfo, load_model
from synthforge.learning.networks.pyramid import PIXELS, STRIDE
from synthforge.learning.processes import Interrupted
from synthforge.learning.train import train
from synthforge.learning.weights import read_checkpoint


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    config = tiny(
        epochs=None,
        max_steps=40,
        self_supervision=SelfSupervisionConfig(weight=0.0),
        optimiser=OptimiserConfig(lr=5e-3, final_lr=1e-4, encoder_factor=1.0),
        val_fraction=0.1,
        validate_every=100,
    )
    train(config, "", folder, dataset=Blobs(48))
    return folder


def config(**changes: object) -> FinetuneConfig:
    values = {"epochs": 25, "lr": 3e-3, "hardware": tiny().hardware, "precision": "32-true", "batch_size": 8}
    return FinetuneConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "metric", "with_features", "augmentation"),
    [("keypoints", "nme", True, "light"), ("keypoints", "nme", False, "none"), ("segmentation", "loss", True, "none")],
)
def test_fine_tuning_learns_the_labels_of_a_benchmark(
    model_dir: Path, tmp_path: Path, task: str, metric: str, with_features: bool, augmentation: str
) -> None:
    benchmark = BlobBenchmark(task)
    result = finetune(
        config(with_features=with_features, augmentation=augmentation), model_dir, benchmark, tmp_path, name="blobs"
    )
    assert result.metrics[metric] < 0.6 * result.before[metric]
    assert set(benchmark.asked) == {"train", "val"}
    old, new = load_file(model_dir / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(old[key], new[key]) for key in old), "backbone and heads are frozen"
    model = load_model(tmp_path)
    images = torch.rand(2, 3, 32, 32)
    plain, before = model.predict(images, adapted=False), load_model(model_dir).predict(images)
    assert all(torch.equal(plain[task][k], before[task][k]) for k in plain[task])
    description = json.loads((tmp_path / "model.json").read_text())
    seen = description["real_data"][0]
    assert (seen["benchmark"], seen["train_split"], seen["train_faces"], seen["val_faces"]) == ("blobs", "train", 16, 4)
    assert description["adapters"][task]["with_features"] is with_features
    assert description["schemas"][task] == benchmark.schema


def test_it_never_ends_worse_than_it_began(model_dir: Path, tmp_path: Path) -> None:
    """With an absurd learning rate the untrained adapter, which is the identity, is the one that is kept."""
    result = finetune(config(lr=10.0, epochs=3, ema=0.0), model_dir, BlobBenchmark(), tmp_path)
    assert result.metrics["loss"] <= result.before["loss"]
    images = torch.rand(2, 3, 32, 32)
    kept = load_model(tmp_path)
    a, b = kept.predict(images), load_model(model_dir).predict(images)
    if result.metrics == result.before:
        moved = b["keypoints"]["points"] + torch.tensor(kept.adapter_info["keypoints"].lean)
        assert torch.allclose(a["keypoints"]["points"], moved, atol=1e-5)


def test_remembered_answers_change_nothing(model_dir: Path, tmp_path: Path) -> None:
    for name, cache in (("a", True), ("b", False)):
        finetune(config(epochs=3, augmentation="none", cache=cache), model_dir, BlobBenchmark(), tmp_path / name)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("a", "b"))
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_two_adapters_live_in_one_model(model_dir: Path, tmp_path: Path) -> None:
    finetune(config(epochs=1), model_dir, BlobBenchmark("keypoints"), tmp_path / "a")
    finetune(config(epochs=1), tmp_path / "a", BlobBenchmark("depth"), tmp_path / "b")
    model = load_model(tmp_path / "b")
    assert set(model.adapters) == {"keypoints", "depth"}
    assert [seen["task"] for seen in model.info["real_data"]] == ["keypoints", "depth"]


def test_a_label_network_sees_all_levels_of_the_encoder(model_dir: Path, tmp_path: Path) -> None:
    result = finetune(config(with_levels=True), model_dir, BlobBenchmark("keypoints"), tmp_path / "points", name="b")
    assert result.metrics["nme"] < 0.6 * result.before["nme"]
    finetune(config(epochs=1), tmp_path / "points", BlobBenchmark("segmentation"), tmp_path / "both", name="b")
    model, images = load_model(tmp_path / "both"), torch.rand(2, 3, 32, 32)
    features, reads = model.features_for(images, ["keypoints", "segmentation"])
    levels = reads["keypoints"]
    assert levels is not None
    assert reads["segmentation"] is features
    assert torch.equal(levels[:, : features.shape[1]], features)
    assert levels.shape[1] == features.shape[1] + sum(model.backbone.encoder.channels) + PIXELS
    pixels = torch.nn.functional.pixel_shuffle(levels[:, -PIXELS:], STRIDE)
    assert torch.equal(pixels, (images - model.mean) / model.std)
    points = load_model(tmp_path / "points").predict(images)["keypoints"]["points"]
    assert torch.equal(model.predict(images)["keypoints"]["points"], points)
    with pytest.raises(ValueError, match="needs with_features"):
        config(with_levels=True, with_features=False)


def test_an_encoder_of_its_own_starts_as_the_frozen_one(model_dir: Path) -> None:
    for task, schema in (("keypoints", "ibug68"), ("depth", "")):
        model, images = load_model(model_dir), torch.rand(2, 3, 32, 32)
        before = model.predict(images)[task]
        model.add_adapter(task, AdapterInfo(schema, True, own_encoder=True, with_levels=task == "depth"))
        adapter = model.adapters[task]
        for own, frozen in ((adapter.encoder, model.backbone), (adapter.head, model.heads[task])):
            assert own is not frozen
            weights = frozen.state_dict()
            assert all(torch.equal(value, weights[name]) for name, value in own.state_dict().items())
        after = model.eval().predict(images)[task]
        assert all(torch.allclose(after[key], before[key], atol=1e-6) for key in before)
        network = LabelNetwork(model, task)
        model.backbone.forward = None  # type: ignore[method-assign, assignment]
        answer = network.answer(images)  # the frozen model is not asked
        assert set(model.predict(images, tasks=[task])) == {task}
        target = model.tasks[task].example_target(2, 32)
        network(answer, target, (32, 32))["loss"].backward()
        assert {name for name, p in network.adapter.named_parameters() if p.grad is None} == set()
        assert {name for name, p in model.named_parameters() if p.grad is not None} == {
            f"adapters.{task}.{name}" for name, _ in network.adapter.named_parameters()
        }


@pytest.mark.parametrize("task", ["keypoints", "segmentation"])
def test_an_encoder_of_its_own_learns_while_the_model_stays_as_it_is(
    model_dir: Path, tmp_path: Path, task: str
) -> None:
    chosen = config(
        own_encoder=True, keep="last", epochs=14, early_size=24, early_epochs=4, ema=0.9, warmup_steps=2, clip=1.0
    )
    result = finetune(chosen, model_dir, BlobBenchmark(task), tmp_path, name="b")
    assert result.metrics["loss"] < (0.6 if task == "keypoints" else 0.85) * result.before["loss"]
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    assert result.metrics["loss"] == history[-1]["loss"]
    old, new = load_file(model_dir / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(old[key], new[key]) for key in old)
    learned = {key.removeprefix(f"adapters.{task}.encoder."): new[key] for key in new if ".encoder." in key}
    assert any(not torch.equal(old[f"backbone.{k}"], v) for k, v in learned.items() if f"backbone.{k}" in old)
    model, images = load_model(tmp_path), torch.rand(2, 3, 32, 32)
    before = load_model(model_dir).predict(images)[task]
    assert all(torch.equal(v, before[k]) for k, v in model.predict(images, adapted=False)[task].items())
    benchmark = BlobBenchmark(task)
    feed = CropDataset(
        RealFaces(benchmark, benchmark.items("val")),
        {"target": plan_for(model.tasks[task], real_field(benchmark, model.tasks[task]))},
        32,
        FramingConfig(crop_scale=benchmark.crop_scale),
    )
    batch = {k: torch.stack([torch.as_tensor(feed[0, i][k]) for i in range(4)]) for k in feed[0, 0]}
    shown, target = prepare(batch, feed.plans, 32)
    model.adapter_info[task] = dataclasses.replace(model.adapter_info[task], lean=(0.0, 0.0))
    found = model.adapter_task(task).loss(model.predict(shown)[task], target["target"])
    assert float(found) == pytest.approx(result.metrics["loss"], rel=0.02)  # what is served is what was measured


def test_an_encoder_of_its_own_needs_features_and_early_sizes_augmentation(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own_encoder: needs with_features"):
        config(own_encoder=True, with_features=False)
    with pytest.raises(ValueError, match="early_size: goes with early_epochs"):
        config(early_size=24)
    plain = config(early_size=24, early_epochs=1, augmentation="none")
    with pytest.raises(ConfigError, match="early_size: crops change their size only where they are augmented"):
        finetune(plain, model_dir, BlobBenchmark(), tmp_path)


def test_levels_need_a_pyramid(tmp_path: Path) -> None:
    network = NetworkConfig(backbone="unet", width=0.1, channels=8, input_size=32)
    train(tiny(epochs=None, max_steps=1, network=network), "", tmp_path / "unet", dataset=Blobs(8))
    with pytest.raises(ConfigError, match="no feature pyramid"):
        finetune(config(with_levels=True), tmp_path / "unet", BlobBenchmark("keypoints"), tmp_path / "no", name="b")


def test_a_label_network_of_another_shape_and_size(model_dir: Path, tmp_path: Path) -> None:
    chosen = {"head": "paper", "size": 16, "width": 16, "stacks": 1}
    few = config(epochs=2, adapter=chosen, input_size=64)
    finetune(few, model_dir, BlobBenchmark("keypoints"), tmp_path, name="blobs")
    model = load_model(tmp_path)
    assert model.input_size == 64
    assert type(model.adapters["keypoints"].net.net).__name__ == "StackedHourglass"
    assert len(model.adapters["keypoints"].net.scores()) == 1
    assert model.predict(torch.rand(2, 3, 64, 64))["keypoints"]["points"].shape == (2, 68, 2)
    with pytest.raises(ConfigError, match="haed"):
        finetune(config(adapter={"haed": "paper"}), model_dir, BlobBenchmark("keypoints"), tmp_path / "no", name="b")


def test_labels_are_learned_at_the_size_their_task_is_best_at(model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(model_dir, tmp_path / "sized")
    described = json.loads((model_dir / "model.json").read_text()) | {"task_sizes": {"segmentation": 48}, "sha256": {}}
    (tmp_path / "sized/model.json").write_text(json.dumps(described))
    for task, pixels in (("segmentation", 48), ("keypoints", 32)):
        finetune(config(epochs=1), tmp_path / "sized", BlobBenchmark(task), tmp_path / task, name="b")
        assert load_model(tmp_path / task).input_size == load_model(tmp_path / task, task=task).input_size == pixels


def test_what_all_labels_have_in_common_to_one_side_survives_mirroring(model_dir: Path, tmp_path: Path) -> None:
    """The benchmark's points lie a tenth of the face to the right and below, which is 0.067 of its crops."""
    shutil.copytree(model_dir, tmp_path / "mirrors")
    described = json.loads((model_dir / "model.json").read_text()) | {
        "mirrored": ["keypoints", "segmentation"],
        "sha256": {},
    }
    (tmp_path / "mirrors/model.json").write_text(json.dumps(described))
    finetune(config(epochs=1, lr=1e-9), tmp_path / "mirrors", BlobBenchmark("keypoints"), tmp_path / "tuned", name="b")
    before, tuned = load_model(tmp_path / "mirrors"), load_model(tmp_path / "tuned")
    assert tuned.mirrored == ("keypoints", "segmentation")
    lean = torch.tensor(tuned.adapter_info["keypoints"].lean)
    assert lean[0] == pytest.approx(0.067, abs=0.02)  # but for its mistakes, which mirroring makes even sideways
    assert lean[1] > 0.02
    images = torch.rand(2, 3, 32, 32)
    for flip in (None, False):
        plain = before.predict(images, flip=flip)["keypoints"]["points"]
        torch.testing.assert_close(
            tuned.predict(images, flip=flip)["keypoints"]["points"], plain + lean, rtol=0, atol=1e-4
        )
    untouched = tuned.predict(images, adapted=False)["keypoints"]["points"]
    torch.testing.assert_close(untouched, before.predict(images)["keypoints"]["points"])


def test_a_label_network_learns_by_its_own_loss(model_dir: Path, tmp_path: Path) -> None:
    before = {}
    for dice in (0.0, 1.0):
        chosen = config(epochs=1, augmentation="none", adapter={"dice": dice})
        before[dice] = finetune(chosen, model_dir, BlobBenchmark("segmentation"), tmp_path / str(dice), name="b").before
    assert 0.0 < before[1.0]["loss"] - before[0.0]["loss"] <= 1.0
    assert load_model(tmp_path / "1.0").adapter_info["segmentation"].options == {"dice": 1.0}


def test_patience_ends_it(model_dir: Path, tmp_path: Path) -> None:
    result = finetune(config(lr=10.0, epochs=40, ema=0.0, patience=2), model_dir, BlobBenchmark(), tmp_path)
    assert result.steps < 40 * 2


def test_wrong_splits_are_refused(model_dir: Path, tmp_path: Path) -> None:
    benchmark = BlobBenchmark()
    with pytest.raises(ConfigError, match="does not touch the test split 'common'"):
        finetune(config(), model_dir, benchmark, tmp_path, splits=("common", "val"))
    with pytest.raises(ConfigError, match="does not touch the test split 'common'"):
        finetune(config(), model_dir, benchmark, tmp_path, splits=("train", "common"))
    with pytest.raises(ConfigError, match="no split 'trian'"):
        finetune(config(), model_dir, benchmark, tmp_path, splits=("trian", "val"))
    with pytest.raises(ConfigError, match="both train and validate"):
        finetune(config(), model_dir, benchmark, tmp_path, splits=("train", "train"))
    assert benchmark.asked == []
    benchmark.items = lambda split: BlobBenchmark().items("val")  # type: ignore[method-assign]
    with pytest.raises(DataError, match="4 faces stand in both"):
        finetune(config(), model_dir, benchmark, tmp_path)
    benchmark.task = "gaze"
    with pytest.raises(ConfigError, match="has no task 'gaze'"):
        finetune(config(), model_dir, benchmark, tmp_path)


class Telling(BlobBenchmark):
    """Sends this process a signal when it reads a certain face."""

    def __init__(self, number: signal.Signals, at: int) -> None:
        super().__init__()
        self.number, self.left = number, at

    def load(self, item: RealItem) -> RealSample:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return super().load(item)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_first(model_dir: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The same command goes on from there, to the weights of an undisturbed run."""
    few = config(epochs=4, augmentation="light", cache=False)
    finetune(few, model_dir, BlobBenchmark(), tmp_path / "calm")
    told = Telling(number, at=4 + 16 + 4 + 10)  # the faces validated first, an epoch, its validation, and then some
    with pytest.raises(Interrupted, match=r"step \d is saved in .*last\.ckpt") as caught:
        finetune(few, model_dir, told, tmp_path / "told")
    assert caught.value.exit_code == code
    assert 0 < read_checkpoint(tmp_path / "told/last.ckpt")["state"]["step"] < 8
    assert not (tmp_path / "told/model.json").exists()
    assert finetune(few, model_dir, BlobBenchmark(), tmp_path / "told").steps == 8
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "told" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert not (tmp_path / "told/last.ckpt").exists()


def test_a_loss_that_is_no_number_ends_it_and_the_same_command_goes_on(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = config(epochs=2)
    finetune(few, model_dir, BlobBenchmark(), tmp_path / "calm")
    with monkeypatch.context() as patch:
        right = LabelNetwork.forward
        patch.setattr(LabelNetwork, "forward", lambda *given: {"loss": right(*given)["loss"] * float("nan")})
        with pytest.raises(SynthForgeError, match="the loss is nan at step 0: training diverges"):
            finetune(few, model_dir, BlobBenchmark(), tmp_path / "broken")
    assert {path.name for path in (tmp_path / "broken").iterdir()} <= {"tensorboard"}
    finetune(few, model_dir, BlobBenchmark(), tmp_path / "broken")
    both = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("calm", "broken")]
    assert both[0] == both[1]
