"""The contract of an executor: every unit runs, what it raises arrives, and the progress is told."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.cores import is_one_thread
from ..core.errors import ConfigError, DataError
from ..core.interfaces import Executor, Work


@dataclass(frozen=True)
class Squares(Work):
    """Unit n writes n * n into a file of its own; `wrong` raises, once or always."""

    folder: str
    wrong: int = -1
    always: bool = True

    def size(self, unit: int) -> int:
        """See `Work.size`."""
        return unit + 1

    def open(self, first: bool) -> Any:
        """See `Work.open`."""
        return ["opened", first]

    def run(self, unit: int, advance: Callable[[int], Any]) -> None:
        """See `Work.run`. Says in the file whether libraries use one thread there."""
        if unit == self.wrong and self.always:
            raise ConfigError(f"unit {unit} is wrong", hint="Leave it out.")
        tried = Path(self.folder, "tried")
        if unit == self.wrong and not tried.exists():
            tried.touch()
            raise DataError(f"unit {unit} is wrong this time")
        Path(self.folder, f"{unit}.txt").write_text(f"{unit * unit} {is_one_thread()}", encoding="ascii")
        for _ in range(self.size(unit)):
            advance(1)


def check_executor(executor: Executor) -> None:
    """An executor: runs each unit, returns what the first opening returned, and passes on what a unit raises."""
    units, said = [0, 2, 3, 7], list[str]()
    with tempfile.TemporaryDirectory() as folder:
        advanced: list[int] = []
        work = Squares(folder)
        made = executor.run(work, units, workers=2, advance=advanced.append, say=said.append)
        assert made == ["opened", True], f"`run` returned {made!r}, not what the first `open` returned"
        found = {path.stem: path.read_text(encoding="ascii").split() for path in Path(folder).glob("*.txt")}
        assert set(found) == {str(unit) for unit in units}, f"asked for the units {units}, made were {sorted(found)}"
        assert all(int(found[str(unit)][0]) == unit * unit for unit in units), "a unit has another's result"
        many = [name for name, (_, one) in found.items() if one != "True"]
        assert not many, "a process computes with several threads: `core.cores.one_thread` before libraries load"
        total = sum(map(work.size, units))
        assert sum(advanced) == total, f"`advance` was told {sum(advanced)} of {total}"
    with tempfile.TemporaryDirectory() as folder:
        raised: Exception | None = None
        try:
            executor.run(Squares(folder, wrong=2), units, workers=2, advance=lambda count: None, say=said.append)
        except ConfigError as error:
            raised = error
        assert raised is not None, "a unit raised ConfigError, and `run` did not"
        assert str(raised) == "unit 2 is wrong\nLeave it out.", f"what a unit raised arrived as {raised!r}"
