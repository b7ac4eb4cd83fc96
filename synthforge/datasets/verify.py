"""Checking a whole dataset: manifest, checksums, every member, and whether the labels of a sample agree."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from synthforge.core.errors import DataError, SynthForgeError
from synthforge.core.foreign import boundary, read_bytes
from synthforge.core.parts import Part
from synthforge.core.provenance import read_state
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.core.storage import RemotePath, is_remote, place

from .checks import check_sample, landmark_agreement
from .damage import Damage, shard_damage
from .layout import (
    BLOCK,
    MANIFEST,
    ShardInfo,
    ShardSummary,
    header,
    keys_twice,
    marker_path,
    read_marker,
    tar_path,
    to_bytes,
)
from .members import check_members, members_of
from .reader import ShardDataset, read_manifest
from .rejections import check_rejections, wrong_counts

MOST_PROBLEMS = 100


@dataclass
class VerifyReport:
    """What was found.

    samples: read, and sound enough to be looked at; rejected: kept out by filters; asked: how many were to be made, 0
    where nobody said. problems: at most 100, `problem_count` counts all. agreement: per face region, how many visible
    landmarks were checked against the label map and how many had one of their own classes within 2 % of the image's
    width. depth_range: metres by field; classes: pixels by field and class name; filters: the manifest's record of
    quality filters and of what they rejected, empty without filters. damage: what is not as it was written, by
    shard, key and part (`datasets.damage.Damage`), at most 100; `synthforge repair` makes it again.
    """

    root: str
    shards: int = 0
    samples: int = 0
    rejected: int = 0
    asked: int = 0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)
    agreement: dict[str, dict[str, int]] = field(default_factory=dict)
    depth_range: dict[str, tuple[float, float]] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    filters: dict[str, Any] = field(default_factory=dict)
    damage: list[dict[str, Any]] = field(default_factory=list)

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


def verify(
    root: Path | str, progress: Callable[[int, int], None] | None = None, *, part: Part | None = None
) -> VerifyReport:
    """Read everything and report what is wrong; `progress(done, total)` is called after each sample.

    part: only of these shards; what concerns all of them together is then left out.

    Raises nothing about the data: what cannot be read is a problem in the report.
    """
    root = place(root)
    report = VerifyReport(str(root))
    with _noted(report, root):
        try:
            manifest = read_manifest(root)
        except DataError as error:
            report.damage.append(Damage(None, "", "manifest", error.message).to_json())
            raise
        shards = None if part is None else part.within(len(manifest["shards"]))
        dataset = ShardDataset(root, skip_damaged=True, shards=shards)
        for problem in dataset.damaged.values():
            report.add(problem)
        dataset.skip_damaged = False
        samples = _Samples(dataset, report, progress)
        with _noted(report, root):
            _check_folder(root, manifest, report, shards, samples)
        samples.finish()
    return report


@contextmanager
def _noted(report: VerifyReport, where: Path | str) -> Iterator[None]:
    """What goes wrong in the block is a problem in the report."""
    try:
        with boundary(where, "sound"):
            yield
    except SynthForgeError as error:
        report.add(error.message)


@contextmanager
def _here(tar: Path) -> Iterator[Path]:
    """A tar on this machine: of one in a store a copy while the block runs, so that it is read once."""
    if not isinstance(tar, RemotePath):
        yield tar
        return
    with TemporaryDirectory(prefix="synthforge-") as folder:
        copy = Path(folder) / tar.name
        with suppress(FileNotFoundError), tar.open("rb") as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file, 8 << 20)
        yield copy


class _Samples:
    """The samples of a dataset, looked at shard by shard, and what they hold all together."""

    def __init__(
        self, dataset: ShardDataset, report: VerifyReport, progress: Callable[[int, int], None] | None
    ) -> None:
        self.dataset, self.report, self.progress = dataset, report, progress
        self.spans = {dataset.where(span.start)[0]: span for span in dataset.spans if span}
        self.checked: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()
        self.ranges, self.members = _Ranges(dataset), members_of(dataset.manifest)
        self.done = 0

    def check(self, number: int, tar: Path) -> None:
        """Look at a shard's samples, read from `tar`; those of one that cannot be read were reported before."""
        fields, report = self.dataset.fields, self.report
        with self.dataset.reading(number, tar):
            for index in self.spans.get(number, ()):
                shard, key = self.dataset.where(index)
                where = f"shard {shard}, sample {key}"
                with _noted(report, where):
                    sample = self.dataset[index]
                    problems = [*check_sample(sample, fields), *check_members(sample, self.members)]
                    for problem in problems:
                        report.add(f"{where}: {problem}")
                    self.ranges.add(sample)
                    if not problems:
                        both = (self.checked, self.agreed)
                        for total, found in zip(both, landmark_agreement(sample, fields), strict=True):
                            total.update(found)
                    report.samples += 1
                self.done += 1
                if self.progress is not None:
                    self.progress(self.done, len(self.dataset))

    def finish(self) -> None:
        """Put what all samples hold into the report."""
        checked = sorted(self.checked.items())
        self.report.agreement = {name: {"checked": n, "agree": self.agreed[name]} for name, n in checked}
        self.report.depth_range = self.ranges.depth
        self.report.classes = self.ranges.classes()


def _check_folder(
    root: Path, manifest: dict[str, Any], report: VerifyReport, shards: range | None, samples: _Samples
) -> None:
    """The files of a dataset against each other: manifest, markers, tars, the record of rejections, the stage's."""
    entries = manifest["shards"] if shards is None else manifest["shards"][shards.start : shards.stop]
    report.shards = len(entries)
    report.filters = dict(manifest.get("filters") or {})
    report.rejected = report.filters.get("candidates", 0) - report.filters.get("accepted", 0)
    report.asked = manifest["config"].get("samples", 0)
    if read_bytes(root / MANIFEST) != to_bytes(manifest, indent=1):
        report.add(f"{root / MANIFEST} was changed after it was written")
    for name, record in manifest["schemas"].items():
        known = CLASS_SCHEMAS.get(name)
        if known is not None and list(known.classes) != record.get("classes"):
            report.add(f"{root / MANIFEST}: schema '{name}' has other classes than this release")
    infos: list[ShardSummary] = []
    for entry in entries:
        tar, info, damage = tar_path(root, entry["shard"]), None, list[Damage]()
        with suppress(DataError):  # reported when the dataset was opened
            info = read_marker(root, entry["shard"])
            infos.append(ShardSummary.of(info, entry["marker_sha256"]))
        with _noted(report, tar), _here(tar) as copy:
            if info:
                with _noted(report, tar):
                    check_tar(copy, info, shown=tar)
            damage = shard_damage(root, entry, copy)
            samples.check(entry["shard"], copy)
        report.damage += [each.to_json() for each in damage[: MOST_PROBLEMS - len(report.damage)]]
        if is_remote(root) and any(each.part == "marker" for each in damage):  # the reader may have its cache's
            report.add(f"{marker_path(root, entry['shard'])} does not belong to {root / MANIFEST}")
        if tar.is_file() and any(each.part != "marker" for each in damage):
            report.add(f"{tar} does not have the checksum of {MANIFEST}")
    if twice := keys_twice(root, infos):
        report.add(f"{root}: the keys {twice[:3]} are in several shards")
    for _, problem in wrong_counts(manifest["config"], infos):
        report.add(f"{root}: {problem}")
    if len(infos) == len(manifest["shards"]):
        for problem in check_rejections(root, manifest, infos):
            report.add(problem)
            report.damage.append(Damage(None, "", "rejections", problem).to_json())
    with _noted(report, root):
        read_state(root)
    for path in sorted(root.glob("shard-*.tar")):
        digits = path.stem.removeprefix("shard-")
        if not digits.isdecimal() or int(digits) >= len(manifest["shards"]) or path != tar_path(root, int(digits)):
            report.add(f"{path} is not part of {MANIFEST}")


def check_tar(path: Path, info: ShardInfo, *, shown: Path) -> None:
    """Hold every block of a tar against its marker. Raises DataError naming the first member that is not as it says.

    shown: what messages call the tar.
    """
    with path.open("rb") as file:
        for key, sizes in zip(info.keys, info.sizes, strict=True):
            for member, size in zip(info.members, sizes, strict=True):
                name, found = f"{key}.{member}", file.read(BLOCK)
                if found != header(name, size):
                    raise DataError(f"{shown} has {_described(found)} where its marker has the member {name}")
                file.seek(size, os.SEEK_CUR)
                if file.read(-size % BLOCK).strip(b"\0"):
                    raise DataError(f"{shown} has something behind the member {name}")
        if file.read(2 * tarfile.RECORDSIZE).strip(b"\0"):
            raise DataError(f"{shown} holds more than its marker names")


def _described(block: bytes) -> str:
    """A tar header in words, whatever it is."""
    try:
        found = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        return f"a broken header ({error})"
    kinds = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link", tarfile.DIRTYPE: "a folder"}
    kind = "the member" if found.isreg() else kinds.get(found.type, "a special file")
    return f"{kind} {found.name[:120]!r} of {found.size} bytes"


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
