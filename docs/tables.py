"""The tables of the manual that come from files: `python docs/tables.py` writes them anew.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. Those of results.md come from
`models/face/figures.json`, those of scale.md from `docs/scale.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs" / name for name in ("results.md", "scale.md")]
REGIONS = ("nme", "jaw", "brows", "nose", "eyes", "mouth")
Row = Sequence[str]


def _table(header: Row, rows: Sequence[Row]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _regions(values: Mapping[str, float]) -> list[str]:
    return [f"{values['faces']:,}", *(f"{values[name]:.2f}" for name in REGIONS)]


def _of(figures: Sequence[Mapping[str, Any]], benchmark: str) -> list[Mapping[str, Any]]:
    return [item for item in figures if item["benchmark"] == benchmark]


def _landmarks(figures: Sequence[Mapping[str, Any]]) -> str:
    def rows() -> Iterator[Row]:
        for item in _of(figures, "300w"):
            sets = item["details"]["sets"]
            for name in sorted(sets) if item is _of(figures, "300w")[0] else ["all"]:
                yield [item["label"] if name == "all" else name, *_regions(sets[name])]

    return _table(["boxes, set", "faces", "NME", *REGIONS[1:]], list(rows()))


def _align(figures: Sequence[Mapping[str, Any]]) -> str:
    align = next(item["details"]["align"] for item in figures if "align" in item["details"])
    kind = f"one {align['kind']} map a landmark"
    names = {"without": "nothing fitted", "offset": "one offset a landmark", "with": kind}
    rows = [[text, *_regions(align[key])] for key, text in names.items() if key in align]
    return _table(["", "faces", "NME", *REGIONS[1:]], rows)


def _yaw(figures: Sequence[Mapping[str, Any]]) -> str:
    groups = _of(figures, "300w")[0]["details"]["groups"]["yaw"]
    rows = [
        [row["group"], f"{row['faces']:,}", f"{row['mean']:.2f}", f"{row['median']:.2f}", f"{row['p90']:.2f}"]
        for row in groups
    ]
    return _table(["yaw, degrees", "faces", "mean", "median", "90th percentile"], rows)


def _parsing(figures: Sequence[Mapping[str, Any]]) -> str:
    found = _of(figures, "celebamask-hq")
    keys = [key for key in found[0]["values"] if key.startswith(("mean_f1/", "f1/")) and key != "f1/background"]
    keys.sort(key=lambda key: (not key.startswith("mean"), key))
    rows = [
        [key.replace("mean_f1/", "mean of ").removeprefix("f1/"), *(f"{item['values'][key]:.1f}" for item in found)]
        for key in keys
    ]
    return _table(["F1, %", *(f"{item['protocol']['input_size']} px" for item in found)], rows)


def _scale(record: Mapping[str, Any]) -> str:
    """Bytes, hours, money, files and requests, from bytes of a sample."""
    size, core, month, writes, reads, members, rate = 1e9, 0.04, 0.023, 5e-6, 0.4e-6, 5, 20
    rows = []
    for name, count, shard in (
        ("100 thousand", 10**5, 10**3),
        ("10 million", 10**7, 2 * 10**4),
        ("1 thousand million", 10**9, 2 * 10**4),
    ):
        for kind in ("png", "jpeg"):
            stored = record["sample"][kind]["bytes"] * count / size
            hours, shards = count / rate / 3600, -(-count // shard)
            asked = count * members + shards
            rows.append(
                [
                    f"{name}, images as {kind.upper()}",
                    f"{stored:,.0f}",
                    f"{hours:,.0f}",
                    f"{hours * core:,.0f}",
                    f"{stored * month:,.0f}",
                    f"{2 * shards + 1:,}",
                    f"{(2 * shards + 1) * writes:,.2f}",
                    f"{asked * reads:,.2f}",
                ]
            )
    head = [
        "samples",
        "GB",
        "core hours",
        "USD to make",
        "USD a month",
        "files",
        "USD of writes",
        "USD of reads an epoch",
    ]
    return _table(head, rows)


def _scale_index(record: Mapping[str, Any]) -> str:
    """Time and memory to open an index of a million entries."""
    rows = []
    for row in record["index"]:
        for how in ("manifest_only", "every_marker"):
            found = row[how]
            rows.append(
                [
                    f"{row['shards']:,} shards of {row['shard_size']:,}, {how.split('_')[0].replace('only', '')} "
                    + ("alone" if how == "manifest_only" else "marker"),
                    f"{row['manifest_bytes'] / 1e6:.2f}",
                    f"{row['marker_bytes'] / 1e3:,.0f}",
                    f"{found['open_s']:.2f}",
                    f"{found['first_s'] - found['open_s']:.3f}",
                    f"{found['memory_mb']:,.0f}",
                ]
            )
    return _table(["", "manifest, MB", "marker, kB", "to open, s", "first sample found after, s", "memory, MB"], rows)


SCALE = {"scale": _scale, "scale_index": _scale_index}
TABLES = {"w300": _landmarks, "w300_align": _align, "w300_yaw": _yaw, "celebamask": _parsing}


def written(page: str) -> str:
    """A page with every table made anew. Raises KeyError for a table that nobody makes."""
    figures = json.loads((ROOT / "models" / "face" / "figures.json").read_text(encoding="utf-8"))["evaluations"]
    scale = json.loads((ROOT / "docs" / "scale.json").read_text(encoding="utf-8"))

    def block(match: re.Match[str]) -> str:
        made = SCALE[match[1]](scale) if match[1] in SCALE else TABLES[match[1]](figures)
        return f"<!-- table: {match[1]} -->\n{made}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
