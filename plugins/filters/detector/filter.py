"""The filter plugin: distance between the sample's landmarks and those an independent detector sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.interfaces import Filter
from synthforge.core.records import Rendering, Verdict
from synthforge.datasets.crops import tight_box
from synthforge.prediction.detectors import Detect, find_detector

from .settings import DetectorConfig

REFERENCE = 512


class DetectorFilter(Filter):
    """Rejects a sample when the mean distance to the detector's landmarks is over the threshold, or it sees no face.

    It asks the detector for points at full size, and shares nothing with `prediction.predictor`: no model of ours may
    choose what models learn from. Only the verdict and its figures leave this class: the labels stay the generator's.
    """

    fields = ("landmarks2d",)

    def __init__(self, config: DetectorConfig) -> None:
        """Raises PluginError when the detector's package is not installed."""
        self.config = config
        self.detector = find_detector(config.detector)
        self.detector.check()

    @cached_property
    def detect(self) -> Detect:
        """The detector with its weights. Raises AssetError when they have not been added."""
        return self.detector.build(self.config.device, faces=self.config.faces == "own", points=True)

    def judge(self, rendering: Rendering, annotations: Mapping[str, Any]) -> Verdict:
        """See `Filter.judge`. Of several faces the nearest one counts."""
        points = np.asarray(annotations["landmarks2d"], np.float64)
        if points.shape != (68, 2):
            raise AnnotationError(f"the filter 'detector' compares 68 landmarks, got {points.shape}")
        target = grouped(points, self.detector.groups)
        finite = points[np.isfinite(points).all(-1)]
        if not len(finite) or not np.isfinite(target).all(-1).any():
            return Verdict(False, "the landmarks are behind the camera", {"faces": 0.0})
        box = None if self.config.faces == "own" else tight_box(finite)
        found = self.detect(np.ascontiguousarray(rendering.image), box)
        faces = [face.points for face in found if face.points is not None]
        if not faces:
            return Verdict(False, "the detector finds no face", {"faces": 0.0})
        scale = REFERENCE / max(rendering.image.shape[:2])
        distance = min(mean_distance(face, target) for face in faces) * scale
        figures = {"faces": float(len(faces)), "distance_px_at_512": round(distance, 3)}
        accepted = distance <= self.config.max_distance
        return Verdict(accepted, "" if accepted else "the detector's landmarks are too far away", figures)

    def provenance(self) -> dict[str, Any]:
        """The detector, its package's version and the threshold."""
        return {
            "detector": self.config.detector,
            "package": f"{self.detector.package or self.detector.module} {self.detector.version()}",
            "max_distance_px_at_512": self.config.max_distance,
            "faces": self.config.faces,
        }


def grouped(points: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Means (P,2) of landmarks (N,2) over groups of their indices."""
    return np.stack([points[list(group)].mean(0) for group in groups])


def mean_distance(found: np.ndarray, target: np.ndarray) -> float:
    """Mean distance in pixels of points (P,2), over those whose target is finite."""
    there = np.isfinite(target).all(-1)
    return float(np.linalg.norm(found[there] - target[there], axis=-1).mean())
