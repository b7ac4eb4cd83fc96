"""A dataset in the layout that the paper released, for what reads it: images/, depth/, seg/, annotations/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.datasets.png import encode_png
from synthforge.datasets.reader import ShardDataset
from synthforge.geometry.cameras import camera_to_eg3d

_PARAMETERS = {"z": "z", "flame_shape": "shape", "flame_exp": "expression", "flame_pose": "pose"}


def write_paper(dataset: ShardDataset, out: Path) -> Path:
    """Write a dataset in the paper's layout, numbered from 00000.

    Lossy, as the layout is: depth has 254 steps over the dataset's own range, 255 nearest, 0 none. Keys that come from
    a landmark detector (`fan_kps`, `mse`) are null; `depth_range`, `schema`, `landmarks3d` and `key` are added.
    """
    samples = list(dataset)
    schema = next(item.schema for item in dataset.fields if item.name == "segmentation")
    positive = np.concatenate([sample["depth"][sample["depth"] > 0] for sample in samples])
    near, far = float(positive.min()), float(positive.max())
    for folder in ("images", "depth", "seg", "annotations"):
        (out / folder).mkdir(parents=True)
    for index, sample in enumerate(samples):
        depth = sample["depth"]
        steps = np.rint((far - depth.clip(near, far)) / max(far - near, 1e-9) * 254) + 1
        parameters = (sample["scene"] or {}).get("parameters", {})
        record: dict[str, Any] = {
            name: parameters.get(name, parameters.get(ours)) for name, ours in _PARAMETERS.items()
        }
        record |= {
            "camera_params": camera_to_eg3d(Camera.from_json(sample["camera"])).tolist(),
            "2d_kps": sample["landmarks2d"].tolist(),
            "fan_kps": None,
            "mse": None,
            "landmarks3d": sample["landmarks3d"].tolist() if "landmarks3d" in sample else None,
            "depth_range": [near, far],
            "schema": schema,
            "key": sample["__key__"],
        }
        (out / f"images/{index:05d}.png").write_bytes(encode_png(sample["image"], runs=True))
        (out / f"depth/{index:05d}.png").write_bytes(encode_png(np.where(depth > 0, steps, 0).astype(np.uint8)))
        (out / f"seg/{index:05d}.png").write_bytes(encode_png(CLASS_SCHEMAS[schema].palette[sample["segmentation"]]))
        (out / f"annotations/{index:05d}.json").write_text(json.dumps(record))
    return out
