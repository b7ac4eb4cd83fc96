"""Checking a whole dataset: manifest, checksums, every member, and whether the labels of a sample agree."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.errors import DataError
from synthforge.core.files import sha256_of
from synthforge.core.schemas import CLASS_SCHEMAS

from .checks import check_sample, landmark_agreement
from .layout import MANIFEST, marker_path, read_marker, tar_path, to_bytes
from .reader import ShardDataset, read_manifest
from .rejections import check_rejections

MOST_PROBLEMS = 100
_LANDMARKS = ("landmarks2d", "landmark_visibility", "segmentation")


@dataclass
class VerifyReport:
    """What was found.

    problems: at most 100, `problem_count` counts all. agreement: per face region, how many visible landmarks were
    checked against the label map and how many had one of their own classes within 2 % of the image's width.
    depth_range: metres by field; classes: pixels by field and class name; filters: the manifest's record of quality
    filters and of what they rejected, empty without filters.
    """

    root: str
    shards: int = 0
    samples: int = 0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)
    agreement: dict[str, dict[str, int]] = field(default_factory=dict)
    depth_range: dict[str, tuple[float, float]] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    filters: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def add(self, problem: str) -> None:
        """Take note of a problem."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {"ok": self.ok, **self.__dict__, "depth_range": {k: list(v) for k, v in self.depth_range.items()}}


def verify(root: Path | str, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Read everything and report what is wrong; `progress(done, total)` is called after each sample.

    Raises nothing about the data: what cannot be read is a problem in the report.
    """
    root = Path(root)
    report = VerifyReport(str(root))
    try:
        manifest = read_manifest(root)
        dataset = ShardDataset(root, skip_damaged=True)
    except DataError as error:
        report.add(error.message)
        return report
    _check_manifest(root, manifest, report)
    _check_rejections(root, manifest, report)
    for problem in dataset.damaged.values():
        report.add(problem)
    dataset.skip_damaged = False
    agreement = _Agreement(dataset)
    ranges = _Ranges(dataset)
    for index in range(len(dataset)):
        shard, key = dataset.where(index)
        try:
            sample = dataset[index]
        except DataError as error:
            report.add(error.message)
        else:
            problems = list(check_sample(sample, dataset.fields))
            for problem in problems:
                report.add(f"shard {shard}, sample {key}: {problem}")
            ranges.add(sample)
            if not problems:
                agreement.add(sample)
            report.samples += 1
        if progress is not None:
            progress(index + 1, len(dataset))
    report.agreement = agreement.result()
    report.depth_range = ranges.depth
    report.classes = ranges.classes()
    return report


def _check_manifest(root: Path, manifest: dict[str, Any], report: VerifyReport) -> None:
    report.shards = len(manifest["shards"])
    body = {name: value for name, value in manifest.items() if name != "sha256"}
    if hashlib.sha256(to_bytes(body)).hexdigest() != manifest.get("sha256"):
        report.add(f"{root / MANIFEST} was changed after it was written")
    for name, record in manifest.get("schemas", {}).items():
        known = CLASS_SCHEMAS.get(name)
        if known is not None and list(known.classes) != record.get("classes"):
            report.add(f"{root / MANIFEST}: schema '{name}' has other classes than this release")
    for entry in manifest["shards"]:
        paths = {"sha256": tar_path(root, entry["shard"]), "marker_sha256": marker_path(root, entry["shard"])}
        for name, path in paths.items():
            if path.exists() and sha256_of(path) != entry.get(name):
                report.add(f"{path} does not have the checksum of {MANIFEST}")
    numbers = {int(entry["shard"]) for entry in manifest["shards"]}
    for path in sorted(root.glob("shard-*.tar")):
        digits = path.stem.removeprefix("shard-")
        if not digits.isdecimal() or int(digits) not in numbers:
            report.add(f"{path} is not part of {MANIFEST}")


def _check_rejections(root: Path, manifest: dict[str, Any], report: VerifyReport) -> None:
    report.filters = dict(manifest.get("filters") or {})
    try:
        infos = [read_marker(root, int(entry["shard"])) for entry in manifest["shards"]]
    except DataError:
        return  # reported with the shards
    for problem in check_rejections(root, manifest, infos):
        report.add(problem)


class _Agreement:
    """Landmarks against labels, summed over samples."""

    def __init__(self, dataset: ShardDataset) -> None:
        names = {item.name: item for item in dataset.fields}
        self.schema = names["segmentation"].schema if all(name in names for name in _LANDMARKS) else ""
        self.checked: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()

    def add(self, sample: dict[str, Any]) -> None:
        if self.schema:
            radius = max(2, round(0.02 * sample["segmentation"].shape[1]))
            checked, agreed = landmark_agreement(sample, self.schema, radius)
            self.checked += checked
            self.agreed += agreed

    def result(self) -> dict[str, dict[str, int]]:
        return {name: {"checked": n, "agree": self.agreed[name]} for name, n in sorted(self.checked.items())}


class _Ranges:
    """What the maps hold, over all samples."""

    def __init__(self, dataset: ShardDataset) -> None:
        self.fields = dataset.fields
        self.depth: dict[str, tuple[float, float]] = {}
        self.counts = {item.name: np.zeros(256, np.int64) for item in self.fields if item.kind == "label"}

    def add(self, sample: dict[str, Any]) -> None:
        for item in self.fields:
            value = sample[item.name]
            if item.kind == "label":
                self.counts[item.name] += np.bincount(value.ravel(), minlength=256)
            elif item.kind == "depth" and value.any():
                low, high = self.depth.get(item.name, (np.inf, 0.0))
                self.depth[item.name] = (min(low, float(value[value > 0].min())), max(high, float(value.max())))

    def classes(self) -> dict[str, dict[str, int]]:
        return {
            item.name: {_class_name(item.schema, int(i)): int(self.counts[item.name][i]) for i in present}
            for item in self.fields
            if item.kind == "label"
            for present in [np.flatnonzero(self.counts[item.name])]
        }


def _class_name(schema: str, index: int) -> str:
    known = CLASS_SCHEMAS.get(schema)
    return known.classes[index] if known is not None and index < len(known) else str(index)
