"""Formats that keep every field: Parquet for Hugging Face's `datasets`, tars for webdataset, chunks for LitData."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.datasets.codecs import CODECS, JSON_MEMBER, member_of
from synthforge.datasets.formats import TRAIN, VAL, Card, Export, Format, Sample
from synthforge.datasets.layout import BLOCK, MOST_SAMPLES, header, tar_size

_RECORDS = ("scene", "camera")


def _by_split(samples: Iterator[Sample]) -> Iterator[tuple[str, list[Sample]]]:
    """Samples of a shard by split, in order."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.split, []).append(sample)
    yield from found.items()


def _stored(sample: Sample) -> dict[str, bytes | Any]:
    """The fields of a sample: pictures and maps as files, numbers as arrays, free form as JSON."""
    row: dict[str, Any] = {"key": sample.key}
    for name, item in sample.fields.items():
        if item.kind == "image":
            row[name] = sample.picture
        elif CODECS[item.kind].member:
            row[name] = sample.members[member_of(item, sample.encoding)]
        else:
            row[name] = json.dumps(sample[name]) if item.kind == "json" else sample[name]
    return row | {name: json.dumps(sample.record[name]) for name in _RECORDS}


# --- Hugging Face ----------------------------------------------------------------------------------------------------

_SPLITS = {TRAIN: "train", VAL: "validation"}


def _features(export: Export) -> dict[str, Any]:
    from datasets import Image, Value

    numbers = {"points2d": [[Value("float32")]], "points3d": [[Value("float32")]], "directions": [[Value("float32")]]}
    kinds = {**numbers, "flags": [Value("bool")], "json": Value("string")}
    found = {name: kinds.get(item.kind) or Image() for name, item in export.fields.items()}
    return {"key": Value("string"), **found, **dict.fromkeys(_RECORDS, Value("string"))}


def _write_parquet(export: Export, samples: Iterator[Sample], shard: int) -> dict[str, int]:
    from datasets import Dataset, Features, disable_progress_bars

    disable_progress_bars()
    counts = {}
    features = Features(_features(export))
    for split, found in _by_split(samples):
        rows = [_stored(sample) for sample in found]
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in features}
        for name, item in export.fields.items():
            if CODECS[item.kind].member:
                columns[name] = [{"bytes": data, "path": None} for data in columns[name]]
            elif item.kind != "json":
                columns[name] = [values.tolist() for values in columns[name]]
        buffer = io.BytesIO()
        Dataset.from_dict(columns, features=features).to_parquet(buffer)
        export.write(f"data/{_SPLITS[split]}-{shard:05d}.parquet", buffer.getvalue())
        counts[split] = len(rows)
    return counts


def _finish_parquet(export: Export) -> Card:
    files = [{"split": _SPLITS[split], "path": f"data/{_SPLITS[split]}-*.parquet"} for split in export.splits]
    pictures = {name: "sc:ImageObject" for name, item in export.fields.items() if CODECS[item.kind].member}
    columns = {"key": "sc:Text", **pictures, **dict.fromkeys(_RECORDS, "sc:Text")}
    head = {"configs": [{"config_name": "default", "data_files": files}]}
    return Card(head, "data/*.parquet", columns)


HUGGINGFACE = Format(
    "huggingface",
    "Parquet with a dataset card, as `datasets.load_dataset` reads it",
    """
data/train-NNNNN.parquet       one row a sample: key, picture, every field, scene and camera as JSON
data/validation-NNNNN.parquet
Pictures and maps are files in columns of the type Image; maps hold the dataset's own values (docs/datasets.md).
""",
    write=_write_parquet,
    finish=_finish_parquet,
    modules=("datasets",),
)


# --- webdataset ------------------------------------------------------------------------------------------------------


def _write_tar(export: Export, samples: Iterator[Sample], shard: int) -> dict[str, int]:
    counts = {}
    for split, found in _by_split(samples):
        parts: list[bytes] = []
        for sample in found:
            # the picture is KEY.png, where webdataset and others look for it
            members = {
                f"{sample.key}{sample.suffix}" if name == sample.picture_member else f"{sample.key}.{name}": data
                for name, data in sample.members.items()
            }
            members[f"{sample.key}{sample.suffix}"] = sample.picture
            for name, data in members.items():
                parts += [header(name, len(data)), data, bytes(-len(data) % BLOCK)]
        size = sum(map(len, parts))
        export.write(f"{split}-{shard:05d}.tar", b"".join([*parts, bytes(tar_size(size) - size)]))
        counts[split] = len(found)
    return counts


def _finish_tars(export: Export) -> Card:
    for split in export.splits:
        rows = [
            {"url": f"{split}-{shard:05d}.tar", "nsamples": counts[split]}
            for shard, counts in enumerate(export.records())
            if split in counts
        ]
        index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": rows}
        export.write(f"{split}.json", (json.dumps(index, indent=1) + "\n").encode())
    return Card()


WEBDATASET = Format(
    "webdataset",
    "Tars that webdataset streams, with an index for wids",
    f"""
train-NNNNN.tar  of each sample KEY.png (the picture), KEY.FIELD.png (maps) and KEY.{JSON_MEMBER} (everything else)
train.json       the tars and how many samples each has
""",
    write=_write_tar,
    finish=_finish_tars,
)


# --- LitData ---------------------------------------------------------------------------------------------------------


def _write_chunks(export: Export, samples: Iterator[Sample], shard: int) -> dict[str, Any]:
    from litdata.streaming.writer import BinaryWriter

    indices = {}
    for split, found in _by_split(samples):
        with tempfile.TemporaryDirectory() as folder:
            writer = BinaryWriter(folder, chunk_size=MOST_SAMPLES + 1, chunk_index=shard)
            for sample in found:
                writer[sample.position] = {
                    name: np.asarray(value) if isinstance(value, np.ndarray) else value
                    for name, value in _stored(sample).items()
                }
            for chunk in writer.done():
                export.write(f"{split}/{Path(chunk).name}", Path(chunk).read_bytes())
            (index,) = Path(folder).glob("*.json")
            indices[split] = json.loads(index.read_text())
    return indices


def _finish_chunks(export: Export) -> Card:
    for split in export.splits:
        found = [record[split] for record in export.records() if split in record]
        chunks = [chunk for each in found for chunk in each["chunks"]]
        index = {"chunks": chunks, "config": found[0]["config"], "updated_at": "0"}
        export.write(f"{split}/index.json", json.dumps(index, sort_keys=True).encode())
    return Card()


LITDATA = Format(
    "litdata",
    "Chunks that LitData's StreamingDataset reads",
    """
train/chunk-0-N.bin  of each sample key, picture and maps as PNG or JPEG files, points as arrays, the rest as JSON
train/index.json
""",
    write=_write_chunks,
    finish=_finish_chunks,
    modules=("litdata",),
    install="pip install 'synthforge[litdata]'",
)
