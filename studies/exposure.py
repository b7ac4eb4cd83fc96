"""How much of rendered faces is over- or under-exposed, by preset.

    python studies/exposure.py [--count 300] [--size 128] [--presets frontal webcam] [--clipped 1]
    python studies/exposure.py --photographs DIR          DIR: CelebAMask-HQ, for comparison

A pixel of the face (skin, nose, brows, lids, eyes, lips) is clipped where a channel is 254 or more, and crushed where
all channels are 2 or less. Printed are the mean and the worst of both shares, and how many faces have more than 5 % and
20 % of either. --clipped: `film.clipped`, the share that is allowed; 1 allows everything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.generators.anny.film.meter import FACE, IN_FACE
from synthforge_plugins.schemas import CELEBAMASK19, SYNTHFORGE

from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar

BATCH = 16


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="*", default=sorted(load_plugins().entry("generator", "anny").presets))
    parser.add_argument("--count", type=int, default=300, help="faces of each")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clipped", type=float, help="value of film.clipped")
    parser.add_argument("--photographs", type=Path, help="CelebAMask-HQ's folder, instead of renders")
    options = parser.parse_args()
    print(
        f"{'':16s}" + "".join(f"{title:>10s}" for title in ("mean", "worst", "> 5 %", "> 20 %", "clipped", "crushed"))
    )
    for name in ["photographs"] if options.photographs else options.presets:
        faces = photographs(options.photographs) if options.photographs else renders(name, options)
        shares = np.empty((0, 2))
        with progress_bar(name, options.count, unit="faces") as advance:
            for _, (image, face) in zip(range(options.count), faces, strict=False):
                shares = np.vstack([shares, outside(image, face)])
                advance(1)
        either = shares.sum(1)
        numbers = [either.mean(), either.max(), (either > 0.05).mean(), (either > 0.2).mean()]
        numbers += shares.mean(0).tolist()
        print(f"{name:16s}" + "".join(f"{100 * x:8.2f} %" for x in numbers))


def renders(preset: str, options: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Faces of a preset, see `faces_of`."""
    settings: dict[str, Any] = {"name": "anny", "preset": preset}
    if options.clipped is not None:
        settings["film"] = {"clipped": options.clipped}
    generator = load_plugins().build("generator", settings, where="studies")
    return faces_of(generator, options.seed, options.count, options.size)


def faces_of(generator: Any, seed: int, count: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H,W,3) uint8, and where the face is (H,W)."""
    for first in range(0, count, BATCH):
        for made in generator.render([generator.sample(seed, first + i) for i in range(BATCH)], size):
            yield made.image, IN_FACE[made.labels[SYNTHFORGE.name]]


def photographs(root: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same of CelebAMask-HQ's photographs at half their size."""
    benchmark = load_plugins().build("benchmark", {"name": "celebamask-hq", "root": str(root)}, where="studies")
    inside = np.array([name.rpartition("_")[2] in FACE for name in CELEBAMASK19.classes])
    for item in benchmark.items("train"):
        sample = benchmark.load(item)
        yield sample.image, inside[np.asarray(sample.target)]


def outside(image: np.ndarray, face: np.ndarray) -> list[float]:
    """Shares of the face that are clipped, and crushed."""
    strongest = image.max(-1)[face]
    return [float((strongest >= 254).mean()), float((strongest <= 2).mean())] if face.any() else [0.0, 0.0]


if __name__ == "__main__":
    main()
