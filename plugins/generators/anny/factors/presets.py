"""Presets: what differs from the configuration's defaults where pictures come from a certain kind of camera.

Every key is one of `AnnyConfig`, written as in YAML: `generator: {name: anny, preset: webcam, film: {monochrome: 1}}`.
Angles in radians, field of view in degrees.
"""

from __future__ import annotations

from typing import Any

from synthforge.core.catalogue import Preset


def _normal(mean: float, std: float, low: float, high: float) -> dict[str, Any]:
    return {"kind": "normal", "mean": mean, "std": std, "low": low, "high": high}


def _log_normal(median: float, std: float, low: float, high: float) -> dict[str, Any]:
    return {"kind": "log_normal", "mean": median, "std": std, "low": low, "high": high}


def _uniform(low: float, high: float) -> dict[str, Any]:
    return {"kind": "uniform", "low": low, "high": high}


def _choice(weights: dict[float, float]) -> dict[str, Any]:
    return {"kind": "choice", "values": list(weights), "weights": list(weights.values())}


_NONE = {"present": 0.0}

_FRONTAL: dict[str, Any] = {
    "head": {
        "neutral": 0.8,
        "few": 0.2,
        "blink": 0.0,
        "talk": 0.0,
        "contact": 0.95,
        "gaze_yaw": 3.0,
        "gaze_pitch": 2.0,
        "neck": 1.0,
        "head": 1.5,
    },
    "camera": {
        "azimuth": _normal(0.0, 0.06, -0.15, 0.15),
        "elevation": _normal(0.0, 0.05, -0.12, 0.12),
        "roll": _normal(0.0, 0.02, -0.06, 0.06),
        "shift_x": _normal(0.0, 0.01, -0.03, 0.03),
        "shift_y": _normal(0.0, 0.01, -0.03, 0.03),
    },
    "background": {"kind": _choice({0: 0.8, 1: 0.2})},
    "film": {"monochrome": 0.0},
    "glasses": {"sun": 0.0},
    "hat": _NONE,
    "mask": _NONE,
    "scarf": _NONE,
    "hand": _NONE,
    "occluder": _NONE,
    "border": {"cut": 0.0, "margin": 0.0},
}

# A camera on the steering column or beside the wheel looks up at a face that watches the road and the mirrors, under
# its own infrared lamp at night: near infrared is hardly absorbed by melanin or blood, so skins differ less; pupils are
# wide.
_DRIVER: dict[str, Any] = {
    "head": {
        "children": 0.0,
        "contact": 0.1,
        "follow": 0.0,
        "gaze_yaw": 18.0,
        "gaze_pitch": 9.0,
        "head": 9.0,
        "neck": 6.0,
        "blink": 0.14,
        "talk": 0.2,
        "smile": 0.12,
    },
    "camera": {
        "azimuth": _normal(-0.25, 0.3, -0.8, 0.8),
        "elevation": _normal(-0.32, 0.12, -0.65, 0.05),
        "roll": _normal(0.0, 0.06, -0.25, 0.25),
        "field_of_view": _uniform(18.0, 32.0),
        "face_fraction": _uniform(0.2, 0.36),
        "shift_x": _normal(0.0, 0.05, -0.14, 0.14),
        "shift_y": _normal(0.0, 0.05, -0.14, 0.14),
    },
    "light": {
        "count": _choice({1: 0.6, 2: 0.4}),
        "key_azimuth": _normal(0.0, 0.2, -0.5, 0.5),
        "key_elevation": _normal(-0.1, 0.15, -0.3, 0.4),
        "key_level": _log_normal(1.1, 0.3, 0.4, 2.4),
        "fill_azimuth": _uniform(-1.7, 1.7),
        "ambient_level": _log_normal(0.15, 0.7, 0.06, 1.0),
        "casting": _choice({1: 1.0}),
    },
    "skin": {
        "melanin_by_ancestry": [0.5, 0.22, 0.14],
        "melanin": _normal(0.0, 0.1, -0.25, 0.25),
        "haemoglobin": _normal(0.0, 0.02, -0.05, 0.05),
        "freckles": {"kind": "constant", "mean": 0.0},
    },
    "eyes": {"pupil": _uniform(0.35, 0.65)},
    "glasses": {"present": 0.35, "sun": 0.45},
    "hat": {"present": 0.22, "kind_men": _choice({0: 0.8, 1: 0.2}), "kind_women": _choice({0: 0.6, 1: 0.25, 3: 0.15})},
    "mask": {"present": 0.04},
    "hand": {"present": 0.08},
    "background": {"kind": _choice({0: 0.2, 1: 0.2, 3: 0.6}), "value": _log_normal(0.06, 0.8, 0.005, 0.5)},
    "film": {"monochrome": 1.0, "noise": _log_normal(2.5, 0.6, 0.5, 10.0), "vignette": _uniform(0.1, 0.5)},
}

# Above a screen that stands below eye level or on top of a laptop: close, wide, from slightly below, lit by the screen.
_WEBCAM: dict[str, Any] = {
    "head": {"contact": 0.4, "gaze_pitch": 9.0, "talk": 0.45},
    "camera": {
        "azimuth": _normal(0.0, 0.18, -0.6, 0.6),
        "elevation": _normal(-0.15, 0.1, -0.45, 0.15),
        "roll": _normal(0.0, 0.05, -0.2, 0.2),
        "field_of_view": _uniform(45.0, 70.0),
        "face_fraction": _uniform(0.2, 0.4),
        "shift_x": _normal(0.0, 0.06, -0.15, 0.15),
        "shift_y": _normal(0.03, 0.05, -0.1, 0.15),
    },
    "light": {
        "key_azimuth": _normal(0.0, 0.35, -1.0, 1.0),
        "key_elevation": _normal(0.0, 0.2, -0.3, 0.5),
        "key_level": _log_normal(0.6, 0.4, 0.15, 1.6),
        "key_kelvin": _normal(7000, 800, 5500, 9500),
        "fill_elevation": _normal(0.8, 0.3, 0.2, 1.2),
        "fill_kelvin": _normal(3600, 700, 2500, 5500),
        "ambient_level": _log_normal(0.25, 0.5, 0.06, 1.0),
        "ambient_kelvin": _normal(4300, 900, 3000, 7000),
    },
    "glasses": {"present": 0.35, "sun": 0.0},
    "hat": {"present": 0.03},
    "mask": {"present": 0.005},
    "scarf": {"present": 0.01},
    "background": {"kind": _choice({0: 0.2, 1: 0.1, 4: 0.7})},
    "film": {
        "monochrome": 0.0,
        "noise": _log_normal(2.6, 0.6, 0.5, 10.0),
        "jpeg": _choice({78: 0.3, 65: 0.4, 45: 0.25, 25: 0.05}),
    },
}

PRESETS: dict[str, Preset] = {
    "in-the-wild": Preset("what the defaults are: photographs of anyone, anywhere", {}),
    "frontal": Preset("a passport's view: straight ahead, calm, nothing in the way", _FRONTAL),
    "driver-camera": Preset(
        "from below the wheel, near infrared (film: {monochrome: 0} for colour), caps, sunglasses", _DRIVER
    ),
    "webcam": Preset("close and wide from slightly below eye height, by the light of a screen, indoors", _WEBCAM),
}
