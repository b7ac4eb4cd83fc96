"""Evaluations on disk: `evaluation.json` for tools, `evaluation.md` for people, `cases.npz` for a later report, and
`worst.jpg`, the contact sheet of the worst faces, where one was asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import sha256_of, write_bytes, write_json, write_text
from ..core.foreign import boundary, check_record, read_arrays, read_json
from ..core.plugins import Plugins
from ..core.provenance import check_seal, sealed
from ..core.records import Metric, PublishedRow, RealItem, RealSample, Scores
from .pictures import contact_sheet, jpeg
from .protocol import Case, Evaluation
from .summary import to_markdown

NUMBERS, CASES, SUMMARY, SHEET = "evaluation.json", "cases.npz", "evaluation.md", "worst.jpg"

_TEXTS, _FIGURES = dict[str, str], dict[str, float | None]
_RECORD: dict[str, Any] = {
    "label": str,
    "benchmark": str,
    "split": str,
    "task": str,
    "schema": str,
    "primary": str,
    "units": _TEXTS,
}
_RECORD |= {"values": _FIGURES, "per_item": _FIGURES, "count": int, "available": int, "protocol": dict, "stand_in": str}
_RECORD |= {"notes": list[str], "seconds": float, "published": list, "cases": list, "metrics?": dict, "details?": dict}
_CASE: dict[str, Any] = {"kind": str, "error": float | None, "key": str, "box": list[float]}
_PUBLISHED: dict[str, Any] = {"method": str, "source": str, "values": dict[str, float], "split?": str}
#: of `details`, what reports draw
_DETAILS: dict[str, Any] = {
    "groups?": dict[str, list[dict]],
    "training?": dict[str, list[float | None]],
    "worst?": list[dict],
}
_GROUP: dict[str, Any] = {"group": str, "faces": int, "mean": float | None}
_WORST: dict[str, Any] = {"key": str, "index": int, "error": float | None, "image": str}
_METRIC: dict[str, Any] = {"name": str, "higher_is_better": bool, "threshold?": str, "each?": str, "over?": str}


def save_evaluation(evaluation: Evaluation, folder: Path, *, label: str = "") -> None:
    """Write an evaluation, atomically file by file; label: what reports call the row."""
    record = {
        **evaluation.to_json(),
        "label": label,
        "cases": [
            {"kind": case.kind, "error": case.error, "key": case.sample.item.key, "box": [float(v) for v in case.box]}
            for case in evaluation.cases
        ],
    }
    arrays: dict[str, np.ndarray] = {}
    for number, case in enumerate(evaluation.cases):
        arrays[f"{number}.image"] = case.sample.image
        arrays[f"{number}.target"] = case.sample.target
        arrays[f"{number}.prediction"] = case.prediction
        arrays[f"{number}.face"] = np.asarray(case.sample.box)
        if case.sample.mask is not None:
            arrays[f"{number}.mask"] = case.sample.mask
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(folder / CASES, buffer.getvalue())
    record["digests"] = {CASES: hashlib.sha256(buffer.getvalue()).hexdigest()}
    write_text(folder / SUMMARY, to_markdown(evaluation, label))
    if evaluation.sheet:
        write_bytes(folder / SHEET, jpeg(contact_sheet(evaluation.sheet, evaluation.task, evaluation.schema)))
    write_json(folder / NUMBERS, sealed(record))


def load_evaluation(folder: Path, plugins: Plugins) -> tuple[str, Evaluation]:
    """An evaluation's label and the evaluation; plugins: where its task is found.

    Raises DataError when its files are missing or damaged, PluginError when the task is not installed.
    """
    with boundary(folder, "the folder of a readable evaluation", hint="Run its evaluate stage again."):
        record = read_json(folder / NUMBERS)
        check_seal(record)
        _check(record)
        if record.get("digests", {CASES: None})[CASES] not in (None, sha256_of(folder / CASES)):
            raise ValueError(f"{CASES} was changed or damaged after it was written")
        arrays = read_arrays(folder / CASES)
        cases = [_case(number, row, arrays) for number, row in enumerate(record["cases"])]
        values, per_item = (_numbers(record[name]) for name in ("values", "per_item"))
        metrics = {name: Metric(**row) for name, row in record.get("metrics", {}).items()}
        return record["label"], Evaluation(
            benchmark=record["benchmark"],
            split=record["split"],
            task=plugins.build("task", record["task"], where=str(folder / NUMBERS)),
            schema=record["schema"],
            scores=Scores(values, record["units"], per_item, record["primary"], metrics),
            count=record["count"],
            available=record["available"],
            protocol=record["protocol"],
            seconds=record["seconds"],
            stand_in=record["stand_in"],
            notes=record["notes"],
            published=[PublishedRow(**row) for row in record["published"]],
            cases=cases,
            details=record.get("details", {}),
        )


def _check(record: dict) -> None:
    """Raise ValueError unless everything that reports read is there, and of the type they expect."""
    check_record(record, _RECORD)
    details = record.get("details", {})
    check_record(details, _DETAILS)
    groups = [row for rows in details.get("groups", {}).values() for row in rows]
    parts = ((record["cases"], _CASE), (record["published"], _PUBLISHED), (details.get("worst", []), _WORST))
    for rows, shape in (*parts, (groups, _GROUP)):
        for row in rows:
            check_record(row, shape)
    for row in record.get("metrics", {}).values():
        check_record(row, _METRIC)
    if record["primary"] not in record["values"]:
        raise ValueError(f"it has no figure '{record['primary'][:40]}'")


def _numbers(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: np.nan if value is None else value for name, value in figures.items()}


def _case(number: int, row: dict, arrays: Mapping[str, np.ndarray]) -> Case:
    face, (x0, y0, x1, y1) = arrays[f"{number}.face"], row["box"]
    image, target, prediction = (arrays[f"{number}.{name}"] for name in ("image", "target", "prediction"))
    if image.ndim != 3 or image.dtype != np.uint8 or target.shape != prediction.shape or not (x1 > x0 and y1 > y0):
        raise ValueError(f"{CASES} does not hold what is drawn of '{row['key'][:80]}'")
    sample = RealSample(
        item=RealItem(row["key"], Path(), Path()),
        image=image,
        box=(float(face[0]), float(face[1]), float(face[2]), float(face[3])),
        target=target,
        mask=arrays.get(f"{number}.mask"),
    )
    return Case(row["kind"], np.nan if row["error"] is None else row["error"], sample, prediction, (x0, y0, x1, y1))
