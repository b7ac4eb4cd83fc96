"""The lock of an output folder in a store."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from synthforge.core import holders, leases
from synthforge.core.errors import DataError, SynthForgeError, UserError
from synthforge.core.locks import check_writable, locked, locked_shards
from synthforge.core.provenance import way_out
from synthforge.core.storage import RemotePath, place


def lock_of(folder: str, **changes: Any) -> RemotePath:
    """A lock that lies there, by default of this living process."""
    path = place(f"{folder}/.lock")
    assert isinstance(path, RemotePath)
    about = {**holders.me(), "since": "2026-01-01 10:00:00+00:00", "id": "other"}
    elsewhere = {"machine": "another boot"} if "host" in changes else {}
    alive = leases.now().isoformat(" ", "seconds")
    path.overwrite(json.dumps({**about, "alive": alive, **elsewhere, **changes}).encode())
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
        words = rf"writing to {folder}: process {os.getpid()} on .*, since 2"
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
            pytest.raises(UserError, match=f"another run is writing to {folder}: process {os.getpid()}"),
            locked(there),
        ):
            pass
        words = f"another run is making some of these shards in {folder}: process {os.getpid()}"
        with pytest.raises(UserError, match=words), locked_shards(there, range(3, 5)):
            pass
    with locked(there), pytest.raises(UserError, match="another run is writing to"), locked(there, shared=True):
        pass
    assert list(there.iterdir()) == []


def test_a_number_that_another_process_has_now_holds_nothing(memory: str) -> None:
    lock_of(memory, started="1")  # of this process's number, but it started later
    with locked(place(memory)):
        pass


def test_a_renamed_host_knows_its_own_locks(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock_of(memory, process=gone.pid)
    lock_of(f"{memory}/living")
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    with locked(place(memory)):
        pass
    with pytest.raises(UserError, match=f"process {os.getpid()}"), locked(place(f"{memory}/living")):
        pass


def test_a_container_of_the_same_host_name_is_another_machine(memory: str) -> None:
    """Its numbers mean nothing here: a lock of number 1 there is not that of number 1 here, nor free without one."""
    for number in (os.getpid(), 2**30):
        lock_of(memory, process=number, machine="this boot pid:[4026539999]")
        with pytest.raises(UserError, match=f"process {number} on {socket.gethostname()}"), locked(place(memory)):
            pass


@pytest.mark.parametrize("years", [-10, 10])
def test_a_dead_holder_whose_clock_was_wrong_blocks_nobody(
    memory: str, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    lock_of(memory, host="elsewhere", alive=(leases.now() + timedelta(days=365 * years)).isoformat())
    with locked(place(memory)):
        pass


@pytest.mark.parametrize(
    "record", [b"", b"\xff", b"[]", b"{}", b'{"process": 1e300}', b'{"process": -1}', b'{"id": []}']
)
def test_locks_with_odd_content_are_free_or_named(memory: str, monkeypatch: pytest.MonkeyPatch, record: bytes) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    place(f"{memory}/.lock").overwrite(record)
    with locked(place(memory)):
        pass


def test_of_many_that_find_a_lock_left_behind_one_takes_it(memory: str) -> None:
    begin, got, refused = threading.Barrier(8), [], []
    ended = threading.Event()

    def run() -> None:
        begin.wait()
        try:
            with locked(place(memory)):
                got.append(1)
                ended.wait(20)
        except UserError:
            refused.append(1)
            if len(refused) == 7:
                ended.set()

    lock_of(memory, host="elsewhere", alive="2020-01-01 00:00:00+00:00")
    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    assert list(place(memory).iterdir()) == []


def test_shared_locks_left_behind_are_watched_at_once_and_removed(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for number in range(5):
        old = lock_of(memory, host=f"spot-{number}", alive="2020-01-01 00:00:00+00:00")
        old.rename(old.with_name(f".lock.shared.{number}"))
    with locked(place(memory)):
        assert [path.name for path in place(memory).iterdir()] == [".lock"]
    assert len(waited) == 1


def test_a_link_in_place_of_a_lock_empties_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("important")
    for name in (".lock", ".lock.0-4"):
        (tmp_path / "out" / name).symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match=r"\.lock is a link"), locked(tmp_path / "out"):
        pass
    (tmp_path / "out" / ".lock").unlink()
    with (
        pytest.raises(DataError, match=r"\.lock\.0-4 is a link"),
        locked(tmp_path / "out"),
        locked_shards(tmp_path / "out", range(2, 3)),
    ):
        pass
    assert (tmp_path / "mine").read_text() == "important"


def test_a_forked_process_does_not_hold_the_lock_of_a_dead_one(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, time
from pathlib import Path
from synthforge.core.locks import locked
with locked(Path({str(tmp_path)!r})):
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    try:
        assert done.returncode == -9
        with locked(tmp_path):
            pass
    finally:
        os.kill(int(done.stdout), 9)


def test_a_part_that_begins_as_another_ends_is_not_refused(tmp_path: Path) -> None:
    """The last holder has the file for itself for an instant while it removes it."""
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.08, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        with locked(tmp_path, shared=True):
            pass


def test_a_folder_that_none_can_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write in"):
        check_writable(tmp_path / ("a" * 300))


def test_the_way_out_names_whole_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert way_out(Path()) == way_out(tmp_path)
    assert f"mv {tmp_path} {tmp_path}.aside" in way_out(tmp_path)
    assert way_out(Path("/")) == ""
