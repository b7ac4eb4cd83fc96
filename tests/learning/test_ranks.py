"""Training in several processes: the same samples as in one, killed and gone on with in another number of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import Blobs, tiny
from lightning.fabric import Fabric

from synthforge.core.errors import ConfigError, SynthForgeError
from synthforge.learning.config import HardwareConfig, OptimiserConfig, SelfSupervisionConfig, TrainConfig
from synthforge.learning.data import EpochBatches
from synthforge.learning.processes import launch
from synthforge.learning.sampling import split
from synthforge.learning.train import train

COUNT, SEED, STEPS = 30, 5, 16


class Noted(Blobs):
    """Blobs that write down, in a file for all processes, which of them were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(COUNT)
        self.path = path

    def __getitem__(self, index: int) -> dict[str, Any]:
        with open(self.path, "a") as file:
            file.write(f"{index}\n")
        return super().__getitem__(index)


def config(devices: int, strategy: str) -> TrainConfig:
    return tiny(
        tasks=[{"name": "depth", "head": "light", "width": 0.25}],
        self_supervision=SelfSupervisionConfig(weight=0.0),
        epochs=None,
        max_steps=STEPS,
        accumulate=2,
        batch_size=4,
        checkpoint_steps=1,
        hardware=HardwareConfig(accelerator="cpu", devices=devices, strategy=strategy, workers=0, threads=1),
        optimiser=OptimiserConfig(lr=1e-3, encoder_factor=1.0, clip=1.0),
        val_fraction=0.1,
        validate_every=100,
    )


def sit(out: Path, devices: int, strategy: str) -> None:
    train(config(devices, strategy), "", out, seed=SEED, dataset=Noted(Path(f"{out}.read")))


def killed(out: Path, devices: int, strategy: str) -> dict[str, Any]:
    """Kill a training and all its processes after two steps or more; where its checkpoint is."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_ranks, pathlib\ntest_ranks.sit(pathlib.Path({str(out)!r}), {devices}, {strategy!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not (out / "last.ckpt").exists():
            assert process.poll() is None, "it ended before its first checkpoint"
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    state: dict[str, Any] = torch.load(out / "last.ckpt", weights_only=True)["state"]
    assert 0 < state["step"] < STEPS, "it was killed too late to test anything"
    return state


def batches() -> list[list[int]]:
    """What one process goes through."""
    order = EpochBatches(split(COUNT, 0.1, SEED)[0], 4, SEED, last=20)
    return [[index for _, index in batch] for batch in order]


def trained_on(path: Path) -> list[int]:
    held = set(split(COUNT, 0.1, SEED)[1].tolist())
    return sorted(index for index in map(int, path.read_text().split()) if index not in held)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, "fsdp"), (1, "auto")),
        pytest.param((1, "auto"), (2, "fsdp"), marks=pytest.mark.slow),
    ],
)
def test_killed_and_gone_on_with_in_another_number_of_processes(
    tmp_path: Path, before: tuple[int, str], after: tuple[int, str]
) -> None:
    """The second sitting reads the samples that are left, each once, as one process alone would have."""
    out = tmp_path / "model"
    state = killed(out, *before)
    read = Path(f"{out}.read")
    read.unlink()
    result = train(config(*after), "", out, seed=SEED, dataset=Noted(read))
    assert result.steps == STEPS
    rest = batches()[state["samples"] // 4 : result.samples // 4]
    assert trained_on(read) == sorted(index for batch in rest for index in batch)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_is_told_in_words(victim: int) -> None:
    def work(fabric: Fabric) -> None:
        if fabric.global_rank == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        fabric.barrier()

    words = f"process {victim} of the training was ended by SIGKILL|another process of this training has ended"
    with pytest.raises(SynthForgeError, match=words) as caught:
        launch(Fabric(accelerator="cpu", devices=2, strategy="ddp_fork"), work)
    assert "goes on from the last checkpoint" in str(caught.value.hint)


def test_a_process_whose_peer_is_gone_is_told_in_words() -> None:
    """As under torchrun, where nobody waits for all of them; other errors of torch stay what they are."""
    fabric = Fabric(accelerator="cpu", devices=1)
    for text, kind in (
        ("[gloo/transport/tcp/pair.cc:553] Connection closed by peer", SynthForgeError),
        ("no", RuntimeError),
    ):

        def fails(_: Fabric, text: str = text) -> None:
            raise RuntimeError(text)

        with pytest.raises(kind):
            launch(fabric, fails)


@pytest.mark.slow
def test_spread_weights_are_trained_as_whole_ones(tmp_path: Path) -> None:
    """FSDP of two processes ends with nearly the loss of DDP of two; the sums are in another order."""
    losses = []
    for strategy in ("ddp_fork", "fsdp"):
        found = train(config(2, strategy), "", tmp_path / strategy, seed=SEED, dataset=Blobs(COUNT))
        losses.append(found.metrics["depth/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_what_does_not_fit_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    HardwareConfig(accelerator="cpu", devices=2, nodes=2).check()
    with pytest.raises(ConfigError, match=r"1 nodes with 2 devices are 2 processes, and 4 were started"):
        HardwareConfig(accelerator="cpu", devices=2).check()
    with pytest.raises(ValueError, match="16-mixed does not go with"):
        TrainConfig(hardware=HardwareConfig(strategy="fsdp"), precision="16-mixed")
