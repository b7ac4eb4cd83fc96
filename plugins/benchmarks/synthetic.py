"""A generated dataset as a benchmark: how good a model is on rendered faces, by any parameter of their scenes.

The folder is one that `synthforge generate` (or a generate stage) wrote. Its labels are exact and every factor that was
drawn is known, so figures can be grouped by pose, skin tone, glasses or anything else that stands in a scene. Crop
protocol: the tight box of the landmarks, made square and `crop_scale` times as large. Score a model on other seeds than
it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import MISSING

from synthforge.core.camera import Camera
from synthforge.core.config import key
from synthforge.core.errors import DataError
from synthforge.core.files import sha256_of
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark
from synthforge.core.records import Field, RealItem, RealSample, Scores
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.datasets.crops import tight_box
from synthforge.datasets.layout import MANIFEST, tar_path
from synthforge.datasets.reader import ShardDataset
from synthforge.evaluation.pose import pose_in_space
from synthforge.evaluation.scoring import score_depth, score_labels, score_mean, score_points

from .common import unknown_split

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

# task -> kind of the field it is scored on
SCORED = {"keypoints": "points2d", "segmentation": "label", "depth": "depth", "normals": "normals"}


@dataclass
class SyntheticConfig:
    """A generated dataset as a benchmark."""

    root: str = key(MISSING, "Folder of a generated dataset.")
    task: str = key("keypoints", "What is scored.", choices=tuple(SCORED))
    field: str = key("", "Annotation that holds the truth, empty for the first of its kind.")
    crop_scale: float = key(1.3, "Side of the crop over the larger side of the landmarks' box.", above=0, high=10)


class Synthetic(Benchmark):
    """Rendered faces with exact labels; one split, `all`."""

    splits = ("all",)
    test_splits = ()

    def __init__(self, config: SyntheticConfig) -> None:
        self.root, self.task, self.crop_scale = Path(config.root).expanduser(), config.task, config.crop_scale
        self._wanted = config.field

    @cached_property
    def _fields(self) -> tuple[Field, Field | None, Field | None]:
        """The field scored, the points the box is drawn around, and the points the pose is read from."""
        fields = ShardDataset(self.root, []).all_fields
        of_kind = [each for each in fields if each.kind == SCORED[self.task]]
        truth = next((each for each in of_kind if self._wanted in ("", each.name)), None)
        if truth is None:
            raise DataError(
                f"synthetic: {self.root} has no {self._wanted or SCORED[self.task]} field to score {self.task} on",
                hint=f"It has: {', '.join(each.name for each in fields)}.",
            )
        box = next((each for each in fields if each.kind == "points2d"), None)
        pose = next((each for each in fields if each.kind == "points3d" and each.schema == "ibug68"), None)
        return truth, box, pose

    @property
    def schema(self) -> str:  # type: ignore[override]
        """That of the field scored."""
        return self._fields[0].schema

    @cached_property
    def _images(self) -> ShardDataset:
        truth, box, _ = self._fields
        return ShardDataset(self.root, ["image", truth.name, *([box.name] if box else [])])

    @cached_property
    def _scenes(self) -> ShardDataset:
        pose = self._fields[2]
        return ShardDataset(self.root, ["scene", "camera", *([pose.name] if pose else [])])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self._images.keys())}

    def items(self, split: str) -> list[RealItem]:
        """All samples, in order. Raises DataError for a folder that holds no finished dataset."""
        if split not in self.splits:
            raise unknown_split("synthetic", split, self.splits)
        data = self._images
        found = []
        for name, index in self._places.items():
            tar = tar_path(self.root, data.where(index)[0])
            found.append(RealItem(name, tar, tar))
        return found

    def load(self, item: RealItem) -> RealSample:
        """One image with its truth and the box of its landmarks (the whole image, where there are none)."""
        truth, points, _ = self._fields
        sample = self._images[self._places[item.key]]
        height, width = sample["image"].shape[:2]
        box = (0.0, 0.0, float(width), float(height))
        if points is not None:
            if not np.isfinite(sample[points.name]).all():
                raise DataError(f"synthetic: a landmark of sample {item.key} in {self.root} lies behind the camera")
            box = tight_box(sample[points.name])
        target = sample[truth.name]
        return RealSample(
            item,
            sample["image"],
            box,
            target.astype(np.float64) if target.ndim == 2 and self.task == "keypoints" else target,
        )

    def attributes(self, sample: RealSample) -> Mapping[str, Any]:
        """The scene's parameters by their dotted paths, and `yaw`, `pitch`, `roll` in degrees where points in space
        are there."""
        known = self._scenes[self._places[sample.item.key]]
        found = dict((known["scene"] or {}).get("parameters") or {})
        pose = self._fields[2]
        if pose is not None and known["camera"]:
            found |= pose_in_space(known[pose.name], Camera.from_json(known["camera"]))
        return found

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        """By the task's own figures; depth in metres, normals by `angle`, the mean over a face in degrees."""
        if self.task == "keypoints":
            return score_points(results, self.schema)
        if self.task == "segmentation":
            classes = [name for name in CLASS_SCHEMAS[self.schema].classes if name != "background"]
            mean = f"mean_f1/{len(classes)}"
            return score_labels(results, self.schema, {mean: classes}, mean)
        if self.task == "normals":
            return score_mean(results, "angle", "degrees", _angle)
        return score_depth(results, "m")

    def fingerprint(self, split: str) -> str:
        """A digest of the manifest, which holds that of every shard."""
        path = self.root / MANIFEST
        if not path.is_file():
            raise DataError(f"synthetic: {self.root} holds no finished dataset: there is no {MANIFEST}")
        return sha256_of(path)

    def notes(self, split: str) -> Sequence[str]:
        """That these are no photographs."""
        return ("rendered faces, not photographs: figures compare between groups and models, not with published ones",)


def _angle(sample: RealSample, prediction: np.ndarray) -> float:
    """The mean angle in degrees where the truth has a normal; 0 where it has none."""
    there = sample.target.any(axis=-1)
    cosine = (sample.target[there] * prediction[there]).sum(-1).clip(-1, 1)
    return float(np.degrees(np.arccos(cosine)).mean()) if there.any() else 0.0


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Offer `synthetic`."""
    register(
        "synthetic",
        Synthetic,
        config=SyntheticConfig,
        summary="a generated dataset, with figures by any parameter of its scenes",
        licence="that of the dataset",
    )
