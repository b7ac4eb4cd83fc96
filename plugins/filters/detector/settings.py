"""The filter's configuration. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

DETECTOR_NAMES = ("fan", "dlib", "mtcnn")
FACES = ("own", "labels")


@dataclass
class DetectorConfig:
    """detector: `fan` (68 landmarks, the paper's), `dlib` (68) or `mtcnn` (5 points; brings its weights along).

    max_distance: of its landmarks to the sample's, the mean over the landmarks, in pixels of a 512-pixel image.
    faces: where it looks: `own`, the faces it finds itself, or `labels`, the box of the sample's landmarks, which asks
    less of it (`fan` then needs no face detector) and tells no empty picture by itself. device: for `fan`.
    """

    detector: str = "fan"
    max_distance: float = 11.0
    faces: str = "own"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.detector not in DETECTOR_NAMES:
            raise ValueError(f"detector must be one of {', '.join(DETECTOR_NAMES)}, got {self.detector!r}")
        if self.faces not in FACES:
            raise ValueError(f"faces must be 'own' or 'labels', got {self.faces!r}")
        if self.detector == "mtcnn" and self.faces != "own":
            raise ValueError("mtcnn finds its points together with the face: faces must be 'own'")
        if not self.max_distance > 0:
            raise ValueError(f"max_distance must be more than 0 pixels, got {self.max_distance}")
