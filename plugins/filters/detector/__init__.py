"""The filter `detector`: does somebody else see the face where the labels say it is?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthforge.core.catalogue import FileNeed
from synthforge.core.hookspecs import hookimpl
from synthforge.prediction.detectors import find_detector

from .settings import DetectorConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .filter import DetectorFilter


def build(config: DetectorConfig) -> DetectorFilter:
    """The filter; PluginError when the detector's package is not installed. Weights are read at the first picture."""
    from .filter import DetectorFilter

    return DetectorFilter(config)


def files(config: DetectorConfig) -> list[FileNeed]:
    """The detector's weights: none is ever downloaded by us or by its package."""
    detector = find_detector(config.detector)
    own = detector.face_assets if config.faces == "own" else ()
    return [FileNeed(name) for name in (*detector.point_assets, *own)]


@hookimpl
def register_filters(register: Register) -> None:
    """Offer the filter `detector`."""
    register(
        "detector",
        build,
        config=DetectorConfig,
        summary="rejects samples whose landmarks an independent detector (FAN, dlib, MTCNN) does not see there",
        licence="that of the detector's weights, as far as choosing among samples goes; labels never come from it",
        files=files,
    )
