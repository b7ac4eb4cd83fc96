"""The layout in which the paper released its dataset: images/, depth/, seg/, annotations/.

Lossy, as that layout is: depth has 254 steps over each picture's own range, 255 nearest, 0 none. Keys that come from a
landmark detector (`fan_kps`, `mse`) are null; `depth_range`, `schema`, `landmarks3d` and `key` are added.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.errors import DataError
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.datasets.formats import Export, Format, Sample, field_of
from synthforge.datasets.png import encode_png

from ..schemas import IBUG68

_PARAMETERS = {"z": "z", "flame_shape": "shape", "flame_exp": "expression", "flame_pose": "pose"}


def _fields(fields: Sequence[Field]) -> tuple[Field, Field, Field]:
    return field_of(fields, "points2d", IBUG68.name), field_of(fields, "label"), field_of(fields, "depth")


def _write(export: Export, samples: Iterator[Sample], shard: int) -> None:
    from synthforge.geometry.cameras import camera_to_eg3d

    fields = list(export.fields.values())
    points, labels, depths = _fields(fields)
    schema = CLASS_SCHEMAS[labels.schema]
    space = next((item for item in fields if item.kind == "points3d" and item.schema == points.schema), None)
    for sample in samples:
        if sample.suffix != ".png":
            raise DataError("the paper's layout has PNG pictures, this dataset has JPEG", hint="jpeg_quality: null.")
        depth = sample[depths.name]
        known = depth[depth > 0]
        near, far = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        steps = np.rint((far - depth.clip(near, far)) / max(far - near, 1e-9) * 254) + 1
        parameters = (sample.record["scene"] or {}).get("parameters", {})
        record: dict[str, Any] = {
            name: parameters.get(name, parameters.get(ours)) for name, ours in _PARAMETERS.items()
        }
        record |= {
            "camera_params": camera_to_eg3d(Camera.from_json(sample.record["camera"])).tolist(),
            "2d_kps": sample[points.name].tolist(),
            "fan_kps": None,
            "mse": None,
            "landmarks3d": sample[space.name].tolist() if space is not None else None,
            "depth_range": [near, far],
            "schema": schema.name,
            "key": sample.key,
        }
        name = f"{sample.position:05d}"
        export.write(f"images/{name}.png", sample.picture)
        export.write(f"depth/{name}.png", encode_png(np.where(depth > 0, steps, 0).astype(np.uint8)))
        export.write(f"seg/{name}.png", encode_png(schema.palette[sample[labels.name]]))
        export.write(f"annotations/{name}.json", json.dumps(record).encode())


RELEASED = Format(
    "released-layout",
    "The layout in which the paper released its dataset",
    """
images/NNNNN.png
depth/NNNNN.png         8 bits over the picture's own `depth_range`: 255 nearest, 1 furthest, 0 none
seg/NNNNN.png           classes by their colours
annotations/NNNNN.json  camera, landmarks and parameters, by the paper's keys
The generator `recorded` reads it with `layout: paper`.
""",
    write=_write,
    check=_fields,
    splits=False,
)
