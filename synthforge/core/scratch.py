"""A local folder in which a stage works when its output folder is in an object store.

Existing files of the result are fetched first, so that any machine can resume. Finished files are uploaded while the
stage runs, and at the end all of them, records last.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from .errors import SynthForgeError
from .files import cache_dir, is_temporary, replacing
from .locks import is_lock
from .storage import RemotePath

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two scans for files to upload
# Records that mark other files as complete: those of parts first, then that of the whole result.
_RECORD = ".json"
_LAST = ("manifest.json", "model.json", "evaluation.json")


@contextmanager
def working_folder(out: Path, own: Sequence[str], loose: Sequence[str] = ()) -> Iterator[Path]:
    """Where a stage writes: `out` itself, or for one in a store a local folder whose files are uploaded to it.

    own: names of the engine's files, which are not copied. loose: patterns of files that grow while the stage runs;
    they are uploaded at the end.
    """
    if not isinstance(out, RemotePath):
        yield out
        return
    folder = cache_dir() / "scratch" / hashlib.sha256(out.url.encode()).hexdigest()[:24]
    shutil.rmtree(folder, ignore_errors=True)  # of a killed run: the store has everything that counts
    folder.mkdir(parents=True)
    try:
        mirror = _Mirror(folder, out, own, loose)
        mirror.fetch()
        ended = threading.Event()
        watch = threading.Thread(target=mirror.watch, args=(ended,), name="publish", daemon=True)
        watch.start()
        try:
            yield folder
        except BaseException:
            ended.set()
            watch.join()
            with suppress(SynthForgeError):  # the next run can use what was uploaded
                mirror.publish()
            raise
        ended.set()
        watch.join()
        mirror.publish(last=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fetched(inputs: Mapping[str, Path], names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Folders by key; those of `names` in a store are local copies while the block runs."""
    with ExitStack() as stack:
        found = dict(inputs)
        for name in names:
            remote = found.get(name)
            if isinstance(remote, RemotePath):
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="synthforge-")))
                _Mirror(folder, remote, (), ()).fetch()
                found[name] = folder
        yield found


class _Mirror:
    def __init__(self, folder: Path, out: RemotePath, own: Sequence[str], loose: Sequence[str]) -> None:
        self.folder, self.out, self.own, self.loose = folder, out, set(own), loose
        self.done: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Download what the store has."""
        for path in self._remote():
            name = str(path.relative_to(self.out))
            with path.open("rb") as source, replacing(self.folder / name) as file:
                shutil.copyfileobj(source, file, 8 << 20)
            self.done[name] = _mark(self.folder / name)

    def _remote(self) -> list[RemotePath]:
        return [path for path in self.out.rglob("*") if self._counts(path.relative_to(self.out))]

    def _counts(self, name: PurePosixPath) -> bool:
        return self.own.isdisjoint(name.parts) and not is_lock(name.name)

    def _local(self) -> dict[str, Path]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and not is_temporary(path.name))
        names = {path.relative_to(self.folder).as_posix(): path for path in found}
        return {name: path for name, path in names.items() if self._counts(PurePosixPath(name))}

    def publish(self, *, last: bool = False) -> None:
        """Upload new files, records after the files they list; last: everything, and delete what no longer exists
        locally."""
        records = {name for name in self._local() if name.endswith(_RECORD)}
        files = self._local()  # listed after the records, so that the files they list exist
        for name in sorted(files, key=lambda name: (name in records, name.rpartition("/")[2] in _LAST, name)):
            growing = any(PurePosixPath(name).match(pattern) for pattern in self.loose)
            if not last and (growing or (name.endswith(_RECORD) and name not in records)):
                continue
            with suppress(FileNotFoundError):  # a stage may delete files in the meantime
                mark = _mark(files[name])
                if self.done.get(name) != mark:
                    (self.out / name).put(files[name])
                    self.done[name] = mark
        if last:
            for path in self._remote():
                if str(path.relative_to(self.out)) not in files:
                    path.unlink(missing_ok=True)

    def watch(self, ended: threading.Event) -> None:
        """Upload at intervals until the stage has ended."""
        while not ended.wait(EVERY):
            try:
                self.publish()
            except SynthForgeError as error:  # retried, and reported at the end
                log.warning("%s", error.message)


def _mark(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_size, info.st_mtime_ns
