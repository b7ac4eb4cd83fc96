# ruff: noqa: RUF009
# The helpers of `table` return dataclass fields, not values.
"""Factors of the picture: camera, light, background, film (see `table`).

Angles are radians in Python and degrees in YAML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from synthforge.core.keys import key
from synthforge.core.machine import need_file, need_folder

from ..light.environment import NAMES as ENVIRONMENTS
from .distributions import Distribution, choice, constant, log_normal, normal, uniform
from .table import cause, chance, factor

PANORAMAS = (".hdr", ".exr")
CONVERT = "Panoramas as .hdr or .exr are read; `magick room.tif room.hdr` converts others."
PICTURES = (".jpg", ".jpeg", ".png", ".webp")  # of a folder of backgrounds
BACKGROUNDS = ("plain", "noise", "blobs", "boxes", "room", "outdoor", "foliage", "bokeh", "crowd", "street", "car")
_TURN, _AROUND = math.pi, 2 * math.pi
_AHEAD = (
    "most people look at the camera: a choice; the paper's uniform 0.8 rad by "
    "`camera: {azimuth_degrees: {kind: uniform, low: -45.8, high: 45.8}}`"
)
_LEVEL = "within the paper's range of 0.8 rad; concentrated at the height of mouth and eyes: a choice"
_PAPER = "the paper's range (SynthForge, section 3.1)"
_PLACES = "kinds of surroundings in light/environment.py, about equally often: a choice"
_K: dict[str, Any] = {
    "low": 1000,
    "high": 20000,
    "unit": "K",
    "source": "photographers' tables: candle 1900 K, tungsten 2800 K, noon 5500 K, overcast 6500 K, blue sky above "
    "9000 K; the spread is a choice",
}
_SOFT = "a choice of ours: few renders noisier or softer than photographs cropped to 256 pixels are"
_CONTRAST = "a choice of ours: luma and saturation over a face spread as in photographs (studies/contrast.py)"
_JPEG = "libjpeg qualities that cameras (95) and web sites (65 to 88) use; the shares are a choice"


@dataclass
class CameraConfig:
    """Where the camera stands and how large the face is. Its distance follows from face_fraction and field_of_view."""

    SHARED: ClassVar[int] = 7
    azimuth: Distribution = factor(
        normal(0.0, 0.36, -1.5, 1.5),
        "Angle of the camera's orbit about the head, from the front towards the subject's left.",
        -_TURN,
        _TURN,
        "rad",
        source=_AHEAD,
    )
    elevation: Distribution = factor(
        normal(-0.03, 0.17, -0.8, 0.8),
        "Angle of the orbit above the head's horizontal plane.",
        -1.5,
        1.5,
        "rad",
        source=_LEVEL,
    )
    roll: Distribution = factor(
        normal(0.0, 0.09, -0.4, 0.4), "Turn of the camera about its axis.", -_TURN, _TURN, "rad"
    )
    field_of_view: Distribution = factor(
        uniform(12.0, 27.0), "Full angle that the picture covers.", 1, 120, "degrees", source=_PAPER
    )
    face_fraction: Distribution = factor(
        uniform(0.27, 0.48),
        "Distance from chin to brows as a fraction of the picture's height, seen from the front.",
        0.01,
        1.5,
    )
    shift_x: Distribution = factor(
        normal(0.0, 0.03, -0.08, 0.08), "Shift of the face to the side.", -1, 1, "image sizes"
    )
    shift_y: Distribution = factor(normal(0.0, 0.03, -0.08, 0.08), "Shift of the face upwards.", -1, 1, "image sizes")


@dataclass
class LightConfig:
    """A key light, up to two more, and light from everywhere. Azimuth 0 is behind the camera; level 1 exposes white."""

    SHARED: ClassVar[int] = 24
    count: Distribution = cause(choice({0: 0.12, 1: 0.38, 2: 0.33, 3: 0.17}), "Number of directional lights.", 0, 3)
    key_azimuth: Distribution = cause(
        normal(0.0, 0.75, -2.2, 2.2), "Where the first light stands, from the camera's side.", -_AROUND, _AROUND, "rad"
    )
    key_elevation: Distribution = cause(
        normal(0.55, 0.4, -0.3, 1.4), "How high the first light stands.", -1.6, 1.6, "rad"
    )
    key_level: Distribution = cause(
        log_normal(0.95, 0.5, 0.15, 2.4), "Irradiance of the first light at normal incidence.", 0, 100
    )
    key_kelvin: Distribution = cause(normal(5600, 1100, 2700, 9500), "Colour temperature of the first light.", **_K)
    fill_azimuth: Distribution = cause(
        uniform(-1.7, 1.7), "As key_azimuth, of the second light.", -_AROUND, _AROUND, "rad"
    )
    fill_elevation: Distribution = cause(
        normal(0.3, 0.4, -0.5, 1.2), "As key_elevation, of the second light.", -1.6, 1.6, "rad"
    )
    fill_level: Distribution = cause(log_normal(0.35, 0.5, 0.05, 1.2), "As key_level, of the second light.", 0, 100)
    fill_kelvin: Distribution = cause(normal(5800, 1500, 2500, 10500), "As key_kelvin, of the second light.", **_K)
    back_azimuth: Distribution = cause(
        uniform(2.0, 4.28), "As key_azimuth, of the third light.", -_AROUND, _AROUND, "rad"
    )
    back_elevation: Distribution = cause(
        normal(0.6, 0.4, 0.0, 1.3), "As key_elevation, of the third light.", -1.6, 1.6, "rad"
    )
    back_level: Distribution = cause(log_normal(0.5, 0.6, 0.1, 1.8), "As key_level, of the third light.", 0, 100)
    back_kelvin: Distribution = cause(normal(6000, 1500, 2500, 10500), "As key_kelvin, of the third light.", **_K)
    casting: Distribution = cause(
        choice({1: 0.75, 2: 0.25}),
        "Number of lights with sharp shadows; the others' are as soft as those of ambient light.",
        0,
        2,
    )
    softness: Distribution = factor(uniform(0.6, 2.2), "Blur of the sharp shadows.", 0, 10, "shadow-map texels")
    ambient_level: Distribution = cause(log_normal(0.3, 0.5, 0.06, 1.0), "Mean light from everywhere.", 0, 100)
    ambient_kelvin: Distribution = cause(
        normal(6200, 1200, 3000, 10500), "Colour temperature of the light from everywhere.", **_K
    )
    ambient_sky: Distribution = factor(
        normal(0.35, 0.3, -0.4, 0.9), "How much brighter the sky is than the ground, relative to the mean.", -1, 1
    )
    ambient_side: Distribution = factor(
        uniform(0.0, 0.55), "How much brighter one side is than the other, relative to the mean.", 0, 1
    )
    ambient_turn: Distribution = factor(uniform(-3.1415926, 3.1415926), "Which side that is.", -_AROUND, _AROUND, "rad")
    occlusion: Distribution = factor(
        uniform(0.65, 1.0), "How much folds and hollows keep light from everywhere out.", look="occlusion"
    )
    environment: Distribution = cause(
        choice({0.0: 0.16} | dict.fromkeys(map(float, range(1, len(ENVIRONMENTS))), 0.06)),
        "Surroundings that shed light; `gradient` is the sky and sides above alone.",
        choices=tuple(ENVIRONMENTS),
        source=_PLACES,
    )
    environment_share: Distribution = cause(
        uniform(0.5, 1.0), "Share of the surroundings in the light from everywhere."
    )
    environment_gain: Distribution = cause(
        log_normal(1.5, 0.4, 0.5, 3.5), "How much stronger the surroundings are than the gradient.", 0, 100
    )


@dataclass
class NearLightConfig:
    """A light so close to the face that it falls off over it, beside those of `light`.

    Its place counts from the middle of the face. It casts sharp shadows as the first of the others does, and takes the
    place of a third one.
    """

    SHARED: ClassVar[int] = 6
    present: float = chance(0.05, "Chance of a near light.", "near_light.present")
    x: Distribution = factor(
        normal(0.0, 0.35, -1.0, 1.0), "How far it stands to the right of the camera's picture.", -20, 20, "m"
    )
    y: Distribution = factor(normal(-0.05, 0.3, -0.7, 0.6), "How far it stands above the face.", -20, 20, "m")
    z: Distribution = factor(
        uniform(0.25, 0.8), "How far it stands in front of the face, towards the camera.", 0.15, 20, "m"
    )
    size: Distribution = factor(log_normal(0.06, 0.8, 0.005, 0.25), "Its radius.", 0, 2, "m")
    level: Distribution = cause(
        log_normal(0.9, 0.5, 0.2, 3.0), "Irradiance at the face; it falls by the square of the distance.", 0, 100
    )
    kelvin: Distribution = cause(
        choice({1900: 0.12, 2700: 0.33, 4000: 0.15, 5500: 0.15, 7000: 0.25}), "Colour temperature of its light.", **_K
    )


@dataclass
class BackgroundConfig:
    """What lies behind the head."""

    SHARED: ClassVar[int] = 9
    folder: str = key("", "Folder of pictures of your own (JPEG, PNG, WebP) to use instead; empty for none.")
    folder_share: float = key(1.0, "Share of all images with a picture of the folder.", low=0, high=1)
    hdri: str = key(
        "", "A panorama (.hdr, .exr) of your own, or a folder of them: background and light; empty for none."
    )
    hdri_share: float = key(1.0, "Share of all images in a panorama.", low=0, high=1)
    kind: Distribution = cause(
        choice({0: 0.17, 1: 0.04, 2: 0.03, 3: 0.03, 4: 0.23, 5: 0.12, 6: 0.09, 7: 0.08, 8: 0.09, 9: 0.12}),
        "Kind of background.",
        choices=BACKGROUNDS,
    )
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the first colour.")
    saturation: Distribution = cause(log_normal(0.16, 0.8, 0.0, 0.9), "Saturation of both colours.")
    value: Distribution = cause(log_normal(0.18, 1.0, 0.005, 0.9), "Brightness of the first colour.", 0, 10)
    spread: Distribution = cause(uniform(0.1, 1.0), "How far the second colour lies from the first.")
    clutter: Distribution = cause(uniform(2.0, 8.0), "Number of shapes, before a kind's own share.", 0, 24)
    blur: Distribution = cause(log_normal(0.035, 0.8, 0.004, 0.2), "Blur of the shapes' edges.", 0, 1, "image sizes")
    texture: Distribution = cause(uniform(0.0, 0.2), "Strength of the fine pattern.", 0, 2, look="back_texture")
    texture_scale: Distribution = cause(
        log_normal(1.0, 0.8, 0.2, 8.0), "Size of the fine pattern, relative.", 0.01, 100
    )

    def __post_init__(self) -> None:
        if self.folder_share != 1 and not self.folder:
            raise ValueError(f"folder_share: {self.folder_share:g} of the images would show a folder; name it (folder)")
        if self.hdri_share != 1 and not self.hdri:
            raise ValueError(f"hdri_share: {self.hdri_share:g} of the images would show a panorama; name it (hdri)")
        if self.folder and self.hdri:
            raise ValueError("hdri: what lies behind the heads is already a picture of `folder`; leave one of them out")

    def check(self) -> None:
        """Raise ConfigError for a folder that is not there, or has no pictures."""
        if self.folder:
            need_folder("folder", self.folder, PICTURES)
        if self.hdri:
            need_file("hdri", self.hdri, PANORAMAS, CONVERT)


@dataclass
class FilmConfig:
    """From light to bytes. Lengths are in pixels of a 256-pixel picture."""

    SHARED: ClassVar[int] = 19
    adaptation: Distribution = factor(
        uniform(0.4, 1.0), "How far the white balance follows the colour of the light.", 0, 2
    )
    exposure: Distribution = factor(
        normal(-0.3, 0.5, -2.0, 1.0),
        "Exposure beyond what an automatic camera would choose.",
        -8,
        8,
        "stops",
        source=_CONTRAST,
    )
    contrast: Distribution = factor(uniform(1.15, 2.1), "Slope of the tone curve.", 0.1, 5, source=_CONTRAST)
    warmth: Distribution = factor(normal(0.0, 0.08, -0.25, 0.3), "Error of the white balance towards red.", -2, 2)
    saturation: Distribution = factor(
        normal(0.85, 0.16, 0.4, 1.3), "Saturation: 1 keeps colours, 0 is grey.", 0, 5, source=_CONTRAST
    )
    monochrome: float = chance(0.06, "Chance of a grey picture.", "film.monochrome")
    blur: Distribution = factor(
        choice({-0.7: 0.15, -0.4: 0.25, 0.0: 0.4, 0.4: 0.12, 0.8: 0.08}),
        "Blend with the mean of 3 x 3 pixels; negative is a camera's sharpening.",
        -3,
        1,
        source=_SOFT,
    )
    noise: Distribution = factor(
        log_normal(0.8, 0.75, 0.0, 5.0), "Standard deviation of noise at mid grey.", 0, 100, "8-bit steps", source=_SOFT
    )
    vignette: Distribution = factor(uniform(0.0, 0.3), "Loss of light at the corners.", look="vignette")
    shoulder: Distribution = factor(
        choice({1.0: 0.5, 0.6: 0.25, 0.0: 0.25}), "Highlights: 1 rolls them off as film does, 0 clips them."
    )
    tint: Distribution = factor(normal(0.0, 0.035, -0.1, 0.1), "Cast: green above 0, magenta below.", -2, 2)
    noise_floor: Distribution = factor(
        uniform(0.005, 0.1), "Share of the noise's variance that does not grow with light."
    )
    grain: Distribution = factor(
        choice({0: 0.2, 1: 0.4, 2: 0.4}), "Texture of the noise.", choices=("white", "demosaiced", "scaled")
    )
    motion: Distribution = factor(
        choice({0.0: 0.93, 3.0: 0.04, 5.0: 0.02, 8.0: 0.01}),
        "Length of the camera's path during exposure.",
        0,
        64,
        "px of 256",
        source=_SOFT,
    )
    motion_turn: Distribution = factor(uniform(0.0, 3.1415926), "Direction of that path.", -_AROUND, _AROUND, "rad")
    defocus: Distribution = factor(
        choice({0.0: 0.9, 0.6: 0.06, 1.2: 0.03, 2.1: 0.01}),
        "Radius of the blur of missed focus.",
        0,
        32,
        "px of 256",
        source=_SOFT,
    )
    scale: Distribution = factor(
        choice({1.0: 0.76, 1.5: 0.1, 2.0: 0.09, 3.0: 0.04, 4.0: 0.01}),
        "How many times smaller the picture once was.",
        1,
        32,
        source=_SOFT,
    )
    box: Distribution = factor(choice({0: 0.5, 1: 0.5}), "How it was scaled.", choices=("bicubic", "averages"))
    jpeg: Distribution = factor(
        choice({0: 0.4, 95: 0.12, 88: 0.16, 78: 0.14, 65: 0.1, 45: 0.07, 30: 0.01}),
        "Quality of JPEG, in libjpeg's scale, that it was stored with at that size; 0 for never.",
        0,
        100,
        source=_JPEG,
    )
    chroma: Distribution = factor(
        choice({0: 0.3, 1: 0.7}), "Resolution of colour in the JPEG.", choices=("full", "half")
    )
    clipped: Distribution = factor(
        constant(0.05),
        "Most of a face that may be over- or under-exposed; exposure, then contrast give way. 1 allows everything.",
        0.002,
        1,
        source="a choice of ours: of photographs of CelebAMask-HQ 94 % stay within 5 % (studies/exposure.py)",
    )
