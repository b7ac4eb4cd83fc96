"""Training beside another busy process keeps its share of the cores."""

import subprocess
import sys
from pathlib import Path

import pytest

from synthforge.core.cores import available_cores

SCRIPT = """
import os, sys
sys.path.insert(0, {tests!r})
from synthforge.core.cores import one_thread
if {threads}: os.environ["OMP_NUM_THREADS"] = "{threads}"
one_thread()  # as the command line does first
from blobs import Blobs, tiny
from synthforge.learning.config import HardwareConfig, NetworkConfig
from synthforge.learning.train import train
network = NetworkConfig(backbone="residual", width=0.25, channels=32, input_size=96)
config = tiny(epochs=None, max_minutes=0.1, network=network, hardware=HardwareConfig(), batch_size=12)
result = train(config, "", sys.argv[1], dataset=Blobs(64))
print(result.samples / result.seconds)
"""


def rate(out: Path, threads: int = 0) -> float:
    """Samples a second of six seconds of training, by default as many threads as the command line gives."""
    code = SCRIPT.format(tests=str(Path(__file__).parent), threads=threads)
    found = subprocess.run([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True, check=True)
    return float(found.stdout)


@pytest.mark.slow
def test_a_busy_process_takes_its_share_and_no_more(tmp_path: Path) -> None:
    """At least 80 % of the idle rate times the share of cores that one spinning process leaves."""
    idle = rate(tmp_path / "idle")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        beside = rate(tmp_path / "busy")
    finally:
        busy.kill()
        busy.wait()
    cores = available_cores()
    left = (cores - 1) / cores if cores > 1 else 0.5
    assert beside >= 0.8 * left * idle
