"""Batches by processes that read ahead, and what is said when the machine gives them too little."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Iterator
from multiprocessing import queues
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset

from ..core.errors import SynthForgeError
from .data import Batch, CropDataset

_FILES = 8192  # that may be open: every tensor on its way from a loader process takes one


def _begin(worker: int) -> None:
    """What a loader process does first.

    One that cannot hand on a batch ends, or the other side would wait for ever. SIGTERM is the training's to answer:
    `timeout`, SLURM and systemd send it to all processes, and a training whose loaders end cannot save its checkpoint.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    queues.Queue._on_queue_feeder_error = staticmethod(lambda error, item: os._exit(1))  # type: ignore[attr-defined]


def make_loader(dataset: CropDataset, batches: Any, *, workers: int, pin: bool = False) -> DataLoader[Batch]:
    """A loader whose order is that of `batches`, whatever the number of workers."""
    return DataLoader(
        cast("Dataset[Batch]", dataset),  # collation makes tensors of its arrays
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_begin if workers else None,
        multiprocessing_context="fork" if workers else None,
    )


def read_batches(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """The batches of a loader; what goes wrong in a worker is raised as it would be without workers.

    Raises SynthForgeError when workers cannot be started, or cannot hand on what they read.
    """
    batches: Any = None
    try:
        batches = _started(loader)
        yield from batches
    except SynthForgeError as error:
        # A worker's error arrives as its own type around the text of its traceback.
        text = error.message.rpartition(f".{type(error).__name__}: ")[2].strip()
        raise type(error)(text, hint=error.hint) from None
    except (RuntimeError, OSError) as error:
        known = ("shared memory", "DataLoader worker", "ancdata")
        if not (loader.num_workers and (isinstance(error, OSError) or any(words in str(error) for words in known))):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise SynthForgeError(
            f"a loader process failed: {reason.removeprefix('RuntimeError: ')[:200]}",
            hint="Most often /dev/shm is too small, memory is short, or few files may be open. Set hardware.workers=0 "
            "(slower), or give more (docker run --shm-size=1g, ulimit -n 4096).",
        ) from error
    finally:
        if hasattr(batches, "_shutdown_workers"):
            batches._shutdown_workers()
            for worker in batches._workers:
                worker.kill()  # one that hangs would keep this process from ending


def _started(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """A loader's iterator; one that is half made when its processes cannot be started is put away quietly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, _FILES) if hard != resource.RLIM_INFINITY else _FILES
    if loader.num_workers and 0 <= soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        return iter(loader)
    except OSError as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            half: Any = frame.f_locals.get("self")
            if hasattr(half, "_shutdown_workers"):
                half._shutdown = True
                for worker in half.__dict__.get("_workers", ()):
                    worker.kill()
        raise
