"""Scoring files written by any other tool, by the same protocol and the same code.

One file a face, `DIR/<key>.<suffix>`: for 300W `DIR/helen/testset/296814969_1.pts`. When all faces of the split have
different file names, the folders may be left out (`DIR/296814969_1.pts`). Values are in pixels of the photograph, in
the formats that the benchmark's task reads (`Task.readers`) or as `.npy`. `pixel_centre` is where a tool puts the
centre of the first pixel: 0.5 as everywhere here, or 0 for tools that count pixel centres from zero (OpenCV,
scikit-image).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import DataError, UserError
from ..core.interfaces import Benchmark, Task
from ..core.records import RealItem
from ..datasets import crops
from .files import read_array
from .protocol import Evaluation, Predicted, ScoringOptions, assess

Reader = Callable[[Path], np.ndarray]


def evaluate_files(
    directory: Path,
    task: Task,
    benchmark: Benchmark,
    split: str,
    options: ScoringOptions | None = None,
    *,
    name: str = "",
    pixel_centre: float = 0.5,
) -> Evaluation:
    """Score predictions read from `directory` in the formats above.

    task: what the benchmark scores. pixel_centre: what the other tool calls the centre of the first pixel. Raises
    DataError naming the file for a missing, malformed or wrongly sized prediction, and what the benchmark raises.
    """
    if not directory.is_dir():
        raise UserError(f"the folder of predictions {directory} does not exist")
    readers = dict(task.readers(benchmark.schema, pixel_centre))
    readers.setdefault(".npy", read_array)
    items = benchmark.items(split)
    stems = {item.key.rsplit("/", 1)[-1] for item in items}
    flat = len(stems) == len(items)

    def run(chosen: Sequence[RealItem]) -> Iterator[Predicted]:
        for item in chosen:
            sample = benchmark.load(item)
            path = _find(directory, item.key, readers, flat)
            prediction = readers[path.suffix.lower()](path)
            if prediction.shape != sample.target.shape:
                raise DataError(f"{path} has the shape {prediction.shape}; '{item.key}' needs {sample.target.shape}")
            yield sample, prediction, crops.square_box(sample.box, benchmark.crop_scale)

    how = {"source": f"files in {directory.name}", "pixel_centre": pixel_centre}
    return assess(run, task, benchmark, split, how, options or ScoringOptions(), name=name)


def _find(directory: Path, key: str, suffixes: Mapping[str, Reader], flat: bool) -> Path:
    names = [key, key.rsplit("/", 1)[-1]] if flat else [key]
    for candidate in (directory / f"{name}{suffix}" for name in names for suffix in suffixes):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"there is no prediction for '{key}' in {directory}",
        hint=f"Looked for {' and '.join(names)} with {', '.join(suffixes)}.",
    )
