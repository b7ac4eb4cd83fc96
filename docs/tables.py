"""The tables of docs/results.md that come from files: `python docs/tables.py` writes them anew.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; its source is `models/face/figures.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
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


TABLES = {"w300": _landmarks, "w300_align": _align, "w300_yaw": _yaw, "celebamask": _parsing}


def written(page: str) -> str:
    """The page with every table made anew. Raises KeyError for a table that nobody makes."""
    figures = json.loads((ROOT / "models" / "face" / "figures.json").read_text(encoding="utf-8"))["evaluations"]

    def block(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]](figures)}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
