"""Faults on purpose: a command in a child process, and what goes wrong at its n-th call that names or writes a file.

    from synthforge.cli.main import main
    ended = run(main, ["generate", "balls.yaml", "--out", "faces"], folder, Fault("kill", 12))

Calls are counted where Python itself reports them (`sys.addaudithook`: opening for writing, mkdir, rename, unlink ...),
at `os.fsync`, and at every write to a file in `folder`. The child is forked, so what is imported beforehand costs
nothing again, and it really ends: by SIGKILL, with nothing of it running afterwards.

Processes that the command forks count on, each for itself. One that it spawns does so after
`CallCounter(...).watch()`. With `workers`, the fault happens in one of them, once.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

#: what can go wrong, and what it stands for
FAULTS = {
    "kill": "SIGKILL; of a write, half is there",
    "power": "SIGKILL, and what was not synced to disk is empty",
    "full": "the disk is full from that call on",
    "read-only": "the disk can only be read from that call on",
    "term": "SIGTERM",
    "int": "SIGINT (Ctrl-C)",
    "stop": "SIGSTOP, later SIGCONT",
    "clock": "the clock jumps by ten years, forward or back",
    "vanish": "the output folder is deleted",
}
#: those that are signals
SIGNALS = {"kill": signal.SIGKILL, "power": signal.SIGKILL, "term": signal.SIGTERM}
SIGNALS |= {"int": signal.SIGINT, "stop": signal.SIGSTOP}
_NAMING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_FREEING = {"os.remove", "os.rmdir"}  # a full disk allows these
_TEN_YEARS = 10 * 365 * 86400.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong (a key of `FAULTS`) at which call, counted from 0; out: the output folder, for `vanish`.

    workers: it happens to a worker process of the command, at a call of one of them. A signal reaches that one where
    `at` is even, else another.
    """

    kind: str
    at: int
    out: str = ""
    workers: bool = False


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that ended it), its output, and the calls counted: those
    of the process that made most of them."""

    code: int
    output: str
    calls: int


def run(
    main: Callable[[], Any], command: Sequence[str], folder: Path, fault: Fault | None = None, *, seconds: float = 120
) -> Ended:
    """Call `main`, a command line's entry point, in a child process inside `folder`; kept beside it: its output and,
    while it runs, its process number.

    Raises TimeoutError when it has not ended after `seconds`; the child is then killed.
    """
    log, counts = folder.with_name(f"{folder.name}.log"), folder.with_name(f"{folder.name}.calls")
    counts.write_text("0", encoding="ascii")
    counts.with_suffix(".broke").unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_the_command(main, command, folder, fault, log, counts)
    counts.with_suffix(".pid").write_text(str(child), encoding="ascii")
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if done and os.WIFSTOPPED(status):
            time.sleep(0.05)
            os.kill(child, signal.SIGCONT)
        elif done:
            break
        elif time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"{' '.join(command)} was still running after {seconds:.0f} s, with {fault}")
        time.sleep(0.005)
    calls = int(counts.read_text(encoding="ascii"))
    return Ended(os.waitstatus_to_exitcode(status), log.read_text(encoding="utf-8", errors="replace"), calls)


def _be_the_command(
    main: Callable[[], Any], command: Sequence[str], folder: Path, fault: Fault | None, log: Path, counts: Path
) -> None:
    """Become `synthforge COMMAND`; never returns."""
    code = 70
    try:
        os.chdir(folder)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.argv = ["synthforge", *command]
        CallCounter(folder.resolve(), fault, counts).watch()
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class CallCounter:
    """Counts calls that name, write or sync a file in a folder, and lets the fault happen at its own.

    counts: a file that holds the largest count of all processes. main: the process of the command itself.
    """

    #: that of this process
    watching: ClassVar[CallCounter]

    def __init__(self, folder: Path, fault: Fault | None, counts: Path, main: int = 0) -> None:
        self.folder, self.fault, self.main, self.file = str(folder) + os.sep, fault, main or os.getpid(), counts
        self.counts = os.open(counts, os.O_RDWR)
        self.count = 0
        self.broken = self.busy = False
        self.began = time.time()
        self.synced: set[int] = set()

    def watch(self) -> None:
        """Count from here on; for the rest of the process."""
        CallCounter.watching = self
        open_, fsync = builtins.open, os.fsync

        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+") or not self.inside(file):
                return open_(file, mode, buffering, *rest, **named)
            raw = _Raw(file, mode.replace("b", "").replace("t", ""), named.pop("opener", None), counter=self)
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **named)

        def synced(fd: Any) -> None:
            self.call("fsync")
            fsync(fd)
            self.synced.add(os.fstat(fd).st_ino)

        builtins.open = io.open = opened
        os.fsync = synced
        sys.addaudithook(self.heard)

    def inside(self, path: Any) -> bool:
        try:
            return os.path.abspath(os.fsdecode(path)).startswith(self.folder)
        except (TypeError, ValueError):
            return False

    def heard(self, event: str, given: tuple[Any, ...]) -> None:
        """An audit event."""
        if self.busy:
            return
        if event == "open":
            path, _, flags = given
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and self.inside(path):
                self.call(event, path)
        elif event in _NAMING and self.inside(given[0]):
            self.call(event, given[0])

    def call(self, event: str, path: Any = None, before: Callable[[], Any] = lambda: None) -> None:
        """Count a call, of a path where the system's own error would name one; before: what is done before a kill."""
        number, self.count = self.count, self.count + 1
        if self.count > int(os.pread(self.counts, 20, 0) or 0):
            os.pwrite(self.counts, str(self.count).encode(), 0)
        if self.fault is None or number < self.fault.at or (self.fault.workers and os.getpid() == self.main):
            return
        kind = self.fault.kind
        if kind == "full" and event not in _FREEING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path and os.fsdecode(path))
        if kind == "read-only" and event not in ("write", "fsync"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path and os.fsdecode(path))
        if not self.broken:
            self.broken = self.busy = True
            with suppress(FileExistsError):  # another worker was faster
                os.close(os.open(self.file.with_suffix(".broke"), os.O_CREAT | os.O_EXCL))
                self.happen(kind, before)
            self.busy = False

    def happen(self, kind: str, before: Callable[[], Any]) -> None:
        if kind in SIGNALS:
            target = self.target()
            if SIGNALS[kind] == signal.SIGKILL and target == os.getpid():
                before()
            if kind == "power":
                self.lose_what_is_not_synced()
            os.kill(target, SIGNALS[kind])
        elif kind == "clock":
            jump = _TEN_YEARS if self.fault and self.fault.at % 2 else -_TEN_YEARS
            now, now_ns = time.time, time.time_ns
            time.time = lambda: now() + jump
            time.time_ns = lambda: now_ns() + int(jump * 1e9)
            for path in Path(self.folder).rglob("*"):
                os.utime(path, (now() + jump, now() + jump))
        elif kind == "vanish" and self.fault:
            shutil.rmtree(self.folder + self.fault.out, ignore_errors=True)

    def target(self) -> int:
        """The process that a signal is for: this one, or another worker of the command."""
        if not (self.fault and self.fault.workers and self.fault.at % 2):
            return os.getpid()
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                tracker = b"resource_tracker" in (entry / "cmdline").read_bytes()
                if parent == self.main and int(entry.name) != os.getpid() and not tracker:
                    return int(entry.name)
        return os.getpid()

    def lose_what_is_not_synced(self) -> None:
        """Empty the files that this process wrote and did not sync, as a file system may after the power failed."""
        for path in Path(self.folder).rglob("*"):
            info = path.lstat()
            if path.is_file() and info.st_mtime >= self.began and info.st_ino not in self.synced:
                os.truncate(path, 0)


class _Raw(io.FileIO):
    """A file whose writes are counted."""

    def __init__(self, path: Any, mode: str, opener: Any, *, counter: CallCounter) -> None:
        self.counter = counter
        super().__init__(path, mode, opener=opener)

    def write(self, data: Any) -> int:
        """See `io.RawIOBase.write`."""
        self.counter.call("write", before=lambda: super(_Raw, self).write(bytes(data)[: len(data) // 2]))
        return super().write(data)
