"""Synthetic faces in the trees of 300W, LaPa and CelebAMask-HQ, as the benchmarks of these names read them.

Each tree carries a marker, so that no report takes its faces for photographs (`evaluation.standin`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from synthforge.core.records import Field
from synthforge.datasets.formats import Card, Export, Format, Sample, field_of, labels_field
from synthforge.datasets.png import encode_png
from synthforge.evaluation.files import pts_text
from synthforge.evaluation.standin import mark_stand_in

from ..benchmarks.celebamask_hq import IMAGES, MAPPING, MASKS, PARTS, PER_FOLDER, SPLITS
from ..benchmarks.w300 import SUBSETS
from ..schemas import CELEBAMASK19, IBUG68, LAPA11, LAPA106


def _prepare(name: str, folder: Path) -> None:
    mark_stand_in(folder, name, {})


def _w300_points(fields: Sequence[Field]) -> Field:
    return field_of(fields, "points2d", IBUG68.name)


def _write_w300(export: Export, samples: Iterator[Sample], shard: int) -> None:
    points, folder = _w300_points(list(export.fields.values())), SUBSETS["afw"][0][0]
    for sample in samples:
        export.write(f"{folder}/{sample.key}{sample.suffix}", sample.picture)
        export.write(f"{folder}/{sample.key}.pts", pts_text(sample[points.name]).encode())


W300 = Format(
    "300w",
    "The tree of 300W: pictures beside .pts files",
    """
afw/KEY.png
afw/KEY.pts  68 landmarks, counted from 1: x = 1 is the centre of the first pixel
The benchmark `300w` reads them as its splits train, val and all-train.
""",
    write=_write_w300,
    check=_w300_points,
    prepare=partial(_prepare, "300w"),
    splits=False,
)


def _write_lapa(export: Export, samples: Iterator[Sample], shard: int) -> None:
    fields = list(export.fields.values())
    labels = labels_field(fields, LAPA11.name)
    points = next((item for item in fields if item.kind == "points2d" and item.schema == LAPA106.name), None)
    for sample in samples:
        export.write(f"{sample.split}/images/{sample.key}{sample.suffix}", sample.picture)
        maps = encode_png(sample.labels(labels.name, LAPA11.name), filter="none", runs=True)
        export.write(f"{sample.split}/labels/{sample.key}.png", maps)
        if points is not None:
            rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in sample[points.name].tolist())
            export.write(f"{sample.split}/landmarks/{sample.key}.txt", f"{len(sample[points.name])}\n{rows}".encode())


LAPA = Format(
    "lapa",
    "The tree of LaPa: pictures, label maps in 11 classes, and 106 landmarks where the dataset has them",
    """
train/images/KEY.png
train/labels/KEY.png      class ids; left and right are the image's, as LaPa has it
train/landmarks/KEY.txt   only with a field in the schema `lapa106`
val/...
""",
    write=_write_lapa,
    check=partial(labels_field, schema=LAPA11.name),
    prepare=partial(_prepare, "lapa"),
)


def _write_celebamask(export: Export, samples: Iterator[Sample], shard: int) -> list[list[int]]:
    labels, rows = labels_field(list(export.fields.values()), CELEBAMASK19.name), []
    for sample in samples:
        number = sample.position
        export.write(f"{IMAGES}/{number}{sample.suffix}", sample.picture)
        found = sample.labels(labels.name, CELEBAMASK19.name)
        for label, part in enumerate(PARTS, start=1):
            mask = found == label
            # a face needs at least one file: without any class it has an empty mask of the skin
            if mask.any() or (label == 1 and not found.any()):
                name = f"{MASKS}/{number // PER_FOLDER}/{number:05d}_{part}.png"
                export.write(name, encode_png(mask.astype(np.uint8) * 255, filter="none", runs=True))
        rows.append([number, SPLITS[sample.split][0] + number, int(sample.key)])
    return rows


def _finish_celebamask(export: Export) -> Card:
    lines = ["idx orig_idx orig_file"]
    for record in export.records():
        lines += [f"{number} {original} {key:09d}.png" for number, original, key in record]
    export.write(MAPPING, ("\n".join(lines) + "\n").encode())
    return Card()


CELEBAMASK = Format(
    "celebamask-hq",
    "The tree of CelebAMask-HQ: pictures and a mask for each part",
    f"""
{IMAGES}/N.png                        N counts samples from 0
{MASKS}/K/NNNNN_PART.png  255 inside the part, 0 elsewhere; K = N / {PER_FOLDER}
{MAPPING}      which split each picture is in, by made-up CelebA indices
""",
    write=_write_celebamask,
    finish=_finish_celebamask,
    check=partial(labels_field, schema=CELEBAMASK19.name),
    prepare=partial(_prepare, "celebamask-hq"),
)
