"""Loader processes on machines that give them too little: one message with a way out, and no waiting for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from synthforge.core.errors import SynthForgeError
from synthforge.learning.loaders import make_loader, read_batches


def test_a_loader_without_shared_memory_says_what_to_do() -> None:
    class Full:
        num_workers = 1

        def __iter__(self) -> Any:
            text = "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            raise RuntimeError(text + "RuntimeError: unable to allocate shared memory(shm) for file </torch_1>: (28)\n")

    with pytest.raises(SynthForgeError, match=r"loader process failed: unable to allocate[^\n]*\n.*workers=0"):
        list(read_batches(Full()))  # type: ignore[arg-type]


HOARDS = """
import os, resource, sys
sys.path.insert(0, {tests!r})
from test_loaders import tiny_loader
from synthforge.core.errors import SynthForgeError
from synthforge.learning.loaders import read_batches
loader = tiny_loader()
{before}
try:
    count = sum(1 for _ in read_batches(loader))
    print("read", count)
except SynthForgeError as error:
    print("told:", error.message, "|", error.hint)
"""
SHORT = {
    "semaphores": """
import multiprocessing.synchronize
def no(*given, **named):
    raise OSError(28, "No space left on device")
multiprocessing.synchronize._multiprocessing.SemLock = no
""",
    "files": "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) + 24,) * 2)",
}
MORE = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))"


def tiny_loader() -> Any:
    """Two processes that hand on many tensors."""

    class Many(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, place: Any) -> dict[str, torch.Tensor]:
            return {str(number): torch.zeros(3) for number in range(20)}

    batches = [[(0, index)] * 2 for index in range(40)]
    return make_loader(Many(), batches, workers=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", SHORT)
def test_a_machine_that_gives_loaders_too_little_is_told_and_never_waited_for(what: str) -> None:
    code = HOARDS.format(tests=str(Path(__file__).parent), before=SHORT[what])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "told: a loader process failed" in done.stdout, done.stdout + done.stderr
    assert "hardware.workers=0" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_few_files_are_more_where_the_machine_allows_it() -> None:
    code = HOARDS.format(tests=str(Path(__file__).parent), before=MORE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "read 40", done.stdout + done.stderr


def test_loader_processes_leave_sigterm_to_the_training() -> None:
    """`timeout` and SLURM send it to every process; the training then saves, which takes its loaders."""
    batches = iter(tiny_loader())
    first = [next(batches), next(batches)]  # so both have begun
    for worker in batches._workers:
        os.kill(worker.pid, signal.SIGTERM)
    assert len(first) + sum(1 for _ in batches) == 40
