"""Does a result still fit? What counts, its digest, the state file of a stage, and results that are set aside.

What counts is marked on the keys of a configuration (`core.keys`). One with `counts=False` never changes a result (the
number of workers). One with `since="0.2"` came with that release and counts only if it is not at its default, so that
older results keep fitting. Every other key counts.

A result is set aside and brought back by renaming its entries one at a time. The state file moves last when a result
leaves and first when it returns, so that after a kill at any point the same command goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from .environment import hidden
from .errors import DataError
from .files import is_temporary, sha256_of, write_json
from .foreign import boundary, check_record, read_json
from .keys import default_of, key_of
from .locks import is_lock
from .storage import is_remote

STATE_FILE = ".stage.json"
PREVIOUS = ".previous"
_WHOLE = ("seed", "outside", "environment")  # facts that are reported as a whole when they change
UNMERGED = ".unmerged.json"  # what a dataset's manifest will say, while its shards are made in parts
_OWN = {STATE_FILE, PREVIOUS, UNMERGED}
_STATE: dict[str, Any] = {"fingerprint": str, "state": str, "facts?": dict, "outputs?": dict[str, list]}


def digest(content: Any) -> str:
    """SHA-256 of plain data, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON holds it, with a digest of everything else in it as `sha256`."""
    plain_record = json.loads(hidden(json.dumps(record, default=str)))
    return {**plain_record, "sha256": digest(plain_record)}


def check_seal(record: Mapping[str, Any]) -> None:
    """Raise ValueError for a record that was changed after it was `sealed`; older ones have no seal."""
    if "sha256" in record and record["sha256"] != digest({k: v for k, v in record.items() if k != "sha256"}):
        raise ValueError("it was changed or damaged after it was written: it does not have its own checksum")


def folder_digest(folder: Path) -> str:
    """A cheap digest of a folder the run did not make: names, sizes and times of its files."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    rows = []
    for name, path in files_of(folder):
        info = path.stat()
        rows.append([name, info.st_size, info.st_mtime_ns])
    return digest(rows)


def counted(config: Any, of: type | None = None) -> dict[str, Any]:
    """What counts of a configuration, as plain data (see above for the marks of its fields).

    of: only the fields of this class, which the configuration's class extends.
    """
    found = {}
    for item in dataclasses.fields(of or config):
        value = getattr(config, item.name)
        if key_of(item).counts and not (key_of(item).since and value == default_of(item)):
            found[item.name] = plain(value)
    return found


def plain(value: Any) -> Any:
    """A value of a configuration as plain data: nested configurations by what counts of them."""
    if hasattr(value, "reference"):  # a plugin that was bound (`core.references`): as the YAML gives it
        return value.reference
    if dataclasses.is_dataclass(value):
        return counted(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def fits(state: Mapping[str, Any] | None, facts: Mapping[str, Any], config: Any) -> bool:
    """Whether a recorded result is one of `facts`; keys that no longer count are passed over in an older record."""
    if state is None:
        return False
    if state["fingerprint"] == digest(facts):
        return True
    old = state.get("facts")
    if not isinstance(old, Mapping) or not isinstance(old.get("config"), Mapping):
        return False
    ignored = {item.name for item in dataclasses.fields(config) if not key_of(item).counts}
    kept = {key: value for key, value in old["config"].items() if key not in ignored}
    return digest({**old, "config": kept}) == digest(facts)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between the facts of two results, in words."""
    found = []
    for key in ("config", "inputs", "versions", "plugin_files"):
        before, after = old.get(key) or {}, new.get(key) or {}
        for name in sorted(set(before) | set(after)):
            if before.get(name) != after.get(name):
                found.append(name if key == "config" else f"{key}.{name}")
    found += [{"outside": "the data read"}.get(key, key) for key in _WHOLE if old.get(key) != new.get(key)]
    return ", ".join(found) or "something"


def read_state(folder: Path) -> dict[str, Any] | None:
    """What stands in a stage folder's state file, or None. Raises DataError when it is not readable."""
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    with boundary(path, "a whole state file", hint=f"{way_out(folder)} The stage is then made anew."):
        state = read_json(path)
        check_record(state, _STATE)
        check_seal(state)
        for name, row in state.get("outputs", {}).items():
            size, _ = row
            if type(size) is not int or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"an output is '{name[:80]}': {row!r:.40}")
    return state


def way_out(folder: Path) -> str:
    """What to do about a folder that no stage can take over; nothing is lost."""
    if is_remote(folder):
        return "Move it away in the store, then run the same command again."
    whole = Path(os.path.abspath(folder))
    if not whole.name:  # the root of all folders
        return ""
    aside = whole.with_name(f"{whole.name}.aside")
    return f"Move it away, then run the same command again: mv {quote(str(whole))} {quote(str(aside))}."


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a stage folder's state file, with a checksum of its own."""
    write_json(folder / STATE_FILE, sealed(state))


def outputs(folder: Path, *, loose: Iterable[str] = (), known: Mapping[str, str] | None = None) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file of a finished result, by its name; `loose`: patterns of those nobody misses.

    known: checksums that the result's own records hold, so that those files need not be read again.
    """
    known = known or {}
    return {
        name: [path.stat().st_size, known.get(name) or sha256_of(path)]
        for name, path in files_of(folder)
        if not any(Path(name).match(pattern) for pattern in loose)
    }


def damaged(folder: Path, recorded: Mapping[str, Any], *, content: bool = False) -> list[str]:
    """Names of recorded outputs that are missing, or of another size; `content`: or of another checksum."""
    there = dict(files_of(folder)) if is_remote(folder) else {}  # one listing, not one request a file

    def sound(name: str, size: int, sha256: str) -> bool:
        path = there.get(name, folder / name)
        try:
            return path.is_file() and path.stat().st_size == size and not (content and sha256_of(path) != sha256)
        except OSError:
            return False

    return [name for name, (size, sha256) in recorded.items() if not sound(name, size, sha256)]


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of a result's files, sorted, without the engine's own."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if _OWN.isdisjoint(name.parts) and not _passing(path.name) and path.is_file():
            yield name.as_posix(), path


def entries(folder: Path) -> list[str]:
    """Names of what lies in an output folder, without the engine's own files and what a killed process left."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if name not in _OWN and not _passing(name))


def _passing(name: str) -> bool:
    return is_temporary(name) or is_lock(name)


def set_aside(folder: Path, names: Iterable[str], into: Path, *, last: str = STATE_FILE) -> Path:
    """Move entries of `folder` to `into`, or to `into.2` and so on where one of these names is taken; returns where.

    The entry `last` moves at the end: as long as it stands, the same call goes on where it stopped.
    """
    if into.parent.is_symlink():
        raise DataError(f"{into.parent} is a link: nothing is moved elsewhere", hint="Make it a folder, or delete it.")
    moving = [*(name for name in names if name != last), last]
    moving = [name for name in moving if _lies(folder / name)]
    number, place = 1, into
    while any(_lies(place / name) for name in (*moving, last)):
        number += 1
        place = into.with_name(f"{into.name}.{number}")
    place.mkdir(parents=True, exist_ok=True)
    for name in moving:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(place / name)
    return place


def _lies(path: Path) -> bool:
    """Whether there is anything at a path, a broken link included."""
    return path.is_symlink() or path.exists()


def bring_back(place: Path, folder: Path) -> None:
    """Move a result that was set aside back to its folder, the state file first; entries there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (STATE_FILE, *entries(place)):
        if _lies(place / name) and not _lies(folder / name):
            (place / name).rename(folder / name)
    with suppress(OSError):  # something of the user's lies there as well
        place.rmdir()


def kept_results(out: Path, previous: Path) -> list[Path]:
    """Folders of results of `out` that were set aside in `previous`, or beside `out` by earlier releases."""
    places = {previous, out.parent / PREVIOUS}
    found = [path for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()]
    return sorted(path for path in found if path.name == out.name or path.name.startswith(f"{out.name}."))
