"""What the stages that read a benchmark share: its root taken from another stage where asked, and checks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.pipeline import StageContext
from ..core.provenance import read_state
from ..core.references import Bound


def bound(context: StageContext, benchmark: Bound | None) -> Bound:
    """The benchmark of a stage, with `root` replaced by the input `benchmark_root` where that is given."""
    if benchmark is None:
        raise ConfigError(
            f"{context.where}.benchmark: this key must be given", hint="For example {name: 300w, root: DIR}."
        )
    root = context.inputs.get("benchmark_root")
    return benchmark.having(root=str(root)) if root else benchmark


def check(context: StageContext, benchmark: Bound | None, splits: Sequence[str]) -> None:
    """Answer splits and folders that are not there before the first stage starts."""
    found = bound(context, benchmark)
    if "benchmark_root" in context.inputs:
        return  # another stage makes it
    root = getattr(found.config, "root", None)
    if isinstance(root, str) and not Path(root).expanduser().is_dir():
        raise ConfigError(
            f"{found.where}.root: there is no folder {root}",
            hint="Point it at the dataset's official tree, e.g. --set benchmark.root=DIR.",
        )
    for split in splits:
        if split not in found.built.splits:
            raise ConfigError(
                f"{context.where}: there is no split '{split}'", hint=f"Known: {', '.join(found.built.splits)}."
            )
        found.built.items(split)


def outside(context: StageContext, benchmark: Bound | None, splits: Sequence[str]) -> Any:
    """A digest of the files read, unless another stage makes them; as on record, where an earlier release made it."""
    if "benchmark_root" in context.inputs:
        return None
    built = bound(context, benchmark).built
    before = ((read_state(context.out) or {}).get("facts") or {}).get("outside")
    found = {split: built.fingerprint(split) for split in splits}
    with suppress(OSError):  # a benchmark may have no files of its own
        if before and before != found and before == {split: built.times(split) for split in splits}:
            return before
    return found
