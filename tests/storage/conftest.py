"""A real S3-compatible server on loopback, and a store of which every n-th request fails."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Iterator

import fsspec
import pytest
from stores import Faulty, environment

from synthforge.core import leases, patience


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Short waits, and a cache of the test's own."""
    monkeypatch.setattr(patience, "PATIENCE", patience.Patience(tries=6, first=0.001, most=0.002))
    monkeypatch.setattr(leases, "BEAT", 0.2)
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a moto server in a thread of this process."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://BUCKET` of a fresh bucket; child processes reach it, too."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    name = f"b{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def no_server() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def faulty() -> Iterator[type[Faulty]]:
    """The class, empty and without faults; set `every`."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.every = Faulty.requests = Faulty.failed = 0
    yield Faulty
    Faulty.every = 0


@pytest.fixture
def memory() -> Iterator[str]:
    """`memory://` and a name, emptied afterwards."""
    name = f"memory://{uuid.uuid4().hex}"
    yield name
    fsspec.filesystem("memory").rm(name, recursive=True) if fsspec.filesystem("memory").exists(name) else None
