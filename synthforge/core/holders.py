"""Which process holds a lock: its host, number and time of start, and whether it still runs.

A process number alone is not enough: it may be reused later, and each container on a host has its own numbers.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


def now() -> datetime:
    """The time of this machine, with its zone."""
    return datetime.now(timezone.utc).astimezone()


def machine() -> str:
    """An identifier of this machine or container, since process numbers repeat between them; empty if unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def host_name() -> str:
    """The host's name for use in a file's name; in a container with its PID namespace."""
    name = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
    space = re.sub(r"[^0-9]", "", machine().rpartition(" ")[2])
    return name if space in ("", "4026531836") else f"{name}-{space}"  # Linux gives this number to the first one


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot; empty if unknown."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode("ascii")
    return ""


def me() -> dict[str, Any]:
    """The record of this process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "process": pid, "machine": machine(), "started": _started(pid)}


def runs(found: Mapping[str, Any]) -> bool | None:
    """Whether the process of a record runs; None if this machine cannot find out."""
    pid, same = found.get("process"), found.get("machine", "")
    if not isinstance(pid, int) or (same != machine() if same else found.get("host") != socket.gethostname()):
        return None
    return alive(pid) and found.get("started") in (None, "", _started(pid))


def described(found: Mapping[str, Any]) -> str:
    """A description of the holder."""
    if not found:
        return "a process that is just starting"
    return f"process {found.get('process')} on {found.get('host')}, since {found.get('since')}"
