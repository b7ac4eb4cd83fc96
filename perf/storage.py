"""Samples a second of a dataset in an S3 store over loopback, its cache warm, against the same dataset in a folder.

    OMP_NUM_THREADS=1 python perf/storage.py
    OMP_NUM_THREADS=1 python perf/storage.py --samples 200 --size 256 --json storage.json

The store is moto's S3 server in a process of its own. `cold` reads each sample once by ranges, into an empty cache.
Folder and store then take turns, sample by sample in the same random order, so that a busy machine slows both alike.
The ratio is the store's processor time over the folder's, the median of the rounds. Below 1.10 is the aim.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge.core.records import Field
from synthforge.core.storage import place
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import finish, sample_key, write_shard

FIELDS = (
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", "m", "camera"),
    Field("normals", "normals", frame="camera"),
)
SERVER = """
import sys
from moto.server import ThreadedMotoServer
import logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
"""


@contextmanager
def store() -> Iterator[str]:
    """The URL of an empty bucket of a server on loopback."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        keys = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(keys, AWS_ENDPOINT_URL=address)
        urllib.request.urlopen(urllib.request.Request(f"{address}/faces", method="PUT")).close()
        yield "s3://faces"
    finally:
        process.kill()
        process.wait()


def make(samples: int, size: int) -> Iterator[dict[str, Any]]:
    """Smooth made-up maps with some noise, as large on disk as rendered ones."""
    y, x = np.mgrid[:size, :size] / size
    for index in range(samples):
        rng = np.random.default_rng(index)
        wave = np.sin(9 * x + index) * np.cos(7 * y)
        image = 128 + 90 * wave[..., None] + rng.normal(0, 3, (size, size, 3))
        normals = np.stack([0.5 * wave, 0.4 * np.cos(5 * x), -np.ones_like(x)], -1)
        yield {
            "__key__": sample_key(index),
            "image": image.clip(0, 255).astype(np.uint8),
            "segmentation": (4 * (wave + 1)).astype(np.uint8),
            "depth": (1 + 0.2 * wave).astype(np.float32),
            "normals": (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32),
            "scene": {"seed": 0, "index": index, "parameters": {}},
            "camera": None,
        }


def write(root: Any, samples: int, size: int) -> float:
    """Write a dataset of shards with 50 samples each; megabytes a second."""
    begin, rows, shards = time.perf_counter(), list(make(samples, size)), -(-samples // 50)
    begin = time.perf_counter()
    written = 0
    for shard in range(shards):
        written += write_shard(root, shard, rows[50 * shard : 50 * (shard + 1)], FIELDS, config_hash="perf").size
    finish(root, shards=shards, config_hash="perf", config={}, licences={})
    return written / 1e6 / (time.perf_counter() - begin)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, dest="json_file", help="write the figures here as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, store() as bucket:
        os.environ["SYNTHFORGE_CACHE"] = f"{folder}/cache"
        figures: dict[str, Any] = {}
        for name, root in (("folder", place(f"{folder}/data")), ("store", place(f"{bucket}/data"))):
            figures[f"{name}: write, MB/s"] = write(root, options.samples, options.size)
        begin = time.perf_counter()
        there = ShardDataset(f"{bucket}/data")
        figures["store: open, s"] = time.perf_counter() - begin
        begin = time.perf_counter()
        for index in range(len(there)):
            _ = there[index]
        figures["store: cold, samples/s"] = len(there) / (time.perf_counter() - begin)
        here, there = ShardDataset(f"{folder}/data"), ShardDataset(f"{bucket}/data")
        ratios, spent = [], {"folder": 0.0, "store": 0.0}
        for number in range(options.rounds):
            order = np.random.default_rng(number).permutation(len(here)).tolist()
            round_ = {"folder": 0.0, "store": 0.0}
            for turn, index in enumerate(order):
                both = [("folder", here), ("store", there)]
                for name, dataset in both if turn % 2 else both[::-1]:
                    start = time.process_time()
                    _ = dataset[index]
                    round_[name] += time.process_time() - start
            ratios.append(round_["store"] / round_["folder"])
            for name, seconds in round_.items():
                spent[name] += seconds
        for name, seconds in spent.items():
            figures[f"{name}: warm, samples/s of processor time"] = options.rounds * len(here) / seconds
        figures["ratio, store over folder"] = statistics.median(ratios)
        figures["ratio, rounds"] = [round(ratio, 3) for ratio in ratios]
    for name, value in figures.items():
        print(f"{name:45}{value if isinstance(value, list) else f'{value:.3f}'}")
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
