"""What quality filters kept out of a dataset: every rejection by index, filter, reason and figures, and the totals.

While a dataset is made, each shard's marker holds its own rejections, so that they are there exactly when the shard is.
`rejections.jsonl` is gathered from the markers at the end, in the order of the indices, and the manifest has its
checksum and the totals.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthforge.core.errors import DataError
from synthforge.core.foreign import parse_json, read_bytes
from synthforge.core.records import Verdict

from ..core.files import replacing
from ..core.storage import place
from .layout import MANIFEST, ShardSummary, read_record, to_bytes

REJECTIONS = "rejections.jsonl"
NOTE = "rejections"


def rejection(index: int, filter_name: str, verdict: Verdict) -> dict[str, Any]:
    """The record of a rejected candidate. Raises DataError for figures that JSON cannot hold.

    Where a sample is drawn again, one record stands for all its rejections for one reason, `times` of them.
    """
    figures = {name: float(value) for name, value in verdict.figures.items()}
    bad = [name for name, value in figures.items() if not math.isfinite(value)]
    if bad or not verdict.reason:
        what = f"the figure '{bad[0]}' is not finite" if bad else "a rejection needs a reason"
        raise DataError(f"filter '{filter_name}', sample {index}: {what}")
    return {"index": index, "filter": filter_name, "reason": verdict.reason, "figures": figures}


def gather(root: Path, infos: Sequence[ShardSummary], applied: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write `rejections.jsonl` and return what the manifest says of the filters.

    applied: one mapping for each filter, in order, with its `name`. Raises DataError when nothing was accepted.
    """
    rows = [row for info in infos for row in info.notes.get(NOTE, ())]
    accepted = sum(info.count for info in infos)
    candidates = accepted + _rejections(rows)
    by_filter: dict[str, Counter[str]] = {str(item["name"]): Counter() for item in applied}
    for row in rows:
        by_filter[row["filter"]][row["reason"]] += row.get("times", 1)
    if not accepted:
        parts = [
            f"{name}: {reason} ({n})" for name, reasons in by_filter.items() for reason, n in reasons.most_common()
        ]
        raise DataError(
            f"the filters rejected all {candidates} samples: {'; '.join(parts)}",
            hint=f"Loosen them or change the generator. Every rejection is listed in the markers {root}/shard-*.json.",
        )
    data = b"".join(to_bytes(row) for row in rows)
    with replacing(root / REJECTIONS) as file:
        file.write(data)
    totals, left = [], candidates
    for item in applied:
        reasons = by_filter[str(item["name"])]
        totals.append({**item, "judged": left, "rejected": reasons.total(), "reasons": dict(sorted(reasons.items()))})
        left -= reasons.total()
    return {
        "candidates": candidates,
        "accepted": accepted,
        "acceptance_rate": round(accepted / candidates, 6),
        "applied": totals,
        "file": REJECTIONS,
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _rejections(rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(row.get("times", 1) for row in rows)


def wrong_counts(config: Mapping[str, Any], infos: Iterable[ShardSummary]) -> Iterator[tuple[int, str]]:
    """The shards, and what is wrong with them, whose samples are not as many as a run's configuration asked for.

    config: what the manifest has of it; one without `samples` and `shard_size` asks for nothing.
    """
    samples, size = config.get("samples"), config.get("shard_size")
    if type(samples) is not int or type(size) is not int:
        return
    for info in infos:
        asked = max(0, min(size, samples - info.shard * size))
        rejected = 0 if config.get("count") == "accepted" else len(info.notes.get(NOTE, ()))
        if info.count + rejected != asked:
            yield (
                info.shard,
                (f"shard {info.shard} was to hold {asked} samples; {info.count} were written and {rejected} rejected"),
            )


def read_rejections(root: Path | str) -> list[dict[str, Any]]:
    """Every rejection of a finished dataset, by index; empty for one without filters. Raises DataError."""
    path = place(root) / REJECTIONS
    if not path.exists():
        return []
    data = read_bytes(path)
    expected = read_record(place(root) / MANIFEST).get("filters", {}).get("sha256")
    if hashlib.sha256(data).hexdigest() != expected:
        raise DataError(
            f"{path} does not have the checksum of {MANIFEST}",
            hint="Restore it from a copy; the markers shard-*.json hold the same records.",
        )
    return [parse_json(line, path) for line in data.splitlines()]


def acceptance(manifest: Mapping[str, Any]) -> str:
    """One line on what the filters kept, or nothing for a dataset without filters."""
    record = manifest.get("filters")
    if not record:
        return ""
    parts = [
        f"{item['name']}: {reason} {count}" for item in record["applied"] for reason, count in item["reasons"].items()
    ]
    rate = f"{record['accepted']} of {record['candidates']} samples accepted ({record['acceptance_rate']:.1%})"
    return f"{rate}; rejected: {', '.join(parts) or 'none'}"


def check_rejections(root: Path, manifest: Mapping[str, Any], infos: Sequence[ShardSummary]) -> list[str]:
    """What is wrong with the record of rejections of a finished dataset."""
    record = manifest.get("filters")
    path = root / REJECTIONS
    if not record:
        return [f"{path} is not part of the manifest"] if path.exists() else []
    if not path.exists():
        return [f"{path} is missing"]
    data = path.read_bytes()
    problems = []
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        problems.append(f"{path} does not have the checksum of the manifest")
    if data != b"".join(to_bytes(row) for info in infos for row in info.notes.get(NOTE, ())):
        problems.append(f"{path} is not what the markers say")
    rejected = _rejections([row for info in infos for row in info.notes.get(NOTE, ())])
    if (rejected, manifest["count"]) != (record["candidates"] - record["accepted"], record["accepted"]):
        problems.append(f"the manifest's numbers of accepted and rejected samples contradict {path.name} or the shards")
    return problems
