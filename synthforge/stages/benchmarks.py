"""What the stages that read a benchmark share: building it, with its root taken from another stage where asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.config import split_reference
from ..core.errors import ConfigError
from ..core.pipeline import StageContext

if TYPE_CHECKING:
    from ..core.interfaces import Benchmark


def reference(context: StageContext, benchmark: Any) -> dict[str, Any]:
    """The benchmark's reference with `root` replaced by the input `benchmark_root`, where that is given."""
    if benchmark is None:
        raise ConfigError(
            f"{context.where}.benchmark: this key must be given", hint="For example {name: 300w, root: DIR}."
        )
    name, values = split_reference(benchmark, kind="benchmark", where=f"{context.where}.benchmark")
    if "benchmark_root" in context.inputs:
        values["root"] = str(context.inputs["benchmark_root"])
    return {"name": name, **values}


def build(context: StageContext, benchmark: Any) -> Benchmark:
    """The benchmark of a stage."""
    built: Benchmark = context.plugins.build(
        "benchmark", reference(context, benchmark), where=f"{context.where}.benchmark"
    )
    return built


def check(context: StageContext, benchmark: Any, splits: Sequence[str]) -> None:
    """Answer wrong names, keys, splits and missing folders before the first stage starts."""
    place = f"{context.where}.benchmark"
    ref = reference(context, benchmark)
    context.plugins.config("benchmark", ref, where=place)
    if "benchmark_root" in context.inputs:
        return  # another stage makes it
    root = ref.get("root")
    if isinstance(root, str) and not Path(root).expanduser().is_dir():
        raise ConfigError(
            f"{place}.root: there is no folder {root}",
            hint="Point it at the dataset's official tree, e.g. --set benchmark.root=DIR.",
        )
    built = build(context, benchmark)
    for split in splits:
        if split not in built.splits:
            raise ConfigError(
                f"{context.where}: there is no split '{split}'", hint=f"Known: {', '.join(built.splits)}."
            )
        built.items(split)


def outside(context: StageContext, benchmark: Any, splits: Sequence[str]) -> Any:
    """A digest of the files read, unless another stage makes them."""
    if "benchmark_root" in context.inputs:
        return None
    built = build(context, benchmark)
    return {split: built.fingerprint(split) for split in splits}
