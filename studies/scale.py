"""What a thousand million samples take: measured on small and on made-up datasets, and multiplied.

    OMP_NUM_THREADS=1 python studies/scale.py          # writes docs/scale.json; then python docs/tables.py

Measured: bytes of a sample of the default generator with all labels, and time and memory to open an index. The index
has a million entries, whose tars are empty files of the right size. docs/scale.md is computed from it
(`docs/tables.py`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from synthforge.core.files import sha256_of
from synthforge.core.records import Field
from synthforge.datasets.codecs import Encoding, members_of
from synthforge.datasets.layout import (
    BLOCK,
    MANIFEST,
    ShardInfo,
    ShardSummary,
    digest,
    marker_path,
    tar_path,
    tar_size,
    to_bytes,
)

ROOT = Path(__file__).resolve().parents[1]
FIELDS = (
    Field("image", "image"),
    Field("segmentation", "label", schema="synthforge"),
    Field("depth", "depth", unit="m", frame="camera"),
    Field("normals", "normals", frame="camera"),
    Field("landmarks2d", "points2d", unit="px", schema="ibug68"),
)
SIZES = (40_000, 4_000, 20_000, 30_000, 6_000)  # of a sample's members, about

OPEN = """
import resource, sys, time
from synthforge.datasets import reader
if sys.argv[2] == "all":
    reader._AT_ONCE = 10**9
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
dataset = reader.ShardDataset(sys.argv[1], ["image"])
opened = time.perf_counter() - begin
dataset.where(len(dataset) // 2)
first = time.perf_counter() - begin
print(opened, first, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def fake(root: Path, shards: int, size: int) -> None:
    """An index of shards x size samples; the tars are sparse files without content."""
    encoding = Encoding()
    members = tuple(members_of(FIELDS, encoding))
    rows, end = [], 0
    offsets = []
    for _ in range(size):
        places = []
        for bytes_ in SIZES[: len(members)]:
            places.append(end + BLOCK)
            end += BLOCK + -(-bytes_ // BLOCK) * BLOCK
        offsets.append(tuple(places))
    for shard in range(shards):
        keys = tuple(f"{shard * size + i:09d}" for i in range(size))
        info = ShardInfo(
            shard, "0" * 64, FIELDS, encoding, tar_size(end), "0" * 64, keys, members, tuple(offsets),
            (SIZES[: len(members)],) * size, ((1_234_567_890,) * len(members),) * size,
        )  # fmt: skip
        marker_path(root, shard).write_bytes(to_bytes(info.to_json()))
        with open(tar_path(root, shard), "wb") as file:
            file.truncate(info.size)
        summary = ShardSummary.of(info, sha256_of(marker_path(root, shard)))
        rows.append({"shard": shard, "count": size, "size": info.size, "sha256": info.sha256, "notes": {}})
        rows[-1]["marker_sha256"] = summary.marker_sha256
    empty: dict[str, object] = {
        key: {} for key in ("schemas", "licences", "provenance", "versions", "plugins", "config")
    }
    record = {"format": "synthforge-dataset", "version": 1, "count": shards * size, **empty, "shards": rows}
    record |= {"fields": [vars(each) for each in FIELDS], "encoding": vars(encoding)}
    record["sha256"] = digest(record)
    (root / MANIFEST).write_bytes(to_bytes(record, indent=1))


def opened(root: Path, how: str) -> dict[str, float]:
    """Seconds to open, to find a first sample, and MB of memory, in a process of its own."""
    found = subprocess.run([sys.executable, "-c", OPEN, str(root), how], stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(("open_s", "first_s", "memory_mb"), map(float, found.stdout.split()), strict=True))


def sample_bytes(root: Path, count: int, jpeg: int | None) -> dict[str, float]:
    """Bytes a sample of the default generator with all labels at 256 px."""
    sets = [f"samples={count}", "shard_size=1000", "resolution=256", "workers=1", f"jpeg_quality={jpeg or 'null'}"]
    pipeline = root / "one.yaml"
    pipeline.write_text(
        "seed: 1\nstages:\n  data: {run: generate, annotators: [landmarks, segmentation, depth, normals]}\n"
    )
    command = [sys.executable, "-m", "synthforge", "generate", str(pipeline), "--out", str(root / f"data{jpeg}")]
    for item in sets:
        command += ["--set", f"stages.data.{item}"]
    subprocess.run(command, check=True)
    size = tar_path(root / f"data{jpeg}", 0).stat().st_size
    return {"bytes": size / count}


def main() -> None:
    """Measure everything and write docs/scale.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100, help="samples to generate for their bytes")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the made-up index")
    options = parser.parse_args()
    index = []
    for size in (100, 1_000, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            root, shards = Path(folder), max(1, options.entries // size)
            fake(root, shards, size)
            row = {"shard_size": size, "shards": shards, "manifest_bytes": (root / MANIFEST).stat().st_size}
            row |= {"marker_bytes": marker_path(root, 0).stat().st_size}
            index.append({**row, "manifest_only": opened(root, "lazy"), "every_marker": opened(root, "all")})
            print(index[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"png": sample_bytes(Path(folder), options.samples, None)}
        kinds["jpeg"] = sample_bytes(Path(folder), options.samples, 90)
    record = {"sample": kinds, "index": index}
    (ROOT / "docs" / "scale.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
