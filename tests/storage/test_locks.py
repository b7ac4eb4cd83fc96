"""The lock of an output folder in a store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest

from synthforge.core import leases
from synthforge.core.errors import SynthForgeError, UserError
from synthforge.core.locks import locked, locked_shards
from synthforge.core.storage import RemotePath, place


def lock_of(folder: str, **changes: Any) -> RemotePath:
    """A lock that lies there, by default of this living process."""
    path = place(f"{folder}/.lock")
    assert isinstance(path, RemotePath)
    me = {"host": socket.gethostname(), "process": os.getpid(), "since": "2026-01-01 10:00:00+00:00", "id": "other"}
    path.overwrite(json.dumps({**me, "alive": leases.now().isoformat(" ", "seconds"), **changes}).encode())
    return path


@pytest.fixture(params=["memory", "bucket", "faulty"])
def folder(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    if request.param != "faulty":
        return f"{found}/run"
    found.every = 2
    return "faulty://box/locks"


def test_a_second_run_is_refused_and_the_first_named(folder: str) -> None:
    with locked(place(folder)):
        time.sleep(0.5)  # two signs of life
        words = rf"at work in {folder}: process {os.getpid()} on .*, since 2"
        with pytest.raises(UserError, match=words) as caught, locked(place(folder)):
            raise AssertionError("two runs are in")
        assert "choose another --out" in str(caught.value)
    with locked(place(folder)):
        pass
    assert not place(f"{folder}/.lock").exists()


def test_a_lock_of_a_dead_process_is_taken_at_once(memory: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock_of(memory, process=gone.pid)
    with locked(place(memory)):
        pass


def test_a_lock_of_another_host_lives_while_it_beats(memory: str) -> None:
    lock_of(memory, host="elsewhere", process=1)
    with pytest.raises(UserError, match="process 1 on elsewhere, since 2026-01-01 10"), locked(place(memory)):
        pass


def test_a_lock_of_another_host_without_signs_of_life_is_taken(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    old = (leases.now() - timedelta(minutes=10)).isoformat(" ", "seconds")
    path = lock_of(memory, host="elsewhere", alive=old)

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:  # its clock is wrong, not its process
            lock_of(memory, host="elsewhere", alive=old, beat=1)

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(UserError, match="elsewhere"), locked(place(memory)):
        pass
    with locked(place(memory)):
        assert json.loads(path.read_bytes())["host"] == socket.gethostname()
    assert len(waited) == 2


def test_a_run_whose_lock_was_taken_fails_and_leaves_the_others(memory: str) -> None:
    with pytest.raises(SynthForgeError, match=r"another run has taken the lock .* on thief"), locked(place(memory)):
        path = lock_of(memory, host="thief")
    assert json.loads(path.read_bytes())["host"] == "thief"


def test_parts_hold_a_lock_together_and_whole_runs_alone(folder: str) -> None:
    there = place(folder)
    with locked(there, shared=True), locked_shards(there, range(0, 4)):
        with locked(there, shared=True), locked_shards(there, range(4, 8)):
            pass
        with (
            pytest.raises(UserError, match=f"another run is at work in {folder}: process {os.getpid()}"),
            locked(there),
        ):
            pass
        words = f"another run makes some of these shards in {folder}: process {os.getpid()}"
        with pytest.raises(UserError, match=words), locked_shards(there, range(3, 5)):
            pass
    with locked(there), pytest.raises(UserError, match="another run is at work"), locked(there, shared=True):
        pass
    assert list(there.iterdir()) == []
