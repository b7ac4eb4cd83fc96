"""What clips, crowds and more labels cost: pictures a second of one core, and time as a ratio to a portrait.

    OMP_NUM_THREADS=1 python perf/generate_kinds.py [--size 256] [--repeats 3]

All kinds are made in one run, drawing, rendering and annotating; the best CPU time of several repeats counts.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from synthforge.core.plugins import load_plugins

_CLIP = {"frames": 32}
_FOUR = {"least": 4, "most": 4, "smallest": 0.06, "largest": 0.12}
KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...], int]] = {
    "portrait": ({}, (), 32),
    "portrait, fine": ({"quality": "fine"}, (), 16),
    "portrait, albedo and mattes": ({}, ("albedo", "mattes"), 32),
    "frame of a clip": ({"motion": _CLIP}, (), 32),
    "frame of a clip, flow": ({"motion": _CLIP}, ("flow",), 32),
    "frame of a clip, motion blur": ({"motion": {**_CLIP, "shutter": 0.5}}, (), 32),
    "four people": ({"crowd": _FOUR}, (), 8),
    "four people, their labels": ({"crowd": _FOUR}, ("people",), 8),
}


def measure(keys: dict[str, Any], labels: tuple[str, ...], count: int, size: int, repeats: int) -> float:
    """Best CPU seconds a picture; the first repeat, which builds and compiles, is left out."""
    plugins = load_plugins()
    generator = plugins.build("generator", {"name": "anny", **keys})
    annotators = [plugins.build("annotator", name) for name in labels]
    spent = []
    for _ in range(repeats + 1):
        start = time.process_time()
        for first in range(0, count, generator.batch_size):
            indices = range(first, min(first + generator.batch_size, count))
            for rendering in generator.render([generator.sample(3, index) for index in indices], size):
                for annotator in annotators:
                    annotator.annotate(rendering)
        spent.append((time.process_time() - start) / count)
    return min(spent[1:])


def main() -> None:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    found = {name: measure(*kind, given.size, given.repeats) for name, kind in KINDS.items()}
    for name, seconds in found.items():
        print(f"{name:30} {1 / seconds:6.1f} pictures/s   {seconds / found['portrait']:5.2f} of a portrait")


if __name__ == "__main__":
    main()
