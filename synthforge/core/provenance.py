"""Whether a result is still valid: its fingerprint, the state file of a stage, and results that are set aside.

What the fingerprint covers is marked on the keys of a configuration (`core.keys`). One with `counts=False` never
changes a result (the number of workers). One with `since="0.2"` came with that release and counts only if it is not at
its default, so that older results stay valid. Every other key counts.

A result is set aside and restored by renaming its entries one at a time. The state file moves last when a result
leaves and first when it returns, so that the same command resumes after a kill at any point.
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
UNMERGED = ".unmerged.json"  # the future content of a dataset's manifest, while its shards are made in parts
_OWN = {STATE_FILE, PREVIOUS, UNMERGED}
_STATE: dict[str, Any] = {"fingerprint": str, "state": str, "facts?": dict, "outputs?": dict[str, list]}


def digest(content: Any) -> str:
    """SHA-256 of plain data, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as plain data, with a digest of all its other entries as `sha256`."""
    plain_record = json.loads(hidden(json.dumps(record, default=str)))
    return {**plain_record, "sha256": digest(plain_record)}


def check_seal(record: Mapping[str, Any]) -> None:
    """Raise ValueError for a record that was changed after it was `sealed`; older records have no digest."""
    if "sha256" in record and record["sha256"] != digest({k: v for k, v in record.items() if k != "sha256"}):
        raise ValueError("it was changed or damaged after it was written: its checksum differs")


def folder_digest(folder: Path) -> str:
    """A cheap digest of a folder from outside the run: names, sizes and times of its files."""
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
    """A value of a configuration as plain data: of nested configurations only what counts."""
    if hasattr(value, "reference"):  # a plugin that was bound (`core.references`): as the YAML gives it
        return value.reference
    if dataclasses.is_dataclass(value):
        return counted(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def fits(state: Mapping[str, Any] | None, facts: Mapping[str, Any], config: Any) -> bool:
    """Whether a recorded result was made from `facts`; keys of an older record that no longer count are ignored."""
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
    """A description of what differs between the facts of two results."""
    found = []
    for key in ("config", "inputs", "versions", "plugin_files"):
        before, after = old.get(key) or {}, new.get(key) or {}
        for name in sorted(set(before) | set(after)):
            if before.get(name) != after.get(name):
                found.append(name if key == "config" else f"{key}.{name}")
    found += [{"outside": "the data read"}.get(key, key) for key in _WHOLE if old.get(key) != new.get(key)]
    return ", ".join(found) or "something"


def read_state(folder: Path) -> dict[str, Any] | None:
    """The content of a stage folder's state file, or None. Raises DataError when it is not readable."""
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    with boundary(path, "a valid state file", hint=f"{way_out(folder)} The stage then runs again."):
        state = read_json(path)
        check_record(state, _STATE)
        check_seal(state)
        for name, row in state.get("outputs", {}).items():
            size, _ = row
            if type(size) is not int or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"an output is '{name[:80]}': {row!r:.40}")
    return state


def way_out(folder: Path) -> str:
    """The hint for a folder that no stage can use."""
    if is_remote(folder):
        return "Move it away in the store, then run the same command again."
    whole = Path(os.path.abspath(folder))
    if not whole.name:  # the root of all folders
        return ""
    aside = whole.with_name(f"{whole.name}.aside")
    return f"Move it away, then run the same command again: mv {quote(str(whole))} {quote(str(aside))}."


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a stage folder's state file, with its checksum."""
    write_json(folder / STATE_FILE, sealed(state))


def outputs(folder: Path, *, loose: Iterable[str] = (), known: Mapping[str, str] | None = None) -> dict[str, list[Any]]:
    """Size and SHA-256 of every file of a finished result, by its name; `loose`: patterns of those that may be missing.

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
    """Names of the entries of an output folder, without the engine's own and temporary files."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if name not in _OWN and not _passing(name))


def _passing(name: str) -> bool:
    return is_temporary(name) or is_lock(name)


def set_aside(folder: Path, names: Iterable[str], into: Path, *, last: str = STATE_FILE) -> Path:
    """Move entries of `folder` to `into`, or to `into.2` and so on where one of these names is taken; returns where.

    The entry `last` moves at the end, so that a repeated call resumes an interrupted one.
    """
    if into.parent.is_symlink():
        raise DataError(
            f"{into.parent} is a link: results are not moved out of the folder", hint="Make it a folder, or delete it."
        )
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
    """Move a result that was set aside back to its folder, the state file first; existing entries stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (STATE_FILE, *entries(place)):
        if _lies(place / name) and not _lies(folder / name):
            (place / name).rename(folder / name)
    with suppress(OSError):  # the user has a file of that name there
        place.rmdir()


def kept_results(out: Path, previous: Path) -> list[Path]:
    """Folders of results of `out` that were set aside in `previous`, or beside `out` by earlier releases."""
    places = {previous, out.parent / PREVIOUS}
    found = [path for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()]
    return sorted(path for path in found if path.name == out.name or path.name.startswith(f"{out.name}."))
