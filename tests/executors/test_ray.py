"""The executor `ray` on a cluster of several nodes on this machine: what is killed costs time and no byte."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="ray is not installed")

from synthforge.core.plugins import load_plugins
from synthforge.testing import check_plugin
from synthforge.testing.executors import Squares

pytestmark = pytest.mark.slow  # starting Ray takes 10 to 40 s
KILLS = int(os.environ.get("SYNTHFORGE_KILLS", "2"))  # rounds of the long test
REFERENCE = "{name: ray, address: '%s', retries: 100}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core each; the head, which computes nothing, is the address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=False)
    _add(made, num_cpus=0, include_dashboard=False)
    for _ in range(2):
        _add(made, num_cpus=1)
    yield made
    made.shutdown()


def _add(cluster: Any, **options: Any) -> None:
    """Another node; on a busy machine one may need more than the 30 s that Ray waits, and is then tried again."""
    for left in reversed(range(6)):
        try:
            cluster.add_node(**options)
            return
        except Exception:
            if not left:
                raise


def test_contract(cluster: Any) -> None:
    check_plugin(load_plugins(strict=True), "executor", {"name": "ray", "address": cluster.address})


def test_a_shard_that_fails_once_is_tried_again_and_reported(cluster: Any, tmp_path: Path) -> None:
    said: list[str] = []
    executor = load_plugins().build("executor", {"name": "ray", "address": cluster.address})
    work = Squares(str(tmp_path), wrong=2, always=False)
    executor.run(work, [1, 2, 3], workers=2, advance=lambda count: None, say=said.append)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["1.txt", "2.txt", "3.txt"]
    assert [line for line in said if "shard 2 on node" in line and "tried again, 1 of 3" in line], said


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def _start(pipeline: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    samples = str(300 * max(KILLS, 2))  # so that no round finds everything done
    command = [sys.executable, "-m", "synthforge", "generate", str(pipeline), "--out", str(out), "--samples", samples]
    return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True, start_new_session=True)


def _actors() -> list[int]:
    """Processes of this cluster's actors: Ray names them after the method they run or wait for."""
    parents, actors = {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                    actors.append(int(entry.name))
            except OSError:
                continue

    def ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return list(filter(ours, actors))


def test_killing_actors_nodes_and_the_driver_changes_no_byte(cluster: Any, pipeline_file: Path, tmp_path: Path) -> None:
    """Each round: actors are killed again and again, one node dies, then the driver is killed."""
    local = _start(pipeline_file, tmp_path / "local", "--workers", "2")
    assert local.wait() == 0
    executor = f"stages.dataset.executor={REFERENCE % cluster.address}"
    out, dice, killed = tmp_path / "cluster", random.Random(7), {"actors": 0, "nodes": 0, "drivers": 0}
    for _ in range(KILLS):
        driver = _start(pipeline_file, out, "--workers", "2", "--set", executor)
        drain = threading.Thread(target=driver.stderr.read, daemon=True)  # type: ignore[union-attr]
        drain.start()
        seen, deadline = len(list(out.glob("shard-*.json"))), time.monotonic() + 300
        for kill in ("actors", "nodes", "actors", "drivers"):
            while len(list(out.glob("shard-*.json"))) <= seen and driver.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            if driver.poll() is not None:
                break
            seen = len(list(out.glob("shard-*.json")))
            if kill == "actors":
                while not (alive := _actors()) and driver.poll() is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                if not alive:
                    break
                os.kill(dice.choice(alive), signal.SIGKILL)
            elif kill == "nodes":
                node = dice.choice(sorted(cluster.worker_nodes, key=str))
                cluster.remove_node(node, allow_graceful=False)
            elif kill == "drivers":
                os.kill(driver.pid, signal.SIGKILL)
            killed[kill] += 1
        driver.wait()
        if len(cluster.worker_nodes) < 2:
            _add(cluster, num_cpus=1)
    last = _start(pipeline_file, out, "--workers", "2", "--set", executor)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    assert _digests(out) == _digests(tmp_path / "local")
    assert min(killed["drivers"], killed["nodes"], killed["actors"] / 2) >= KILLS * 0.8, killed
    print(killed)
