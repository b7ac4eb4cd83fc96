"""The filter's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.config import key
from synthforge.core.machine import need_device
from synthforge.prediction.detectors import DETECTORS

FACES = ("own", "labels")


@dataclass
class DetectorConfig:
    """A detector that must agree with the sample's landmarks."""

    detector: str = key(
        "fan",
        "A face detector that gives points: `fan` (68 landmarks, the paper's), `dlib` (68), `mtcnn` (5 points; brings "
        "its weights along), or another that a plugin registers.",
    )
    max_distance: float = key(
        11.0,
        "Largest mean distance between its landmarks and the sample's, in a 512-pixel image.",
        unit="px",
        above=0,
    )
    faces: str = key(
        "own",
        "Where it looks: at faces it finds itself (`own`), or in the box of the sample's `labels`. The latter needs no "
        "face detector for `fan`, but notices no picture without a face.",
        choices=FACES,
    )
    device: str = key("cpu", "Where torch computes: `cpu`, `cuda`, `cuda:1` ...")

    def __post_init__(self) -> None:
        known = [name for name, each in DETECTORS.items() if each.groups]
        if self.detector not in known:
            raise ValueError(f"detector: '{self.detector}' is not one of {', '.join(known)}")
        if self.faces != "own" and not DETECTORS[self.detector].takes_boxes:
            raise ValueError(f"faces: must be 'own': {self.detector} finds its points together with the face")

    def check(self) -> None:
        """Raise ConfigError for a device that is not there."""
        need_device("device", self.device)
