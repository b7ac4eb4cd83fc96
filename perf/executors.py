"""Images a second of `generate` with two Ray workers against two local ones, in turns.

    python perf/executors.py
    python perf/executors.py --samples 512 --rounds 5 --resolution 256

Start-up is left out: the rate is that of the samples that a large run has beyond a small one. Within 5 % is the aim.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXECUTORS = ("local", "ray")
SCRIPT = """
import sys
import synthforge as sf
out, executor, samples, resolution = sys.argv[1:]
sf.generate(
    out, "anny", samples=int(samples), resolution=int(resolution), shard_size=16, seed=5, workers=2, executor=executor
)
"""


def seconds(executor: str, samples: int, resolution: int) -> float:
    """What a run of its own takes, from start to end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SCRIPT, f"{folder}/out", executor, str(samples), str(resolution)]
        start = time.perf_counter()
        subprocess.run(
            command, check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - start


def main() -> None:
    """Print the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=512, help="beyond those of the small run")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    small = 32
    rates: dict[str, list[float]] = {name: [] for name in EXECUTORS}
    for number in range(asked.rounds):
        for name in EXECUTORS if number % 2 == 0 else EXECUTORS[::-1]:
            short, long = (seconds(name, count, asked.resolution) for count in (small, small + asked.samples))
            rates[name].append(asked.samples / (long - short))
            print(f"{name:6} start and {small} images {short:5.1f} s, then {rates[name][-1]:6.1f} images/s", flush=True)
    ratios = [ray / local for local, ray in zip(rates["local"], rates["ray"], strict=True)]
    print(f"ray / local: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
