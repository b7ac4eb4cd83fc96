"""The contract of an export format: the same files in any order of shards and after an interruption, and a card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.provenance import files_of
from ..core.records import Field
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from ..datasets.card import describe
from ..datasets.formats import Card, Export, Format, part_file, write_part
from ..datasets.reader import ShardDataset
from ..datasets.writer import finish, sample_key, write_shard
from ..geometry.cameras import orbit_camera

SIZE = 32  # pixels


def made_up_dataset(root: Path, *, shards: int = 3, count: int = 2) -> Path:
    """A small dataset of noise with points and labels in every schema, depth and flags; returns its folder."""
    points = [Field(f"points_{i}", "points2d", "px", "image", name) for i, name in enumerate(POINT_SCHEMAS)]
    labels = [Field(f"labels_{i}", "label", "class id", "image", name) for i, name in enumerate(CLASS_SCHEMAS)]
    flags = [Field(f"seen_{i}", "flags", schema=item.schema) for i, item in enumerate(points)]
    fields = (*points, *labels, *flags, Field("depth", "depth", "m", "camera"), Field("words", "json"))

    def samples(first: int) -> Iterator[dict[str, Any]]:
        for index in range(first, first + count):
            rng = np.random.default_rng(index)
            values: dict[str, Any] = {"words": {"index": index}}
            values["depth"] = rng.uniform(0.5, 2, (SIZE, SIZE)).astype(np.float32)
            for item in points:
                values[item.name] = rng.uniform(2, SIZE - 2, (len(POINT_SCHEMAS[item.schema]), 2)).astype(np.float32)
            for item in labels:
                values[item.name] = rng.integers(0, len(CLASS_SCHEMAS[item.schema]), (SIZE, SIZE), dtype=np.uint8)
            for item in flags:
                values[item.name] = rng.random(len(POINT_SCHEMAS[item.schema])) > 0.5
            scene = {"seed": 0, "index": index, "parameters": {"number": float(rng.random())}}
            image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            camera = orbit_camera(0.1, 0.0, 1.0, 20, SIZE, SIZE).to_json()
            yield {"__key__": sample_key(index), "image": image, "scene": scene, "camera": camera, **values}

    for shard in range(shards):
        write_shard(root, shard, samples(shard * count), fields, config_hash="made up")
    finish(root, shards=shards, config_hash="made up", config={}, licences={"made up": "CC0-1.0"})
    return root


def check_format(format: Format) -> None:
    """A format: files below its folder, the same ones in any order of shards and when one is written twice."""
    assert format.name, "a format needs a name"
    assert format.summary.strip(), f"format '{format.name}': a one-line summary is missing"
    assert format.layout.strip(), f"format '{format.name}': `layout` says what lies where, for the card"
    with tempfile.TemporaryDirectory() as folder:
        root = made_up_dataset(Path(folder) / "data")
        first = _written(format, root, Path(folder) / "one", (0, 1, 2))
        assert first, f"format '{format.name}': it wrote nothing"
        second = _written(format, root, Path(folder) / "two", (2, 0, 1, 1))
        assert set(first) == set(second), f"format '{format.name}': other files where a shard was written twice"
        other = [name for name in first if first[name] != second[name]]
        assert not other, f"format '{format.name}': other bytes in another order of shards: {', '.join(other)}"


def _written(format: Format, root: Path, out: Path, order: tuple[int, ...]) -> dict[str, bytes]:
    """Files of an export by name, its shards written in an order."""
    dataset = ShardDataset(root)
    export = Export(dataset, out, val=0.4 if format.splits else 0.0)
    if format.check is not None:
        try:
            format.check(dataset.all_fields)
        except UserError as error:
            raise AssertionError(f"format '{format.name}': `check` refuses a dataset of everything: {error}") from error
    if format.prepare is not None:
        format.prepare(out)
    for shard in order if format.write is not None else ():
        write_part(format, export, shard)
        record = json.loads(part_file(out, shard).read_text(encoding="utf-8"))
        assert set(record) == {"record"}, f"format '{format.name}': `write` touched the folder of records"
    card = format.finish(export) if format.finish is not None else None
    assert card is None or isinstance(card, Card), f"format '{format.name}': `finish` returns a Card or None"
    describe(export, format, card, recipe="")
    return {name: path.read_bytes() for name, path in files_of(out) if not name.startswith(".")}
