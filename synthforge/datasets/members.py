"""Samples of a dataset that show one scene together: the cameras of a rig, the frames of a clip."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import DataError
from ..core.foreign import boundary
from ..core.records import Members


def members_of(manifest: Mapping[str, Any]) -> Members:
    """Which samples of a dataset show one scene together. Raises DataError for a manifest that says nonsense."""
    with boundary("manifest.json", "a dataset's manifest"):
        found = Members(**manifest["config"].get("members", {}))
        if not all(type(number) is int and number > 0 for number in (found.views, found.frames)):
            raise ValueError(f"members: {found.views} views of {found.frames} frames")
    return found


class Clip(Sequence[dict[str, Any]]):
    """The samples of one group, opened by index and streamed in order: frame by frame, view by view.

    dataset: a sequence of samples; group: the scene's number; positions: of its samples in the dataset, by member.
    What filters rejected is missing.
    """

    def __init__(self, dataset: Any, group: int, positions: Mapping[int, int], members: Members) -> None:
        self.dataset, self.group, self.positions, self.members = dataset, group, dict(positions), members

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """The sample at this place among those that are there."""
        return self.dataset[list(self.positions.values())[index]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.dataset[position] for position in self.positions.values())

    def view(self, number: int) -> Clip:
        """What one camera of the rig sees: its frames in order."""
        if not 0 <= number < self.members.views:
            raise DataError(f"there is no view {number}: the rig has {self.members.views}")
        chosen = {member: at for member, at in self.positions.items() if member % self.members.views == number}
        return Clip(self.dataset, self.group, chosen, self.members)

    def frame(self, number: int) -> Clip:
        """One moment from all cameras of the rig."""
        if not 0 <= number < self.members.frames:
            raise DataError(f"there is no frame {number}: a clip has {self.members.frames}")
        chosen = {member: at for member, at in self.positions.items() if member // self.members.views == number}
        return Clip(self.dataset, self.group, chosen, self.members)


class Groups(Sequence[Clip]):
    """The groups of a dataset in order, as clips; without filters, none of its shards is read to know them."""

    def __init__(self, dataset: Any, shards: Any) -> None:
        """dataset: what clips take samples from; shards: the `ShardDataset` under it."""
        self.dataset, self.members = dataset, members_of(shards.manifest)
        config = shards.manifest["config"]
        count = self.members.count
        whole = count == 1 or (len(shards) == config.get("samples") and config.get("start", 0) % count == 0)
        self._first = config.get("start", 0) if whole else None
        self._indices = [] if whole else list(map(int, shards.keys()))
        self._groups = [] if whole else sorted({index // count for index in self._indices})
        self._length = len(shards) // count if whole else len(self._groups)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(len(self))[number]]
        number, count = range(len(self))[number], self.members.count
        if self._first is not None:
            positions = {member: number * count + member for member in range(count)}
            return Clip(self.dataset, self._first // count + number, positions, self.members)
        group = self._groups[number]
        first = bisect_left(self._indices, group * count)
        last = bisect_left(self._indices, (group + 1) * count)
        return Clip(self.dataset, group, {self._indices[at] % count: at for at in range(first, last)}, self.members)


def check_members(sample: Mapping[str, Any], members: Members) -> Iterator[str]:
    """What is wrong with a sample's place in its group."""
    if members.count > 1:
        key, wanted = str(sample["__key__"]), ["group", "member"]
        found = [sample.get(name) for name in wanted]
        if not key.isdecimal() or found != list(divmod(int(key), members.count)):
            yield f"it says group {found[0]}, member {found[1]}; a group has {members.count} samples"
