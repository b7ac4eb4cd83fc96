"""Processes that a launcher started together: torchrun, or srun of SLURM. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launched:
    """The number of this process among those that a launcher started, and how many they are."""

    rank: int
    world: int


def launched() -> Launched | None:
    """The rank that the launcher's environment variables give this process; None without a launcher."""
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        found = os.environ.get(rank, ""), os.environ.get(world, "")
        if all(map(str.isdecimal, found)):
            return Launched(int(found[0]), int(found[1]))
    return None
