"""How many processor cores this process may use, and that it uses one thread on each."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: variables that thread pools read once, when their library is loaded
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_CGROUP, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cores() -> int:
    """Cores that this process may run on: its CPU affinity, and the CPU quota of a container. At least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(max(1, min(cores, _quota())))


def is_one_thread() -> bool:
    """Whether `one_thread` holds in this process, for every library."""
    torch = sys.modules.get("torch")
    return all(os.environ.get(name) == "1" for name in THREADS) and (torch is None or torch.get_num_threads() == 1)


def _quota() -> float:
    """Cores' worth of time that the cgroups of this process grant; infinite where none sets a quota.

    The smallest of its own group and of every group above it counts (version 2, and `cpu` of version 1).
    """
    rows: list[list[str]] = []
    with suppress(OSError):
        rows = [line.split(":", 2) for line in os.fsdecode(_MEMBERSHIP.read_bytes()).splitlines()]
    groups = [_CGROUP, *(folder for row in rows if len(row) == 3 for folder in _groups(row[1], row[2]))]
    return min(map(_granted, groups))


def _groups(kind: str, place: str) -> Iterator[Path]:
    """Folders of a group and of those above it, up to the root that this process sees."""
    if not kind or "cpu" in kind.split(","):
        root = _CGROUP / "cpu" if kind else _CGROUP
        parts = [part for part in place.split("/") if part not in ("", "..")]
        yield from (root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


def _granted(folder: Path) -> float:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError, IndexError):  # `max` is no number: no quota
            numbers = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            quota, period = float(numbers[0]), float(numbers[1])
            if quota > 0 and period > 0:
                return max(1.0, quota / period)
    return math.inf


def one_thread(*, always: bool = False) -> None:
    """Make thread pools of libraries that are loaded later use one thread.

    A number that the user's environment sets is kept unless `always`. Two threads
    that wait for each other are many times slower than one as soon as another process wants a core; work is spread over
    cores by processes instead.
    """
    for name in THREADS:
        os.environ[name] = "1" if always else os.environ.get(name, "1")
