"""Formats of keypoint detectors: COCO and YOLO pose.

COCO data format: https://cocodataset.org/#format-data. YOLO pose: https://docs.ultralytics.com/datasets/pose/ (the
format alone; no code of its licence is used).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from synthforge.core.files import replacing
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS, PointSchema
from synthforge.datasets.card import title
from synthforge.datasets.crops import tight_box
from synthforge.datasets.formats import VAL, Card, Export, Format, Sample, field_of

#: COCO counts keypoints from the centre of the first pixel, boxes from the corner of the picture
_CENTRE = 0.5


def _points_field(fields: Sequence[Field]) -> Field:
    return field_of(fields, "points2d")


def _keypoints(sample: Sample, points: Field) -> tuple[np.ndarray, np.ndarray]:
    """Points (N,2) in pixels, 0 where there is none, and (N,) 2 for visible, 1 for hidden, 0 for none."""
    values = sample[points.name].astype(np.float64)
    wanted = ("flags", points.schema)
    flags = next((name for name, item in sample.fields.items() if (item.kind, item.schema) == wanted), None)
    seen = np.where(sample[flags], 2, 1) if flags is not None else np.full(len(values), 2)
    known = np.isfinite(values).all(-1)
    return np.where(known[:, None], values, 0.0), np.where(known, seen, 0)


def _box(points: np.ndarray, state: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The tight box x0, y0, x1, y1 of the points, within the picture."""
    known = points[state > 0]
    if not len(known):
        return 0.0, 0.0, 0.0, 0.0
    x0, y0, x1, y1 = tight_box(known)
    width, height = size
    return min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height)


def _names(schema: PointSchema) -> list[str]:
    names = [f"point_{index}" for index in range(len(schema))]
    for region, members in schema.regions.items():
        for number, index in enumerate(members):
            names[index] = f"{region}_{number}"
    return names


# --- COCO ------------------------------------------------------------------------------------------------------------


def _write_coco(export: Export, samples: Iterator[Sample], shard: int) -> dict[str, dict[str, list[str]]]:
    """Rows of the annotation files as JSON, by split and list."""
    fields = list(export.fields.values())
    points = _points_field(fields)
    labels = next((item for item in fields if item.kind == "label"), None)
    found: dict[str, dict[str, list[str]]] = {}
    for sample in samples:
        rows = found.setdefault(sample.split, {"images": [], "faces": [], "parts": []})
        image, face = _coco_face(export, sample, points)
        rows["images"].append(json.dumps(image))
        rows["faces"].append(json.dumps(face))
        rows["parts"] += map(json.dumps, _regions(sample, labels, image["id"]))
    return found


def _coco_face(export: Export, sample: Sample, points: Field) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a picture; its row in `images`, and that of its face in `annotations`."""
    name = f"images/{sample.key}{sample.suffix}"
    export.write(name, sample.picture)
    width, height = sample.size
    number = sample.position + 1  # some readers take 0 for none
    values, state = _keypoints(sample, points)
    x0, y0, x1, y1 = _box(values, state, sample.size)
    shown = np.where(state[:, None] > 0, values - _CENTRE, 0.0)
    face = {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [round(value, 3) for value in (x0, y0, x1 - x0, y1 - y0)],
        "area": round((x1 - x0) * (y1 - y0), 3),
        "num_keypoints": int((state > 0).sum()),
        "keypoints": [
            value
            for (x, y), seen in zip(shown.tolist(), state.tolist(), strict=True)
            for value in (round(x, 4), round(y, 4), seen)
        ],
    }
    return {"id": number, "file_name": name.partition("/")[2], "width": width, "height": height}, face


def _regions(sample: Sample, labels: Field | None, number: int) -> list[dict[str, Any]]:
    """One annotation for each class of a picture's label map, as run lengths."""
    if labels is None:
        return []
    from pycocotools import mask

    found, regions = sample[labels.name], []
    for label in np.unique(found).tolist():
        if label in (0, IGNORE):
            continue
        coded = mask.encode(np.asfortranarray(found == label, np.uint8))
        regions.append(
            {
                "id": number * 256 + label,
                "image_id": number,
                "category_id": label,
                "iscrowd": 0,
                "area": int(mask.area(coded)),
                "bbox": mask.toBbox(coded).tolist(),
                "segmentation": {"size": list(coded["size"]), "counts": coded["counts"].decode()},
            }
        )
    return regions


def _finish_coco(export: Export) -> Card:
    fields = list(export.fields.values())
    points = _points_field(fields)
    schema = POINT_SCHEMAS[points.schema]
    face = {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": _names(schema),
        "skeleton": [[a + 1, b + 1] for a, b in schema.edges],
    }
    labels = next((item for item in fields if item.kind == "label"), None)
    classes = CLASS_SCHEMAS[labels.schema].classes if labels is not None else ()
    regions = [{"id": id_, "name": name, "supercategory": "face"} for id_, name in enumerate(classes) if id_]
    for split in export.splits:
        _write_index(export, f"face_keypoints_{split}", [face], split, "faces")
        if regions:
            _write_index(export, f"face_parts_{split}", regions, split, "parts")
    return Card()


def _write_index(export: Export, name: str, categories: list[dict[str, Any]], split: str, rows: str) -> None:
    """One annotation file; rows of all shards go through one after the other."""
    head = json.dumps({"info": {"description": title(export)}, "licenses": [], "categories": categories})[:-1]
    with replacing(export.out / "annotations" / f"{name}.json") as file:
        file.write(head.encode())
        for key, kind in (("images", "images"), ("annotations", rows)):
            file.write(f',\n"{key}": ['.encode())
            found = (row for record in export.records() if split in record for row in record[split][kind])
            for number, row in enumerate(found):
                file.write((",\n" if number else "\n").encode() + row.encode())
            file.write(b"]")
        file.write(b"}\n")


COCO = Format(
    "coco",
    "COCO: keypoints with box and visibility, and label maps as run lengths",
    """
images/KEY.png
annotations/face_keypoints_train.json  landmarks (v = 2 seen, 1 hidden) and the tight box around them
annotations/face_parts_train.json      a mask for each class of a picture
Keypoints count from the centre of the first pixel, (0, 0); boxes count from its corner, as COCO has it.
""",
    write=_write_coco,
    finish=_finish_coco,
    check=_points_field,
    modules=("pycocotools",),
)


# --- YOLO pose -------------------------------------------------------------------------------------------------------


def _write_yolo(export: Export, samples: Iterator[Sample], shard: int) -> None:
    points = _points_field(list(export.fields.values()))
    for sample in samples:
        values, state = _keypoints(sample, points)
        width, height = sample.size
        x0, y0, x1, y1 = _box(values, state, sample.size)
        box = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        # points beyond the picture's edge are not allowed there
        inside = (state > 0) & ((values >= 0) & (values <= (width, height))).all(-1)
        shares = np.where(inside[:, None], values / (width, height), 0.0)
        row = [f"{value:.7f}" for value in box]
        for (x, y), seen in zip(shares.tolist(), np.where(inside, state, 0).tolist(), strict=True):
            row += [f"{x:.7f}", f"{y:.7f}", str(seen)]
        export.write(f"images/{sample.split}/{sample.key}{sample.suffix}", sample.picture)
        export.write(f"labels/{sample.split}/{sample.key}.txt", ("0 " + " ".join(row) + "\n").encode())


def _finish_yolo(export: Export) -> Card:
    import yaml

    schema = POINT_SCHEMAS[_points_field(list(export.fields.values())).schema]
    data = {
        "path": ".",
        "train": "images/train",
        "val": f"images/{list(export.splits)[-1]}",
        "kpt_shape": [len(schema), 3],
        "flip_idx": list(schema.mirror),
        "names": {0: "face"},
    }
    export.write("data.yaml", yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120).encode())
    return Card()


YOLO_POSE = Format(
    "yolo-pose",
    "YOLO pose: a text file of box and keypoints for each picture",
    f"""
images/train/KEY.png
labels/train/KEY.txt  class, box (centre, size), then x, y, visibility of each landmark, as shares of the picture
data.yaml             kpt_shape, flip_idx and the folders; without validation samples, `{VAL}` is the training folder
""",
    write=_write_yolo,
    finish=_finish_yolo,
    check=_points_field,
)
