"""A store of which every n-th request fails, and what tests of stores share."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem

from synthforge.core.storage import place

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "datasets"))

KEY, SECRET = "AKIATESTKEYTESTKEY12", "a-secret-that-nobody-may-read"


def environment(server: str) -> dict[str, str]:
    """What a process needs to reach the server."""
    return {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Faulty(MemoryFileSystem):
    """`faulty://`: memory of its own, of which every `every`-th request fails, before or after it was done."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    every, requests, failed = 0, 0, 0
    within = threading.local()

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).replace("faulty://", "memory://"))


def _failing(name: str) -> Any:
    def request(self: Faulty, *args: Any, **kwargs: Any) -> Any:
        depth = getattr(Faulty.within, "depth", 0)
        Faulty.within.depth = depth + 1
        try:
            if depth:  # a part of another request
                return getattr(MemoryFileSystem, name)(self, *args, **kwargs)
            Faulty.requests += 1
            fails = Faulty.every and Faulty.requests % Faulty.every == 0
            if fails and Faulty.failed % 2 == 0:
                Faulty.failed += 1
                raise ConnectionResetError("the request was lost")
            found = getattr(MemoryFileSystem, name)(self, *args, **kwargs)
            if fails:
                Faulty.failed += 1
                raise TimeoutError("the answer was lost")
            return found
        finally:
            Faulty.within.depth = depth

    return request


for _name in ("info", "cat_file", "ls", "find", "rm_file", "cp_file", "put_file", "pipe_file", "mv"):
    setattr(Faulty, _name, _failing(_name))


def contents(folder: Any) -> dict[str, bytes]:
    """The files below a folder or URL by name, without the engine's own."""
    root = place(folder)
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "/." not in f"/{name}"}
