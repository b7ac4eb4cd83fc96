"""Several datasets as one, in the order given."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthforge.core.errors import DataError
from synthforge.core.records import Field

from .reader import ShardDataset, read_manifest


class JointDataset:
    """A sequence of the samples of several dataset folders, with the fields they share.

    fields: names to read, None for all they share. manifest: of each under `datasets`, and all their licences. Keys may
    come twice: a sample is known by its place. Raises DataError when a field means different things in two of them.
    """

    def __init__(self, roots: Sequence[Path | str], fields: Sequence[str] | None = None) -> None:
        manifests = [read_manifest(root) for root in roots]
        shared = set.intersection(*({item["name"] for item in manifest["fields"]} for manifest in manifests))
        names = sorted(shared if fields is None else shared & set(fields))
        self.parts = [ShardDataset(root, names) for root in roots]
        self.fields: tuple[Field, ...] = self.parts[0].fields
        for part in self.parts[1:]:
            for mine, other in zip(self.fields, part.fields, strict=True):
                if mine != other:
                    raise DataError(
                        f"the field '{mine.name}' of {self.parts[0].root} and of {part.root} are not the same: "
                        f"{mine} and {other}"
                    )
        self._ends = list(itertools.accumulate(map(len, self.parts)))
        licences = {key: value for manifest in manifests for key, value in manifest["licences"].items()}
        self.manifest: dict[str, Any] = {"datasets": manifests, "licences": licences}

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def spans(self) -> list[range]:
        """The indices of each shard's samples, in order."""
        begins = [0, *self._ends]
        return [
            range(begin + span.start, begin + span.stop)
            for begin, part in zip(begins, self.parts, strict=False)
            for span in part.spans
        ]

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]
        part = bisect.bisect_right(self._ends, index)
        return self.parts[part][index - (self._ends[part - 1] if part else 0)]
