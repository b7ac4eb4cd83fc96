"""Images per second of `generate`, written to disk with all annotators, and where the time goes.

    python perf/generate.py [--resolution 256] [--samples 400] [--workers 2] [--json FILE]

Two measurements in one run: the real command with `workers` processes, and one process alone with a clock around each
part. The rate of the command counts from the first shards to the last, so start-up and one-time builds are left out.
The published peer is the paper's generator: about 4 images/s on one V100.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.core.cores import available_cores, one_thread

PAPER_IMAGES_PER_SECOND = 4.0
PIPELINE = """
seed: 5
stages:
  dataset: {{run: generate, generator: anny, samples: {samples}, resolution: {resolution}, shard_size: 40,
             workers: {workers}}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / "p.yaml"
        pipeline.write_text(PIPELINE.format(**vars(options)))
        parts = one_process(pipeline, min(options.samples, 160))
        rate, seconds = command(pipeline, Path(folder) / "out", options.workers)
    total = sum(parts.values())
    print(f"{options.resolution}^2, all annotators, written to disk")
    print(f"{'part':<12}{'ms/image':>10}{'share':>8}")
    for name, value in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"{name:<12}{value:>10.2f}{100 * value / total:>7.0f}%")
    print(f"{'sum':<12}{total:>10.2f}   -> {1000 / total:.0f} images/s a process")
    print(f"command, {options.workers} workers: {rate:.0f} images/s ({seconds:.0f} s with start-up)")
    ratio = rate / PAPER_IMAGES_PER_SECOND
    print(f"ratio to the paper's generator on a V100 ({PAPER_IMAGES_PER_SECOND:.0f}/s): {ratio:.1f}")
    if options.json:
        row = {
            "parts_ms": parts,
            "images_per_second": rate,
            "workers": options.workers,
            "resolution": options.resolution,
        }
        options.json.write_text(json.dumps(row, indent=2) + "\n")


def command(pipeline: Path, out: Path, workers: int) -> tuple[float, float]:
    """(images/s between the first and the last shard, seconds of the whole command)."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "synthforge", "generate", str(pipeline), "--out", str(out)], check=True)
    seconds = time.monotonic() - start
    times = sorted(path.stat().st_mtime for path in out.glob("shard-*.json"))
    # Workers finish their first shards together: the clock runs from there.
    first = min(workers, len(times) - 1)
    images = 40 * (len(times) - first)
    return images / max(times[-1] - times[first - 1], 1e-9), seconds


def one_process(pipeline: Path, samples: int) -> dict[str, float]:
    """Milliseconds an image by part, one process, one thread."""
    one_thread()
    from synthforge.core.pipeline import load_pipeline
    from synthforge.datasets.codecs import encode_sample
    from synthforge.datasets.writer import to_sample
    from synthforge.stages import KINDS
    from synthforge.stages.recipe import Recipe

    stage = load_pipeline(pipeline, KINDS).stages[0]
    recipe = Recipe(stage.config.generator, tuple(stage.config.annotators), ())
    generator, annotators = recipe.generator.built, [item.built for item in recipe.annotators]
    size = generator.batch_size
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        spent[name] += 1000 * (time.perf_counter() - begin)

    for first in range(0, samples + size, size):
        if first == size:
            spent.clear()  # the first batch compiles and caches
        with clock("sample"):
            scenes = [generator.sample(5, index) for index in range(first, first + size)]
        with clock("render"):
            renderings = generator.render(scenes, stage.config.resolution)
        for rendering in renderings:
            values = {}
            with clock("annotate"):
                for annotator in annotators:
                    values.update(annotator.annotate(rendering))
            with clock("encode"):
                encode_sample(to_sample(rendering, values), recipe.fields, stage.config.encoding())
    count = len(range(size, samples + size, size)) * size
    return {name: value / count for name, value in spent.items()}


if __name__ == "__main__":
    main()
