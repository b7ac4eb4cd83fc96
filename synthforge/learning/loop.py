"""The training loop both stages share: limits, schedule, accumulation, averaged weights, checkpoints, figures.

Every random number of a step is a function of (seed, step), and a checkpoint holds the position in the data. So a
resumed run ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..core.errors import DataError, SynthForgeError
from ..core.progress import progress_bar
from ..core.seeding import seed_sequence
from . import processes
from .sharding import Spread, load_optimiser, load_weights, local, whole
from .weights import check_finite, read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CHECKPOINT = "last.ckpt"
LOG_EVERY = 50

Figures = dict[str, float]


@dataclass(frozen=True)
class StoppingCriteria:
    """Where training ends: at the first of these that is given."""

    epochs: int | None = None
    max_steps: int | None = None
    max_minutes: float | None = None

    def progress(self, epochs: float, steps: int, seconds: float) -> float:
        """How far training is, in [0,1]."""
        parts = [
            done / limit if limit > 0 else 1.0
            for done, limit in (
                (epochs, self.epochs),
                (steps, self.max_steps),
                (seconds / 60.0, self.max_minutes),
            )
            if limit is not None
        ]
        return min(1.0, max(parts, default=1.0))


def cosine(progress: float, step: int, *, final: float, warmup: int) -> float:
    """Factor of the learning rate: linear to 1 over `warmup` steps, and a cosine from 1 to `final` over progress."""
    ramp = min(1.0, (step + 1) / (warmup + 1))
    return ramp * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress)))


@dataclass
class State:
    """Where a run is. position: batches taken of this epoch; step: of the optimiser; seconds: of training so far."""

    epoch: int = 0
    position: int = 0
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    history: list[Figures] = field(default_factory=list)


@dataclass
class TrainingJob:
    """What the loop needs to know of a stage.

    optimiser: makes it, when the module lies on its device. forward: called with the module, a batch on its device and
    the state; returns `loss` and figures to log. parts (optional): more state to keep, as name -> (state, restore).
    batches(epoch, position) gives an iterator of batches from there on, at least to the end of that epoch;
    per_epoch(epoch) says how many an epoch has, epoch_samples how many samples. validate(ema or model, state) returns
    figures, or nothing. averaged: the part of `module` whose weights are averaged and kept.
    """

    module: nn.Module
    averaged: nn.Module
    optimiser: Callable[[], torch.optim.Optimizer]
    forward: Callable[[nn.Module, Any, State], dict[str, torch.Tensor]]
    batches: Callable[[int, int], Iterator[Any]]
    per_epoch: Callable[[int], int]
    batch_size: int
    epoch_samples: int
    limits: StoppingCriteria
    final: float
    seed: int
    fingerprint: str
    warmup: int = 0
    clip: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    validate: Callable[[nn.Module, State], Figures] | None = None
    validate_every: int = 1
    stop: Callable[[State], bool] = lambda state: False
    checkpoint_seconds: float = 300.0
    checkpoint_steps: int = 0
    parts: Mapping[str, tuple[Callable[[], Any], Callable[[Any], None]]] = field(default_factory=dict)


def run(fabric: Fabric, job: TrainingJob, out: Path, *, title: str) -> tuple[nn.Module, State]:
    """Train to the end, from the checkpoint in `out` where there is one; the averaged model and the final state.

    Raises SynthForgeError when a loss, a gradient or a weight is not finite (nothing of it is saved);
    DataError for a checkpoint of another run or a damaged one; Interrupted after Ctrl-C or SIGTERM, when it has saved.
    """
    return Loop(fabric, job, out, title).run()


class Loop:
    """One run of a job: everything `run` keeps between steps."""

    def __init__(self, fabric: Fabric, job: TrainingJob, out: Path, title: str) -> None:
        self.fabric, self.job, self.out, self.title = fabric, job, out, title
        self.state = State()
        self.ema = averaged_model(job.averaged, job.ema) if job.ema else None
        self.path = out / CHECKPOINT
        self.kept = copy.deepcopy(job.averaged) if isinstance(fabric.strategy, Spread) else None
        self.wrapped = fabric.setup_module(job.module)
        if self.ema is not None:
            self.ema.to(fabric.device)
            if isinstance(fabric.strategy, Spread):
                fabric.strategy.spread(self.ema.module)
        self.inner = job.optimiser()
        self.optimiser: Any = fabric.setup_optimizers(self.inner)
        self.rates = [group["lr"] for group in self.inner.param_groups]
        self._resume()
        self.last_saved, self.saved_step = time.monotonic(), self.state.step
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard")) if fabric.is_global_zero else None
        self.sums: dict[str, torch.Tensor] = {}

    def run(self) -> tuple[nn.Module, State]:
        """See `run`."""
        with processes.signals_noted():
            return self._run()

    def _run(self) -> tuple[nn.Module, State]:
        s = self.state
        begun, before = time.monotonic(), s.seconds
        total = self._total()
        iterator: Iterator[Any] | None = None
        try:
            with progress_bar(self.title, total, unit="samples", shown=self.fabric.is_global_zero) as advance:
                if s.samples:
                    advance(s.samples)
                while not self._done():
                    length = self.job.per_epoch(s.epoch)
                    while s.position < length and not self._done():
                        iterator = iterator or self.job.batches(s.epoch, s.position)
                        batch = next(iterator, None)
                        if batch is None:  # the end of a block of epochs: ask for the next one
                            iterator = self.job.batches(s.epoch, s.position)
                            batch = next(iterator)
                        self.micro_step(batch, length)
                        advance(self.job.batch_size)
                        s.seconds = before + time.monotonic() - begun
                        self._maybe_checkpoint(length)
                    if s.position >= length:
                        s.epoch, s.position = s.epoch + 1, 0
                        if s.epoch % self.job.validate_every == 0 and not self._done():
                            self._validate()
                            if self._agree(float(self.job.stop(s))) > 0:
                                break
                if s.position >= self.job.per_epoch(s.epoch):  # gone on from a checkpoint of the very last step
                    s.epoch, s.position = s.epoch + 1, 0
                self._validate()
        finally:
            if self.writer is not None:
                self.writer.close()
        check_finite(whole(self.job.module.state_dict()), f"step {s.step} of {self.title}")
        return self._averaged(), s

    def _averaged(self) -> nn.Module:
        """The averaged model, whole. All processes must take part."""
        averaged: nn.Module = self.ema.module if self.ema is not None else self.job.averaged
        weights = whole(averaged.state_dict())
        check_finite(weights, f"step {self.state.step} of {self.title}")
        if self.kept is None:
            return averaged
        self.kept.to(self.fabric.device).load_state_dict(weights)
        return self.kept

    def _total(self) -> int | None:
        limits, job = self.job.limits, self.job
        if limits.max_minutes is not None:
            return None
        counts = [limits.epochs * job.epoch_samples] if limits.epochs is not None else []
        if limits.max_steps is not None:
            counts.append(limits.max_steps * job.accumulate * job.batch_size)
        return min(counts) // job.batch_size * job.batch_size if counts else None

    def _progress(self) -> float:
        s = self.state
        done = s.epoch + s.position / max(self.job.per_epoch(s.epoch), 1)
        # One clock for all processes: they must agree on the end.
        seconds = self._agree(s.seconds) if self.job.limits.max_minutes is not None else s.seconds
        return self.job.limits.progress(done, s.step, seconds)

    def _agree(self, value: float) -> float:
        return float(self.fabric.broadcast(value, src=0)) if self.fabric.world_size > 1 else value

    def _any(self, value: int) -> int:
        """The largest of a small number over all processes: they act together, or wait for each other for ever."""
        if self.fabric.world_size == 1:
            return int(value)
        return int(self.fabric.all_reduce(torch.tensor(int(value), device=self.fabric.device), reduce_op="max"))  # type: ignore[arg-type]

    def _done(self) -> bool:
        return self._progress() >= 1.0

    def micro_step(self, batch: Any, length: int) -> None:
        """One batch of an epoch of `length` batches, and the optimiser step where it completes one."""
        s, job = self.state, self.job
        last = (s.position + 1) % job.accumulate == 0 or s.position + 1 == length
        if s.position % job.accumulate == 0:
            factor = cosine(self._progress(), s.step, final=job.final, warmup=job.warmup)
            for group, rate in zip(self.inner.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        _seed_step(job.seed, s.step * job.accumulate + s.position % job.accumulate, self.fabric.global_rank)
        with self.fabric.no_backward_sync(self.wrapped, enabled=not last):
            figures = job.forward(self.wrapped, batch, s)
            self.fabric.backward(figures["loss"] / job.accumulate)
        s.position += 1
        s.samples += job.batch_size
        if last:
            self._check_step(figures["loss"])
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            s.step += 1
            if self.ema is not None:
                self.ema.update_parameters(job.averaged)
        self._log(figures, last)

    def _check_step(self, loss: torch.Tensor) -> None:
        """Clip the gradient; raise before a step that would spoil the weights."""
        norm: Any
        if self.job.clip:
            norm = self.fabric.clip_gradients(
                self.wrapped, self.optimiser, max_norm=self.job.clip, error_if_nonfinite=False
            )
        else:
            norm = nn.utils.get_total_norm([p.grad for p in self.job.module.parameters() if p.grad is not None])
        norm = whole(norm)
        found = {"loss": float(loss.detach())}
        if getattr(self.fabric.strategy.precision, "scaler", None) is None:  # which leaves such steps out itself
            found["gradient's norm"] = float(norm)
        for name, value in found.items():
            if self._any(not math.isfinite(value)):
                raise _diverged(f"the {name} is {value}", self.state.step, self.path)

    def _log(self, figures: Mapping[str, torch.Tensor], last: bool) -> None:
        for name, value in figures.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.sums["count"] = self.sums.get("count", torch.zeros(())) + 1
        s = self.state
        if not last or (s.step % LOG_EVERY and s.step != 1):
            return
        count = float(self.sums.pop("count"))
        means = {name: float(total) / count for name, total in self.sums.items()}
        self.sums = {}
        if self.writer is not None:
            for name, mean in means.items():
                self.writer.add_scalar(f"train/{name}", mean, s.step)
            self.writer.add_scalar("train/lr", self.inner.param_groups[-1]["lr"], s.step)
            self.writer.add_scalar("train/samples_per_second", s.samples / max(s.seconds, 1e-9), s.step)

    def _validate(self) -> None:
        s = self.state
        if self.job.validate is None or (s.history and s.history[-1]["step"] == s.step):
            return
        figures: Figures = {}
        model = self._averaged()
        if self.fabric.is_global_zero:
            training = model.training
            figures = self.job.validate(model.eval(), s)
            model.train(training)
            for name, value in figures.items():
                if name.rpartition("/")[2] == "loss" and not math.isfinite(value):
                    raise _diverged(f"{name} in validation is {value}", s.step, self.path)
            figures = {name: value for name, value in figures.items() if math.isfinite(value)}
            assert self.writer is not None
            for name, value in figures.items():
                self.writer.add_scalar(f"val/{name}", value, s.step)
        figures = self.fabric.broadcast(figures, src=0)
        s.history.append({"step": s.step, "epoch": s.epoch, "samples": s.samples, **figures})

    def _maybe_checkpoint(self, length: int) -> None:
        s, job = self.state, self.job
        if s.position % job.accumulate and s.position != length:
            return  # gradients of half a step are not saved
        due = job.checkpoint_steps and s.step - self.saved_step >= job.checkpoint_steps
        late = job.checkpoint_seconds and time.monotonic() - self.last_saved >= job.checkpoint_seconds
        flags = self._any(2 * processes.noted() + bool(due or late))  # one question a step
        if flags:
            self.save()
        if number := flags // 2:
            self.fabric.barrier()
            raise processes.interrupted(number, f"step {s.step} is saved in {self.path}")

    def save(self) -> None:
        """Write the checkpoint: whole tensors and plain data, so that it loads with weights_only and on any number of
        processes. All of them must take part."""
        job = self.job
        if self.fabric.is_global_zero or self.kept is not None:
            weights = {"module": job.module.state_dict(), "ema": self.ema.state_dict() if self.ema else None}
            content = whole({**weights, "optimiser": self.inner.state_dict()})
            for name in weights:
                check_finite(content[name] or {}, f"step {self.state.step} of {self.title}")
        if self.fabric.is_global_zero:
            content |= {
                "fingerprint": job.fingerprint,
                "state": dict(vars(self.state)),
                "precision": self.fabric.strategy.precision.state_dict(),
                "rng": torch.get_rng_state(),
                "parts": {name: get() for name, (get, _) in job.parts.items()},
            }
            write_checkpoint(self.path, content)
        self.last_saved, self.saved_step = time.monotonic(), self.state.step

    def _resume(self) -> None:
        if not self.path.exists():
            return
        content = read_checkpoint(self.path)
        if content["fingerprint"] != self.job.fingerprint:
            raise DataError(
                f"{self.path} belongs to a run with another configuration, seed or dataset",
                hint="Train into another folder, or delete it to train from the start.",
            )
        try:
            self._restore(content)
        except Exception as error:  # whatever a damaged file that has no digest makes torch raise
            raise DataError(
                f"{self.path} cannot be gone on from: {' '.join(str(error).split())[:300]}",
                hint="Delete it to train from the start.",
            ) from error

    def _restore(self, content: Mapping[str, Any]) -> None:
        self.state = State(**content["state"])
        load_weights(self.job.module, content["module"])
        load_optimiser(self.inner, content["optimiser"])
        if self.ema is not None:
            load_weights(self.ema, content["ema"])
        self.fabric.strategy.precision.load_state_dict(content["precision"])
        torch.set_rng_state(content["rng"])
        for name, (_, restore) in self.job.parts.items():
            restore(content["parts"][name])
        for name in ("module", "ema"):
            check_finite(content[name] or {}, f"step {self.state.step} of {self.title}")


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """A running mean of a model's weights and buffers: decay min(decay, (1 + n) / (10 + n)) after n updates."""

    def mix(kept: Any, new: Any, updates: torch.Tensor | int) -> None:
        count, kept, new = int(updates), list(map(local, kept)), list(map(local, new))
        if torch.is_floating_point(kept[0]):
            torch._foreach_lerp_(kept, new, 1.0 - min(decay, (1.0 + count) / (10.0 + count)))
        else:
            torch._foreach_copy_(kept, new)

    return AveragedModel(model, multi_avg_fn=mix, use_buffers=True)


def _diverged(what: str, step: int, checkpoint: Path) -> SynthForgeError:
    return SynthForgeError(
        f"{what} at step {step}: training diverges",
        hint="Lower the learning rate, set optimiser.clip=1, or train with precision=32-true. "
        + (f"The last good checkpoint is {checkpoint}." if checkpoint.exists() else "Nothing was saved yet."),
    )


def _seed_step(seed: int, step: int, rank: int) -> None:
    # Dropout and the like take their numbers from the global generators.
    state = seed_sequence(seed, step, f"step/{rank}").generate_state(2)
    torch.manual_seed(int(state[0]) << 16 | int(state[1]) >> 16)
