"""How many processor cores this process may use, and that it uses one thread on each."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

#: variables that thread pools read once, when their library is loaded
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may run on: its CPU affinity, and the CPU quota of a container. At least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(max(1, min(cores, _quota())))


def is_one_thread() -> bool:
    """Whether `one_thread` holds in this process, for every library."""
    torch = sys.modules.get("torch")
    return all(os.environ.get(name) == "1" for name in THREADS) and (torch is None or torch.get_num_threads() == 1)


def _quota() -> float:
    """Cores' worth of time that the container's cgroup (version 2, else 1) grants; infinite where it sets none."""
    for paths in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            numbers = " ".join((_CGROUP / path).read_text(encoding="ascii") for path in paths).split()
            quota, period = float(numbers[0]), float(numbers[1])  # `max` is no number: no quota
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:
            return max(1.0, quota / period)
    return math.inf


def one_thread(*, always: bool = False) -> None:
    """Make thread pools of libraries that are loaded later use one thread.

    Where the user's environment asks for another number, that stays unless `always`. Two threads
    that wait for each other are many times slower than one as soon as another process wants a core; work is spread over
    cores by processes instead.
    """
    for name in THREADS:
        os.environ[name] = "1" if always else os.environ.get(name, "1")
