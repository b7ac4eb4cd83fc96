from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import BlobBenchmark, Blobs, light_tasks, tiny
from safetensors.torch import load_file
from torch import nn

from synthforge.core import plugins
from synthforge.core.errors import ConfigError, DataError, SynthForgeError
from synthforge.core.plugins import load_plugins
from synthforge.learning import hardware, loop, model, processes
from synthforge.learning.config import (
    FinetuneConfig,
    HardwareConfig,
    NetworkConfig,
    OptimiserConfig,
    SamplingConfig,
    SelfSupervisionConfig,
    TrainConfig,
)
from synthforge.learning.finetune import finetune
from synthforge.learning.model import load_model
from synthforge.learning.train import MultiTask, train
from synthforge.learning.weights import read_checkpoint, write_checkpoint

NO_TERM = SelfSupervisionConfig(weight=0.0)


def test_training_learns_every_task(tmp_path: Path) -> None:
    config = tiny(
        epochs=None,
        max_steps=100,
        self_supervision=NO_TERM,
        weighting="uncertainty",
        optimiser=OptimiserConfig(lr=3e-3, final_lr=1e-4, encoder_factor=1.0, warmup_steps=5, clip=5.0),
        validate_every=100,
        val_fraction=0.1,
    )
    result = train(config, "", tmp_path, seed=1, dataset=Blobs(64))
    assert result.steps == 100
    assert result.metrics["keypoints/nme"] < 20  # an untrained network has about 60
    assert result.metrics["segmentation/f1"] > 80
    assert result.metrics["depth/mae_mm"] < 15
    model = load_model(tmp_path)
    sample = Blobs(96)[3]["image"]
    found = model.predict(torch.from_numpy(sample[8:40, 8:40]).permute(2, 0, 1)[None].float() / 255)
    assert found["keypoints"]["points"].shape == (1, 68, 2)
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["final"]["keypoints/nme"] == result.metrics["keypoints/nme"]
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["real_data"] == []
    assert description["training"]["samples_seen"] == result.samples
    assert description["training"]["config"]["max_steps"] == 100
    assert not (tmp_path / "last.ckpt").exists()
    assert list((tmp_path / "tensorboard").iterdir())


def test_crops_of_several_sizes_take_turns(tmp_path: Path) -> None:
    sizes: list[int] = []

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, MultiTask):
            sizes.append(inputs[0].shape[-1])

    hook = nn.modules.module.register_module_forward_pre_hook(look)
    config = tiny(epochs=None, max_steps=5, more_sizes=[48, 40], self_supervision=NO_TERM, validate_every=100)
    try:
        train(config, "", tmp_path, dataset=Blobs(32))
    finally:
        hook.remove()
    assert sizes == [32, 48, 40, 32, 48]
    assert load_model(tmp_path).input_size == 32


def test_a_task_may_be_best_at_another_size_than_the_model(tmp_path: Path) -> None:
    config = tiny(epochs=None, max_steps=1, more_sizes=[48], task_sizes={"segmentation": 48}, validate_every=100)
    train(config, "", tmp_path, dataset=Blobs(32))
    assert load_model(tmp_path).input_size == 32
    assert load_model(tmp_path, task="keypoints").input_size == 32
    assert load_model(tmp_path, task="segmentation").input_size == 48
    assert load_model(tmp_path, task="segmentation", input_size=40).input_size == 40
    with pytest.raises(ValueError, match="64 is neither"):
        tiny(more_sizes=[48], task_sizes={"segmentation": 64})


def test_a_trained_model_says_what_it_mirrors(tmp_path: Path) -> None:
    config = tiny(epochs=None, max_steps=1, mirrored=["keypoints"], validate_every=100)
    train(config, "", tmp_path, dataset=Blobs(32))
    assert load_model(tmp_path).mirrored == ("keypoints",)
    with pytest.raises(ConfigError, match="mirrored: no task is called pose"):
        train(tiny(mirrored=["pose"]), "", tmp_path / "other", dataset=Blobs(32))


def test_equal_seeds_give_equal_weights_and_others_do_not(tmp_path: Path) -> None:
    states = []
    before = torch.get_rng_state()
    for name, seed, workers in (("a", 1, 0), ("b", 1, 1), ("c", 2, 0)):
        config = tiny(max_steps=3, augmentation="paper")
        config.hardware.workers = workers
        train(config, "", tmp_path / name, seed=seed, dataset=Blobs(24))
        states.append(load_file(tmp_path / name / "model.safetensors"))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_papers_networks_train_in_bf16(tmp_path: Path) -> None:
    """The paper's architecture, narrow; the affine term on both; low precision reaches no soft-argmax and no loss."""
    tasks = [
        {"name": "keypoints", "head": "paper", "size": 8, "width": 8},
        {"name": "segmentation", "head": "paper", "width": 0.0625},
        {"name": "depth", "head": "paper", "width": 0.0625},
    ]
    config = tiny(
        tasks=tasks,
        network=NetworkConfig(backbone="unet", width=0.0625, channels=8, input_size=32),
        precision="bf16-mixed",
        max_steps=2,
        batch_size=4,
        accumulate=2,
        augmentation="strong",
    )
    result = train(config, "", tmp_path, dataset=Blobs(16))
    assert all(math.isfinite(value) for value in result.metrics.values())
    weights = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in weights.values()} <= {torch.float32, torch.int64}
    tuned = FinetuneConfig(epochs=1, batch_size=4, hardware=config.hardware, precision="bf16-mixed")
    for task in ("keypoints", "segmentation", "depth"):
        found = finetune(tuned, tmp_path, BlobBenchmark(task), tmp_path / task)
        assert found.metrics["loss"] <= found.before["loss"]


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from blobs import Blobs, tiny
from synthforge.learning.train import train
from synthforge.learning.config import SamplingConfig
config = tiny({options})
train(config, "", sys.argv[1], seed=5, dataset=Blobs(32))
"""
OPTIONS = (
    "max_steps=MAX, epochs=None, accumulate=2, batch_size=4, augmentation='paper', weighting='uncertainty', "
    "checkpoint_steps=2, sampling=SamplingConfig('active', budget=16, every=2)"
)


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    options = OPTIONS.replace("MAX", "8")
    names = {"SamplingConfig": SamplingConfig, "tiny": tiny}
    config = eval(f"tiny({options})", names)
    train(config, "", tmp_path / "calm", seed=5, dataset=Blobs(32))
    script = SCRIPT.format(tests=str(Path(__file__).parent), options=options)
    killed = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", script, str(killed)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 240
        while not (killed / "last.ckpt").exists():
            assert process.poll() is None or (killed / "model.json").exists(), (
                "the run died before its first checkpoint"
            )
            assert time.monotonic() < end, "no checkpoint was written"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "model.json").exists(), "it was killed too late to test anything"
    kept = torch.load(killed / "last.ckpt", weights_only=True)
    assert 0 < kept["state"]["step"] < 8
    again = train(config, "", killed, seed=5, dataset=Blobs(32))
    assert again.steps == 8
    calm, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("calm", "killed"))
    assert all(torch.equal(calm[key], resumed[key]) for key in calm)


def test_a_run_killed_after_its_last_step_counts_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tasks=light_tasks()[:1], self_supervision=NO_TERM, checkpoint_steps=1)
    calm = train(config, "", tmp_path / "calm", dataset=Blobs(16))
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_averaged", lambda self: (_ for _ in ()).throw(SynthForgeError("the power failed")))
        with pytest.raises(SynthForgeError, match="the power failed"):
            train(dataclasses.replace(config, validate_every=9), "", tmp_path / "other", dataset=Blobs(16))
    checkpoint = read_checkpoint(tmp_path / "other/last.ckpt")
    assert checkpoint["state"]["position"] > 0, "the epoch ended before the checkpoint"
    again = train(dataclasses.replace(config, validate_every=9), "", tmp_path / "other", dataset=Blobs(16))
    assert again.metrics["epoch"] == calm.metrics["epoch"] == 2


def test_a_finished_model_is_left_alone_and_another_is_not_overwritten(tmp_path: Path) -> None:
    config = tiny(max_steps=2, tasks=light_tasks()[:1], self_supervision=NO_TERM)
    first = train(config, "", tmp_path, dataset=Blobs(16))
    stamp = os.stat(tmp_path / "model.safetensors").st_mtime_ns
    assert train(config, "", tmp_path, dataset=Blobs(16)) == first
    assert os.stat(tmp_path / "model.safetensors").st_mtime_ns == stamp
    with pytest.raises(DataError, match="another configuration"):
        train(config, "", tmp_path, seed=1, dataset=Blobs(16))


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.json", b"{"), ("metrics.json", None), ("model.safetensors", b"x"), ("model.safetensors", None)],
)
def test_what_a_finished_training_lost_is_made_again(tmp_path: Path, name: str, content: bytes | None) -> None:
    config = tiny(max_steps=1, tasks=light_tasks()[:1], self_supervision=NO_TERM, val_fraction=0.0)
    train(config, "", tmp_path, dataset=Blobs(8))
    before = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    assert train(config, "", tmp_path, dataset=Blobs(8)).steps == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before
    json.loads((tmp_path / "metrics.json").read_text())


def test_a_foreign_or_damaged_checkpoint_is_answered(tmp_path: Path) -> None:
    config = tiny(max_steps=2, tasks=light_tasks()[:1], self_supervision=NO_TERM)
    (tmp_path / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"last\.ckpt cannot be read"):
        train(config, "", tmp_path, dataset=Blobs(16))
    torch.save({"fingerprint": "other"}, tmp_path / "last.ckpt")
    with pytest.raises(DataError, match="belongs to a run with another configuration"):
        train(config, "", tmp_path, dataset=Blobs(16))


def test_wrong_wishes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task is called hair"):
        train(tiny(task_weights={"hair": 1.0}), "", tmp_path, dataset=Blobs(16))
    with pytest.raises(DataError, match="'depth' learns from the field 'depth'"):
        train(tiny(), "", tmp_path, dataset=Blobs(16, fields=Blobs(1).fields[:3]))
    with pytest.raises(ValueError, match="one of epochs, max_steps and max_minutes"):
        TrainConfig(epochs=None)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            train(tiny(hardware=HardwareConfig(accelerator="gpu")), "", tmp_path, dataset=Blobs(16))


def test_time_can_end_training(tmp_path: Path) -> None:
    config = tiny(epochs=None, max_minutes=0.01, tasks=light_tasks()[:1], self_supervision=NO_TERM, val_fraction=0.0)
    result = train(config, "", tmp_path, dataset=Blobs(16))
    assert result.seconds >= 0.6
    assert result.steps >= 1
    assert result.metrics == {}


def test_tasks_that_are_bound_are_not_parsed_again_and_saved_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = {"name": "depth", "head": "light", "width": 0.25, "unit": 0.2}
    bound = load_plugins().bind("task", reference)
    config = tiny(max_steps=1, tasks=[bound], self_supervision=NO_TERM)
    with monkeypatch.context() as patch:
        patch.setattr(plugins, "load_plugins", None)
        patch.setattr(model, "load_plugins", None)
        train(config, "", tmp_path, dataset=Blobs(16))
    loaded = load_model(tmp_path)
    assert loaded.tasks["depth"].config.unit == 0.2  # type: ignore[attr-defined]
    assert loaded.info["tasks"] == [{"name": "depth", **dataclasses.asdict(bound.config)}]
    assert loaded.info["training"]["config"]["tasks"] == [reference]
    train(dataclasses.replace(config, tasks=[reference]), "", tmp_path / "plain", dataset=Blobs(16))
    assert load_model(tmp_path / "plain").info["fingerprint"] == loaded.info["fingerprint"]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.w * x - 2 * x).square().mean()}


def line_job(data: torch.Tensor, batch: int, lr: float = 0.1, **changes: Any) -> loop.TrainingJob:
    module = Line()

    def batches(epoch: int, position: int) -> Iterator[torch.Tensor]:
        return iter(data.split(batch)[position:])

    values: dict[str, Any] = {
        "module": module,
        "averaged": module,
        "optimiser": lambda: torch.optim.SGD(module.parameters(), lr),
        "forward": lambda wrapped, x, state: wrapped(x),
        "batches": batches,
        "per_epoch": lambda epoch: -(-len(data) // batch),
        "batch_size": batch,
        "epoch_samples": len(data),
        "limits": loop.StoppingCriteria(epochs=1),
        "final": 1.0,
        "seed": 0,
        "fingerprint": "x",
    }
    return loop.TrainingJob(**(values | changes))


def run_line(tmp_path: Path, name: str, *args: Any, **changes: Any) -> tuple[float, loop.State]:
    fabric = hardware.make_fabric(HardwareConfig(accelerator="cpu"), "32-true")
    model, state = loop.run(fabric, line_job(*args, **changes), tmp_path / name, title="line")
    assert isinstance(model, Line)
    return model.w.item(), state


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    data = torch.rand(16, generator=torch.Generator().manual_seed(0))
    large, state = run_line(tmp_path, "a", data, 8)
    small, many = run_line(tmp_path, "b", data, 2, accumulate=4)
    assert state.step == many.step == 2
    assert large == pytest.approx(small, abs=1e-6)


def test_averaged_weights_follow_the_formula(tmp_path: Path) -> None:
    data = torch.ones(6)
    seen: list[float] = []

    def forward(module: nn.Module, x: torch.Tensor, state: loop.State) -> Any:
        if state.step:
            seen.append(float(next(module.parameters()).detach()))
        return module(x)

    value, _ = run_line(tmp_path, "a", data, 1, ema=0.15, forward=forward)
    last, _ = run_line(tmp_path, "b", data, 1)
    weights = [*seen, last]
    kept = weights[0]
    for updates, weight in enumerate(weights[1:], start=1):
        decay = min(0.15, (1 + updates) / (10 + updates))
        kept = decay * kept + (1 - decay) * weight
    assert value == pytest.approx(kept, abs=1e-6)
    assert value != pytest.approx(last, abs=1e-6)


def test_the_schedule_warms_up_and_falls_to_its_end() -> None:
    rates = [loop.cosine(i / 100, i, final=0.1, warmup=9) for i in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1)
    assert loop.cosine(0.5, 1000, final=0.0, warmup=0) == pytest.approx(0.5)


def test_a_loss_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    with pytest.raises(SynthForgeError, match="the loss is nan"):
        run_line(tmp_path, "a", torch.full((4,), float("nan")), 2)


def test_a_gradient_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    def forward(module: nn.Module, x: torch.Tensor, state: loop.State) -> Any:
        # a finite loss, 0, whose slope is not
        return {"loss": (next(module.parameters()) - 0.5).abs().sqrt().sum() + 0 * module(x)["loss"]}

    for clip in (0.0, 1.0):
        with pytest.raises(SynthForgeError, match=r"gradient's norm is (nan|inf) at step 0"):
            run_line(tmp_path, f"a{clip}", torch.ones(4), 2, forward=forward, clip=clip)
        assert not (tmp_path / f"a{clip}" / "last.ckpt").exists()


def test_weights_that_overflow_in_the_last_step_are_not_given_out(tmp_path: Path) -> None:
    def job(**changes: Any) -> loop.TrainingJob:
        return line_job(torch.ones(2), 2, lr=3e38, **changes)

    fabric = hardware.make_fabric(HardwareConfig(accelerator="cpu"), "32-true")
    for steps in (0, 1):
        with pytest.raises(SynthForgeError, match="w is not finite"):
            loop.run(fabric, job(checkpoint_steps=steps), tmp_path / str(steps), title="line")
        assert not (tmp_path / str(steps) / "last.ckpt").exists()


def test_a_finite_checkpoint_lets_the_same_command_recover(tmp_path: Path) -> None:
    def broken(module: nn.Module, x: torch.Tensor, state: loop.State) -> Any:
        return {"loss": module(x)["loss"] * (float("nan") if state.step == 3 else 1.0)}

    data = torch.ones(6)
    with pytest.raises(SynthForgeError, match=r"the loss is nan at step 3.*\n.*last good checkpoint is .*last\.ckpt"):
        run_line(tmp_path, "a", data, 1, forward=broken, checkpoint_steps=1)
    assert run_line(tmp_path, "a", data, 1, checkpoint_steps=1)[0] == run_line(tmp_path, "b", data, 1)[0]


def test_no_flipped_bit_of_a_checkpoint_goes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, {"fingerprint": "x", "weights": torch.arange(300.0)})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 200, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except DataError:
            continue
        assert torch.equal(found["weights"], torch.arange(300.0))  # the flip was in the name of the digest
    torch.save({"fingerprint": "old", "weights": 1}, path)
    assert read_checkpoint(path) == {"fingerprint": "old", "weights": 1}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_first(tmp_path: Path, number: signal.Signals, code: int) -> None:
    def told(module: nn.Module, x: torch.Tensor, state: loop.State) -> Any:
        if state.position == 2:  # in the middle of an optimiser step
            os.kill(os.getpid(), number)
        return module(x)

    data = torch.ones(12)
    before = signal.getsignal(number)
    with pytest.raises(processes.Interrupted, match="step 2 is saved") as caught:
        run_line(tmp_path, "a", data, 1, forward=told, accumulate=2)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before
    assert torch.load(tmp_path / "a" / "last.ckpt", weights_only=True)["state"]["step"] == 2
    calm = run_line(tmp_path, "b", data, 1, accumulate=2)
    assert run_line(tmp_path, "a", data, 1, accumulate=2)[0] == calm[0]


def test_a_second_signal_ends_training_at_once(tmp_path: Path) -> None:
    def told(module: nn.Module, x: torch.Tensor, state: loop.State) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    with pytest.raises(KeyboardInterrupt):
        run_line(tmp_path, "a", torch.ones(4), 1, forward=told)


@pytest.mark.slow
def test_a_signal_to_a_training_of_two_processes_saves_first(tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from blobs import Blobs, tiny
from synthforge.core.errors import SynthForgeError
from synthforge.learning.config import HardwareConfig
from synthforge.learning.train import train
config = tiny(max_steps=100000, epochs=None, checkpoint_steps=1)
config.hardware = HardwareConfig(accelerator="cpu", devices=2, workers=0)
try:
    train(config, "", sys.argv[1], dataset=Blobs(32))
except SynthForgeError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 240
    while not (tmp_path / "last.ckpt").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 143
    step = torch.load(tmp_path / "last.ckpt", weights_only=True)["state"]["step"]
    assert f"step {step} is saved" in said


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Real processes over gloo; each sees half of every batch, and both end with the same weights."""
    config = tiny(max_steps=4, epochs=None, sampling=SamplingConfig("active", budget=16, every=1))
    config.hardware = HardwareConfig(accelerator="cpu", devices=2, workers=0, strategy="ddp_spawn", threads=1)
    result = train(config, "", tmp_path, dataset=Blobs(32))
    assert result.steps == 4
    assert result.samples == 32
    assert torch.isfinite(torch.tensor(result.metrics["keypoints/nme"]))
    load_model(tmp_path)
    with pytest.raises(ValueError, match="does not divide over 2 devices"):
        train(tiny(batch_size=7, hardware=config.hardware), "", tmp_path / "b", dataset=Blobs(32))
