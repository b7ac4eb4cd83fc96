"""How strong the tones of rendered faces are beside photographs': luma and saturation over the tight box of the face.

    python studies/contrast.py runs/real/dataset --photographs DIR       DIR: a folder of 300W (afw/, helen/, lfpw/)

Each face's tight box of landmarks is scaled to 96 pixels; of its luma the mean, the standard deviation and the 2nd and
98th percentile are taken, in 8-bit steps, and the mean saturation. Printed are the medians over faces, and behind them
the 25th and the 75th percentile. Only *training* photographs are read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets import crops
from synthforge.datasets.reader import ShardDataset

SIZE = 96
LUMA = (0.299, 0.587, 0.114)
FIGURES = ("mean", "deviation", "2nd", "98th", "saturation")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a generated dataset with landmarks")
    parser.add_argument("--photographs", type=Path, help="300W's folder")
    parser.add_argument("--count", type=int, default=400, help="faces of each")
    options = parser.parse_args()
    sources = {"renders": renders(options.dataset, options.count)}
    if options.photographs:
        sources["photographs"] = photographs(options.photographs, options.count)
    print(f"{'':12s}" + "".join(f"{name:>22s}" for name in FIGURES))
    for name, faces in sources.items():
        with progress_bar(name, options.count, unit="faces") as advance:
            rows = []
            for image, points in faces:
                rows.append(tones(image, points))
                advance(1)
        low, middle, high = np.percentile(rows, [25, 50, 75], axis=0)
        cells = (f"{m:8.2f} ({a:.2f}, {b:.2f})" for a, m, b in zip(low, middle, high, strict=True))
        print(f"{name:12s}" + "".join(f"{cell:>22s}" for cell in cells))


def renders(root: Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H,W,3) uint8 and points (68,2) of a dataset, spread evenly over it."""
    dataset = ShardDataset(root, fields=["image", "landmarks2d"])
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int):
        sample = dataset[int(index)]
        yield sample["image"], sample["landmarks2d"]


def photographs(root: Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same of 300W's training photographs."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(root)}, where="perf")
    items = benchmark.items("train")
    for index in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int):
        sample = benchmark.load(items[index])
        yield sample.image, np.asarray(sample.target)


def tones(image: np.ndarray, points: np.ndarray) -> list[float]:
    """One face's FIGURES."""
    face = crops.crop(image, crops.square_box(crops.tight_box(points)), SIZE)[0].astype(float)
    luma = face @ LUMA
    strongest = face.max(-1)
    saturation = (strongest - face.min(-1)) / np.maximum(strongest, 1.0)
    return [luma.mean(), luma.std(), *np.percentile(luma, [2, 98]), saturation.mean()]


if __name__ == "__main__":
    main()
