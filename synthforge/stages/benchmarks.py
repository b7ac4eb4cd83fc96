"""Code of the stages that read a benchmark: its root, which another stage may provide, and checks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, at, did_you_mean
from ..core.interfaces import Benchmark
from ..core.pipeline import StageContext
from ..core.provenance import read_state
from ..core.references import Bound
from ..core.storage import is_url
from . import promises


def bound(context: StageContext, benchmark: Bound | None) -> Bound:
    """The benchmark of a stage, with `root` replaced by the input `benchmark_root` if that is given."""
    if benchmark is None:
        raise ConfigError(
            f"{context.where}.benchmark: this key must be given", hint="For example {name: 300w, root: DIR}."
        )
    root = context.inputs.get("benchmark_root")
    return benchmark.having(root=str(root)) if root else benchmark


def check(context: StageContext, benchmark: Bound | None, splits: Sequence[tuple[str, str]]) -> Benchmark:
    """The benchmark.

    Raises ConfigError for unknown splits (given by key) and missing folders before any stage starts.
    """
    found = bound(context, benchmark)
    made = "benchmark_root" in context.promised  # made by another stage: its folder does not exist yet
    if made:
        layout = promises.of_input(context, "benchmark_root", "benchmark", "dataset").layout
        if layout not in ("", found.name):
            raise ConfigError(f"{context.where}.benchmark_root: this is a stand-in for {layout}, not for {found.name}")
    root = getattr(found.config, "root", None)
    if not made and is_url(root):
        raise ConfigError(
            f"{found.where}.root: a benchmark is read from a local folder, not from a URL",
            hint="Copy it to this machine first.",
        )
    if not made and isinstance(root, str) and not Path(root).expanduser().is_dir():
        raise ConfigError(
            f"{found.where}.root: there is no folder {root}",
            hint="Point it at the dataset's official tree, e.g. --set benchmark.root=DIR.",
        )
    built: Benchmark = found.built
    for key, split in splits:
        if split not in built.splits:
            raise ConfigError(
                f"{context.where}.{key}: there is no split '{split}'", hint=did_you_mean(split, built.splits)
            )
        if not made:
            with at(f"{found.where}.root:"):
                built.items(split)
    return built


def outside(context: StageContext, benchmark: Bound | None, splits: Sequence[str]) -> Any:
    """A digest of the files read, unless another stage makes them; the recorded one, if an earlier release made it."""
    if "benchmark_root" in context.inputs:
        return None
    built = bound(context, benchmark).built
    before = ((read_state(context.out) or {}).get("facts") or {}).get("outside")
    found = {split: built.fingerprint(split) for split in splits}
    with suppress(OSError):  # a benchmark may have no files of its own
        if before and before != found and before == {split: built.times(split) for split in splits}:
            return before
    return found
