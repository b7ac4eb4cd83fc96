"""Replaying a dataset: the index of a sample is its place in the folder, the seed changes nothing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.errors import UserError
from synthforge.core.interfaces import Generator
from synthforge.core.records import Field, Rendering, Scene
from synthforge.datasets.marks import SOURCE_TYPE
from synthforge.datasets.reader import ShardDataset

from .config import RecordedConfig
from .layouts import ReadOptions, layout_named, resized


class RecordedGenerator(Generator):
    """Finished pictures and annotations as renderings without geometry.

    `Rendering.stored` has the dataset's annotations at the resolution asked for; depth in metres and labels also
    stand where other annotators look for them.
    """

    def __init__(self, config: RecordedConfig) -> None:
        self.config = config
        self.root = Path(config.root)
        self.options = ReadOptions(
            schema=config.schema,
            point_schema=config.point_schema,
            colours=config.colours,
            points=config.points,
            metric_depth=config.metric_depth,
            depth_range=(config.depth_range[0], config.depth_range[1]) if config.depth_range else None,
        )
        self.fields: tuple[Field, ...]
        self._dataset: ShardDataset | None = None
        if config.layout == "shards":
            self._dataset = ShardDataset(self.root)
            self.fields = self._dataset.fields
            self.keys = self._dataset.keys()
        else:
            layout = layout_named(config.layout)
            self.fields = layout.fields(self.options)
            self.keys = layout.keys(self.root)

    def sample(self, seed: int, index: int) -> Scene:
        if not 0 <= index < len(self.keys):
            raise UserError(
                f"{self.root} has {len(self.keys)} samples; there is none with index {index}",
                hint=f"Ask for at most {len(self.keys)} samples.",
            )
        return Scene(seed, index, {"layout": self.config.layout, "key": self.keys[index]})

    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        return [self._replay(scene, resolution) for scene in scenes]

    def _replay(self, scene: Scene, resolution: int) -> Rendering:
        sample = resized(self._read(scene), self.fields, resolution)
        record = (sample["scene"] or {}).get("parameters", {})
        parameters: dict[str, Any] = {**scene.parameters, "recorded": record, "camera_assumed": False}
        if sample["camera"] is None:
            camera = self._assumed_camera(resolution)
            parameters["camera_assumed"] = True
        else:
            camera = Camera.from_json(sample["camera"])
        stored = {item.name: sample[item.name] for item in self.fields if item.kind != "image"}
        metric = [item.name for item in self.fields if item.name == "depth" and item.unit == "m"]
        return Rendering(
            Scene(scene.seed, scene.index, parameters),
            camera,
            sample["image"],
            labels={item.schema: sample[item.name] for item in self.fields if item.kind == "label" and item.schema},
            depth=sample[metric[0]] if metric else None,
            stored=stored,
        )

    def _read(self, scene: Scene) -> dict[str, Any]:
        if self._dataset is not None:
            return self._dataset[scene.index]
        layout = layout_named(self.config.layout)
        return layout.read(self.root, str(scene.parameters["key"]), self.options)

    def _assumed_camera(self, resolution: int) -> Camera:
        """A pinhole a metre in front of the face, for datasets that have no camera."""
        focal = resolution / (2 * math.tan(math.radians(self.config.field_of_view) / 2))
        centre = resolution / 2
        pose = np.diag([1.0, -1.0, -1.0, 1.0])  # looks along -z, at a face that looks along +z
        pose[2, 3] = 1.0
        return Camera(resolution, resolution, np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]]), pose)

    def provenance(self) -> dict[str, Any]:
        """The layout, how many samples, a digest of their names, and what a dataset of ours says of itself."""
        names = hashlib.sha256("\n".join(self.keys).encode()).hexdigest()
        found: dict[str, Any] = {"layout": self.config.layout, "samples": len(self.keys), "keys_sha256": names}
        if self._dataset is not None:
            manifest = self._dataset.manifest
            found |= {name: manifest.get(name) for name in ("licences", "provenance", "config_hash", "sha256")}
        else:
            layout = layout_named(self.config.layout)
            found |= {"licences": {self.config.layout: layout.licence}, SOURCE_TYPE: layout.source_type}
        return found
