"""How long a picture of the generator `anny` takes on one core, stage by stage.

    python perf/generate_anny.py [--size 256] [--count 64] [--repeats 5] [--features]

Prints, per image: the time to draw a scene's parameters, each stage of rendering, and their sum. Each is the best of
several repeats, in CPU time of this one thread, so that other load on the machine counts little. The last line is a
reference: what the same core does in single-precision matrix products at that moment. With --features: the time with
everything on over the time with one feature off, feature by feature, on the same scenes in one run.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors.config import AnnyConfig

from synthforge.core.config import build_config


def measure(size: int, count: int, repeats: int) -> dict[str, float]:
    """Best CPU milliseconds per image, by stage."""
    generator = build(AnnyConfig())
    batch = generator.batch_size
    scenes = [generator.sample(0, i) for i in range(count)]
    generator.render(scenes[:batch], size)  # builds the static scene, compiles kernels
    best: dict[str, float] = {}
    for _ in range(repeats):
        spent: dict[str, float] = {}
        start = time.process_time()
        for i in range(count):
            generator.sample(1, i)
        spent["sample"] = time.process_time() - start
        last = time.process_time()

        def clock(stage: str, spent: dict[str, float] = spent) -> None:
            nonlocal last
            now = time.process_time()
            spent[stage] = spent.get(stage, 0.0) + now - last
            last = now

        for first in range(0, count, batch):
            last = time.process_time()
            generator.renderer.render(scenes[first : first + batch], size, batch, clock)
        for stage, seconds in spent.items():
            best[stage] = min(best.get(stage, np.inf), seconds / count * 1e3)
    return best


def _off(value: float = 0.0) -> dict[str, Any]:
    return {"kind": "constant", "mean": value}


#: what turns a feature off; a group or key that this version does not have is an error, not a silent 1.00
FEATURES: dict[str, dict[str, Any]] = {
    "shadows": {"light": {"casting": _off()}},
    "environment light": {"light": {"environment": _off()}},
    "hair as geometry": {"hair": {"style_men": _off(), "style_women": _off()}},
    "beard": {"beard": {"style": _off()}},
    "lines of the face": {"skin": {name: _off() for name in ("forehead", "folds", "crow")}},
    "pores and moles": {"skin": {"pores": _off(), "moles": _off()}},
    "shapes behind": {"background": {"kind": _off()}},
    "motion and defocus": {"film": {"motion": _off(), "defocus": _off()}},
    "sensor noise": {"film": {"noise": _off()}},
    "small sizes": {"film": {"scale": _off(1.0)}},
    "JPEG": {"film": {"jpeg": _off()}},
    "glasses": {"glasses": {"present": 0.0}},
}


def by_feature(size: int, count: int, repeats: int) -> tuple[float, dict[str, float]]:
    """CPU milliseconds an image (drawing the scene and rendering) with all on, and with each feature off."""
    full = build(AnnyConfig())
    made = {"": full}
    for name, values in FEATURES.items():
        made[name] = build(build_config(AnnyConfig, values))
        made[name].__dict__["head"], made[name].__dict__["renderer"] = full.head, full.renderer
    best = dict.fromkeys(made, np.inf)
    full.render([full.sample(1, i) for i in range(full.batch_size)], size)
    for _ in range(repeats):
        for name, generator in made.items():  # in turns, so that the machine's other load is shared by all
            begin = time.process_time()
            for first in range(0, count, generator.batch_size):
                generator.render([generator.sample(1, first + i) for i in range(generator.batch_size)], size)
            best[name] = min(best[name], (time.process_time() - begin) / count * 1e3)
    return best.pop(""), best


def yardstick() -> float:
    """Single-precision GFLOP/s of a 400 x 400 matrix product on this thread."""
    a = torch.rand(400, 400)
    best = np.inf
    for _ in range(20):
        start = time.process_time()
        for _ in range(10):
            a @ a
        best = min(best, time.process_time() - start)
    return 10 * 2 * 400**3 / best / 1e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--features", action="store_true", help="time with each feature off")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.features:
        total, without = by_feature(options.size, options.count, options.repeats)
        print(f"everything on: {total:.2f} ms an image ({options.size} x {options.size}, best of {options.repeats})")
        for name, milliseconds in sorted(without.items(), key=lambda item: item[1]):
            print(f"  {name:<20}{total - milliseconds:+7.2f} ms   all on / without: {total / milliseconds:5.2f}")
        return
    stages = measure(options.size, options.count, options.repeats)
    print(f"anny at {options.size} x {options.size}, one thread, ms per image (best of {options.repeats})")
    for stage, milliseconds in stages.items():
        print(f"  {stage:<12}{milliseconds:7.2f}")
    total = sum(stages.values())
    print(f"  {'sum':<12}{total:7.2f}   = {1e3 / total:.0f} images/s a core")
    print(f"yardstick: {yardstick():.0f} GFLOP/s in matrix products")


if __name__ == "__main__":
    main()
