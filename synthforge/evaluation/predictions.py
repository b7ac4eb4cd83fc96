"""Scoring files written by any other tool, by the same protocol and the same code.

One file a face, `DIR/<key>.<suffix>`: for 300W `DIR/helen/testset/296814969_1.pts`. When all faces of the split have
different file names, the folders may be left out (`DIR/296814969_1.pts`). Formats by task, in pixels of the photograph:

- keypoints: `.pts`, 1-based, with or without header; `.txt`, a line `x y` for each point; `.json`, a list of pairs or
  `{"points": [...]}`; `.npy`, (N,2). All but `.pts` put the centre of the first pixel at `pixel_centre`: 0.5 as
  everywhere here, or 0 for tools that count pixel centres from zero (OpenCV, scikit-image).
- segmentation: `.png`, 8 bit, the benchmark's class ids, of the photograph's size.
- depth: `.npy`, (H,W) float, or `.png`, 8 or 16 bit; any scale and shift, larger is farther.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import DataError, UserError
from ..core.interfaces import Benchmark
from ..core.records import RealItem
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from ..datasets import crops
from .analysis import Analysis
from .files import read_grey, read_label, read_pairs, read_pts
from .protocol import Evaluation, Predicted, assess

Reader = Callable[[Path], np.ndarray]


def evaluate_files(
    directory: Path,
    benchmark: Benchmark,
    split: str,
    *,
    name: str = "",
    pixel_centre: float = 0.5,
    look: Analysis | None = None,
    limit: int | None = None,
    cases: int = 4,
    progress: bool = True,
) -> Evaluation:
    """Score predictions read from `directory` in the formats above.

    pixel_centre: what the other tool calls the centre of the first pixel. look: what is analysed besides. Raises
    DataError naming the file for a missing, malformed or wrongly sized prediction, and what the benchmark raises.
    """
    if not directory.is_dir():
        raise UserError(f"the folder of predictions {directory} does not exist")
    readers = _readers(benchmark, pixel_centre)
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
    return assess(run, benchmark, split, how, name=name, look=look, limit=limit, cases=cases, progress=progress)


def _find(directory: Path, key: str, suffixes: Mapping[str, Reader], flat: bool) -> Path:
    names = [key, key.rsplit("/", 1)[-1]] if flat else [key]
    for candidate in (directory / f"{name}{suffix}" for name in names for suffix in suffixes):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"there is no prediction for '{key}' in {directory}",
        hint=f"Looked for {' and '.join(names)} with {', '.join(suffixes)}.",
    )


def _readers(benchmark: Benchmark, pixel_centre: float) -> Mapping[str, Reader]:
    """How to read a prediction of the benchmark's task, by suffix."""
    if benchmark.task == "keypoints":
        count = len(POINT_SCHEMAS[benchmark.schema])
        shift = 0.5 - pixel_centre
        return {
            ".pts": lambda path: read_pts(path, count),
            ".txt": lambda path: read_pairs(path) + shift,
            ".json": lambda path: _json_points(path) + shift,
            ".npy": lambda path: _array(path).astype(np.float64) + shift,
        }
    if benchmark.task == "segmentation":
        classes = len(CLASS_SCHEMAS[benchmark.schema])
        return {".png": lambda path: read_label(path, classes)}
    if benchmark.task == "depth":
        return {".npy": lambda path: _array(path).astype(np.float32), ".png": read_grey}
    raise UserError(f"no file format is known for predictions of the task '{benchmark.task}'")


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a NumPy array of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise DataError(f"{path} is not a single NumPy array of numbers")
    return array


def _json_points(path: Path) -> np.ndarray:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return np.array(data["points"] if isinstance(data, dict) else data, np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a list of points: {error}", hint="Write [[x, y], ...].") from error
