"""merge: the manifest of a dataset whose parts were made by several processes.

Every part stores the same record of the manifest's content besides the shards. So finishing a dataset needs no plugin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError, UserError
from ..core.factors import Factor
from ..core.files import write_bytes
from ..core.foreign import boundary
from ..core.locks import locked
from ..core.progress import progress_bar
from ..core.provenance import UNMERGED, outputs, read_state, write_state
from ..core.storage import is_remote
from ..datasets.layout import MANIFEST, integer, marker_path, read_record, tar_path, to_bytes
from ..datasets.reader import read_manifest
from ..datasets.rejections import acceptance
from ..datasets.writer import MadeBy, finish, shard_done


def finish_record(root: Path, record: Mapping[str, Any]) -> None:
    """Write the manifest from a record. Raises as `datasets.writer.finish` does."""
    finish(
        root,
        shards=record["shards"],
        config=record["config"],
        config_hash=record["config_hash"],
        licences=record["licences"],
        made_by=MadeBy(record["provenance"], record["plugins"], record["files"]),
        factors=[Factor.from_json(factor) for factor in record["factors"]],
        filters=record["filters"],
    )
    (root / UNMERGED).unlink(missing_ok=True)


def keep_record(root: Path, record: Mapping[str, Any]) -> None:
    """Store a record for `merge`. Raises DataError if another part has stored a different one."""
    path, data = root / UNMERGED, to_bytes(record, indent=1)
    if path.exists() and path.read_bytes() != data:
        there = read_record(path)
        other = [name for name in record if to_bytes({"": record[name]}) != to_bytes({"": there.get(name)})]
        raise DataError(
            f"{path}: another part was made with other {', '.join(other)}",
            hint="Install the same versions and files on all machines, and make the dataset in a new folder.",
        )
    write_bytes(path, data)


def recorded(out: Path) -> dict[str, str]:
    """Checksums of the shards and markers of a finished dataset in a store, as its manifest holds them.

    Empty for a local dataset: reading its files again is cheap and verifies the disk.
    """
    if not is_remote(out):
        return {}
    rows = read_manifest(out)["shards"]
    tars = {tar_path(out, row["shard"]).name: row["sha256"] for row in rows}
    return tars | {marker_path(out, row["shard"]).name: row["marker_sha256"] for row in rows}


def merge(root: Path, *, check: bool = False, say: Callable[[str], Any] = print) -> dict[str, Any]:
    """Finish the dataset in a folder; check: compare the checksums of all shards, not only their sizes.

    Returns folder, shards, samples and status (`done` or `up to date`). Raises DataError that names the shards that are
    missing or damaged.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    begin = time.monotonic()
    with locked(root):
        state, status = read_state(root), "done"
        if (root / UNMERGED).exists():
            record = read_record(root / UNMERGED)
            with boundary(root / UNMERGED, "the record of a dataset in parts", hint="Make one of the parts again."):
                _check_there(root, integer(record["shards"]), str(record["config_hash"]), check)
                finish_record(root, record)
        elif not (root / MANIFEST).exists():
            raise DataError(
                f"no part of a dataset has been finished in {root}",
                hint="Make the parts by `synthforge generate CONFIG --out DIR --shards K/N` first.",
            )
        elif state is None or state["state"] == "done":
            status = "up to date"
        else:  # the last merge was killed before it recorded the end
            there = read_manifest(root)
            _check_there(root, len(there["shards"]), there["config_hash"], check)
        if state is not None and status == "done":
            seconds = round(time.monotonic() - begin, 3)
            made = outputs(root, known=recorded(root))
            write_state(root, {**_without(state), "state": "done", "seconds": seconds, "outputs": made})
        manifest = read_manifest(root)
    if manifest.get("filters"):
        say(f"  {acceptance(manifest)}")
    return {"folder": str(root), "status": status, "shards": len(manifest["shards"]), "samples": manifest["count"]}


def _without(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in ("sha256", "outputs", "seconds")}


def _check_there(root: Path, shards: int, config_hash: str, check: bool) -> None:
    numbers = (path.stem.removeprefix("shard-") for path in root.glob("shard-*.json"))
    there = sorted(int(number) for number in numbers if number.isdecimal() and int(number) < shards)
    missing, wrong = list(map(range, [0, *(number + 1 for number in there)], [*there, shards])), []
    with progress_bar("merge", len(there), unit="shards") as advance:
        for shard in there:
            try:
                if not shard_done(root, shard, config_hash, verify=check):
                    missing.append(range(shard, shard + 1))
            except UserError as error:
                missing.append(range(shard, shard + 1))
                wrong.append(f"\n- {error.message}")
            advance(1)
    if count := sum(map(len, missing)):
        raise DataError(
            f"{count:,} of the {shards:,} shards in {root} are missing or damaged: {_told(missing)}"
            + "".join(wrong[:10]),
            hint="Run the parts they belong to again, with the same command and --shards; finished shards are kept. "
            f"Shard S, counted from 0, belongs to part (S + 1) * N / {shards} of N, rounded up.",
        )


def _told(missing: list[range]) -> str:
    """`0-3, 7`: ranges of numbers by their ends, neighbours as one."""
    runs: list[range] = []
    for each in sorted(filter(len, missing), key=lambda run: run.start):
        if runs and runs[-1].stop == each.start:
            runs[-1] = range(runs[-1].start, each.stop)
        else:
            runs.append(each)
    return ", ".join(f"{run.start}-{run.stop - 1}" if len(run) > 1 else str(run.start) for run in runs)
