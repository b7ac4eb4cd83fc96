# ruff: noqa: RUF009
# The helpers of `distributions` return dataclass fields, not values.
"""The generator's configuration: every factor of a picture as a named distribution. No heavy imports here.

Lengths are in millimetres and angles in radians unless a name says otherwise; fractions are in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..light.environment import NAMES as ENVIRONMENT_NAMES
from .distributions import Distribution, choice, constant, log_normal, normal, uniform
from .worn import (
    BorderConfig,
    HandConfig,
    HatConfig,
    JewelleryConfig,
    MaskConfig,
    OccluderConfig,
    ScarfConfig,
)

HAIR_STYLES = ("bald", "buzz", "short", "full", "long", "tied", "afro", "curly", "bob", "ponytail")
BEARD_STYLES = ("none", "stubble", "full", "goatee", "moustache")
BACKGROUNDS = ("plain", "noise", "blobs", "boxes", "room", "outdoor", "foliage", "bokeh", "crowd", "street")


@dataclass
class CameraConfig:
    """Where the camera stands and how large the face is.

    azimuth, elevation: of an orbit about the head (`geometry.cameras.orbit_camera`), dense about the front as
    photographs are. roll: of the camera. field_of_view: full, degrees (the paper's range). face_fraction: distance from
    the chin to the middle of the brows, as a fraction of the image's height if seen from the front; the camera's
    distance follows from it and the field of view. shift_x, shift_y: of the face's centre from the image's, in image
    sizes.
    """

    azimuth: Distribution = normal(0.0, 0.36, -1.5, 1.5)
    elevation: Distribution = normal(-0.03, 0.17, -0.8, 0.8)
    roll: Distribution = normal(0.0, 0.09, -0.4, 0.4)
    field_of_view: Distribution = uniform(12.0, 27.0)
    face_fraction: Distribution = uniform(0.27, 0.48)
    shift_x: Distribution = normal(0.0, 0.03, -0.08, 0.08)
    shift_y: Distribution = normal(0.0, 0.03, -0.08, 0.08)


@dataclass
class LightConfig:
    """A key light, up to two more, and light from everywhere.

    count: how many directional lights; key_*: azimuth about the vertical from the camera's side (0 is behind the
    camera) and elevation; fill_*, back_*: of the second and third. *_level: irradiance at normal incidence, 1 exposes
    white fully. *_kelvin: colour temperature. casting: how many of the lights cast sharp shadows (at most 2); those of
    the others are as soft as the occlusion of ambient light. softness: blur of the shadows, in shadow-map texels.
    ambient_*: mean level, colour temperature, difference between sky and ground, between two sides, and which sides.
    occlusion: how much folds and hollows keep ambient light out. environment: index into `environment.NAMES`: 0 is the
    gradient above alone, others are surroundings as lobes of coloured light, mixed with it in the share
    environment_share and turned by ambient_turn; environment_gain: how much stronger than the gradient they are.
    """

    count: Distribution = choice({0: 0.12, 1: 0.38, 2: 0.33, 3: 0.17})
    key_azimuth: Distribution = normal(0.0, 0.75, -2.2, 2.2)
    key_elevation: Distribution = normal(0.55, 0.4, -0.3, 1.4)
    key_level: Distribution = log_normal(0.95, 0.5, 0.15, 2.4)
    key_kelvin: Distribution = normal(5600, 1100, 2700, 9500)
    fill_azimuth: Distribution = uniform(-1.7, 1.7)
    fill_elevation: Distribution = normal(0.3, 0.4, -0.5, 1.2)
    fill_level: Distribution = log_normal(0.35, 0.5, 0.05, 1.2)
    fill_kelvin: Distribution = normal(5800, 1500, 2500, 10500)
    back_azimuth: Distribution = uniform(2.0, 4.28)
    back_elevation: Distribution = normal(0.6, 0.4, 0.0, 1.3)
    back_level: Distribution = log_normal(0.5, 0.6, 0.1, 1.8)
    back_kelvin: Distribution = normal(6000, 1500, 2500, 10500)
    casting: Distribution = choice({1: 0.75, 2: 0.25})
    softness: Distribution = uniform(0.6, 2.2)
    ambient_level: Distribution = log_normal(0.3, 0.5, 0.06, 1.0)
    ambient_kelvin: Distribution = normal(6200, 1200, 3000, 10500)
    ambient_sky: Distribution = normal(0.35, 0.3, -0.4, 0.9)
    ambient_side: Distribution = uniform(0.0, 0.55)
    ambient_turn: Distribution = uniform(-3.1415926, 3.1415926)
    occlusion: Distribution = uniform(0.65, 1.0)
    environment: Distribution = choice({0.0: 0.16} | dict.fromkeys(map(float, range(1, len(ENVIRONMENT_NAMES))), 0.06))
    environment_share: Distribution = uniform(0.5, 1.0)
    environment_gain: Distribution = log_normal(1.5, 0.4, 0.5, 3.5)


@dataclass
class SkinConfig:
    """Skin as absorption by melanin and haemoglobin over a scattering base (see `palette.skin_tone`).

    melanin: added to what ancestry suggests (`melanin_by_ancestry`: african, asian, caucasian). haemoglobin: likewise
    about 0. hue, shade: free variation of chroma and brightness. mottle, grain, freckles: strength of fine patterns.
    blush: redness of cheeks, nose and ears. sockets: darkness around the eyes. sebum: strength of highlights;
    roughness: their width. scatter: how far light wraps past the terminator. lip_*: redness, darkness and gloss of the
    lips; lip_edge: sharpness. relief: depth of fine bumps. ageing: how much the relief grows with age.
    forehead, folds, crow, bags: depth of lines on the forehead, from nose to mouth and chin, about the eyes, and
    darkness under them; a tenth to a third of it in the young, all of it times `wrinkled` in the old. moles: chance of
    one in each square of 12 mm; pores: fine grain of colour and gloss. eyeshadow, rouge: make-up of women, and its hue.
    """

    melanin_by_ancestry: list[float] = field(default_factory=lambda: [1.45, 0.5, 0.26])
    melanin: Distribution = normal(0.0, 0.24, -0.6, 0.7)
    haemoglobin: Distribution = normal(0.06, 0.07, -0.08, 0.28)
    hue: Distribution = normal(0.0, 0.04, -0.1, 0.1)
    shade: Distribution = normal(0.0, 0.1, -0.3, 0.25)
    mottle: Distribution = uniform(0.02, 0.08)
    grain: Distribution = uniform(0.0, 0.03)
    freckles: Distribution = choice({0.0: 0.8, 0.2: 0.1, 0.45: 0.07, 0.8: 0.03})
    blush: Distribution = uniform(0.0, 0.16)
    sockets: Distribution = uniform(0.0, 0.45)
    sebum: Distribution = uniform(0.2, 1.5)
    roughness: Distribution = uniform(0.25, 0.55)
    scatter: Distribution = uniform(0.15, 0.45)
    lip_red: Distribution = normal(0.3, 0.16, 0.05, 0.9)
    lip_dark: Distribution = uniform(0.0, 0.35)
    lip_gloss: Distribution = uniform(0.0, 0.6)
    lipstick: Distribution = choice({0.0: 0.7, 0.5: 0.15, 0.9: 0.15})
    relief: Distribution = uniform(0.0, 0.06)
    ageing: Distribution = uniform(0.0, 0.08)
    forehead: Distribution = uniform(0.0, 0.26)
    folds: Distribution = uniform(0.04, 0.3)
    crow: Distribution = uniform(0.0, 0.2)
    bags: Distribution = uniform(0.0, 0.28)
    wrinkled: Distribution = uniform(0.4, 1.3)
    moles: Distribution = choice({0.0: 0.45, 0.02: 0.35, 0.06: 0.2})
    pores: Distribution = choice({0.0: 0.6, 0.03: 0.25, 0.07: 0.15})
    eyeshadow: Distribution = choice({0.0: 0.55, 0.3: 0.25, 0.6: 0.15, 0.9: 0.05})
    eyeshadow_hue: Distribution = choice({0.06: 0.5, 0.9: 0.15, 0.6: 0.15, 0.75: 0.1, 0.4: 0.1})
    rouge: Distribution = choice({0.0: 0.55, 0.12: 0.3, 0.28: 0.15})


@dataclass
class EyesConfig:
    """iris: index into `palette.IRIS` ; iris_shade: its brightness. iris_radius: mm (11.7 mm is the mean diameter).
    pupil: radius as a fraction of the iris's. sclera: brightness; veins: redness. lid_shadow: darkness under the upper
    lid. gloss: of the tear film. lashes: density; liner: painted darkness of the lid's rim."""

    iris: Distribution = choice({0: 0.42, 1: 0.24, 2: 0.1, 3: 0.12, 4: 0.07, 5: 0.05})
    iris_shade: Distribution = log_normal(0.65, 0.3, 0.3, 1.5)
    iris_radius: Distribution = normal(5.95, 0.22, 5.4, 6.5)
    pupil: Distribution = uniform(0.25, 0.52)
    sclera: Distribution = uniform(0.32, 0.55)
    veins: Distribution = uniform(0.0, 0.35)
    lid_shadow: Distribution = uniform(0.35, 0.9)
    gloss: Distribution = uniform(0.4, 1.6)
    lashes: Distribution = uniform(0.25, 1.0)
    liner: Distribution = uniform(0.0, 0.9)


@dataclass
class BrowsConfig:
    """thickness: of the painted band relative to the head's brow band; density, shade: opacity and brightness relative
    to the hair; taper: how much the outer end thins; strands: share of visible hair strokes; edge: softness; arch: how
    much the outer half is raised over the inner, half-thicknesses (negative: flat). men: how much thicker men's are."""

    thickness: Distribution = normal(1.02, 0.24, 0.5, 1.7)
    density: Distribution = normal(0.8, 0.15, 0.3, 1.0)
    shade: Distribution = uniform(0.5, 1.2)
    taper: Distribution = uniform(0.35, 0.85)
    strands: Distribution = uniform(0.1, 0.6)
    edge: Distribution = uniform(0.35, 1.0)
    arch: Distribution = normal(0.1, 0.25, -0.4, 0.6)
    men: float = 0.2


@dataclass
class HairConfig:
    """Head hair. style_*: index into HAIR_STYLES for men and women; colour: index into `palette.HAIR`.

    grey: extra greying beyond that of age. thickness: of the hair above the skin; lumps: relief of its surface and
    lump_size its wavelength; length: of long hair below the ears, mm. hairline: shift upwards at the forehead, recess:
    extra at the temples. fringe: chance of hair over the forehead and fringe_length, mm, how far it comes down.
    parting: where the fringe opens, in radians of azimuth. ragged: mm by which strands end unevenly. contrast: between
    strands; gloss: highlights; tips: how much brighter the ends are. density:
    opacity of the roots on the scalp. wave: curl of the strands. cover_ears: long hair falls over the ears below 0.6,
    else behind them.
    """

    style_men: Distribution = choice({0: 0.06, 1: 0.1, 2: 0.5, 3: 0.16, 4: 0.06, 5: 0.02, 6: 0.02, 7: 0.08})
    style_women: Distribution = choice(
        {0: 0.01, 1: 0.01, 2: 0.08, 3: 0.12, 4: 0.42, 5: 0.08, 6: 0.03, 7: 0.08, 8: 0.13, 9: 0.04}
    )
    colour: Distribution = uniform(0.0, 1.0)
    shade: Distribution = log_normal(1.0, 0.25, 0.5, 1.9)
    grey: Distribution = normal(0.0, 0.2, -0.4, 0.5)
    thickness: Distribution = uniform(0.1, 1.0)
    lumps: Distribution = uniform(0.1, 1.0)
    length: Distribution = uniform(20.0, 260.0)
    hairline: Distribution = normal(-6.0, 6.0, -20.0, 12.0)
    recess: Distribution = uniform(0.0, 0.8)
    fringe: Distribution = uniform(0.0, 1.0)
    fringe_length: Distribution = uniform(10.0, 66.0)
    parting: Distribution = normal(0.0, 0.5, -1.0, 1.0)
    ragged: Distribution = uniform(3.0, 22.0)
    contrast: Distribution = uniform(0.15, 0.6)
    gloss: Distribution = uniform(0.05, 0.5)
    density: Distribution = uniform(0.75, 1.0)
    wave: Distribution = uniform(0.0, 1.0)
    cover_ears: Distribution = uniform(0.0, 1.0)
    tips: Distribution = choice({0.0: 0.6, 0.25: 0.25, 0.7: 0.15})


@dataclass
class BeardConfig:
    """style: index into BEARD_STYLES, drawn for adult men only; density: opacity; reach: how far up the cheeks, mm;
    patchiness: share of gaps; shade: brightness relative to the hair; length: mm of the hair of full beards (goatees
    and moustaches are kept shorter, see `look`; stubble has none)."""

    style: Distribution = choice({0: 0.46, 1: 0.24, 2: 0.14, 3: 0.08, 4: 0.08})
    density: Distribution = uniform(0.6, 1.0)
    reach: Distribution = normal(0.0, 5.0, -10.0, 12.0)
    patchiness: Distribution = uniform(0.2, 0.8)
    shade: Distribution = uniform(0.6, 1.2)
    length: Distribution = log_normal(9.0, 0.8, 2.5, 75.0)


@dataclass
class ClothesConfig:
    """neckline: mm above the collar bones; vee: depth of a v-shaped opening; colour as hue, saturation, value; pattern:
    strength of a weave or print and its scale."""

    neckline: Distribution = normal(0.0, 18.0, -60.0, 40.0)
    vee: Distribution = choice({0.0: 0.5, 0.4: 0.2, 1.0: 0.2, 1.8: 0.1})
    hue: Distribution = uniform(0.0, 1.0)
    saturation: Distribution = log_normal(0.25, 0.8, 0.0, 0.9)
    value: Distribution = uniform(0.02, 0.85)
    pattern: Distribution = uniform(0.0, 0.35)
    pattern_scale: Distribution = log_normal(1.0, 0.7, 0.2, 6.0)


@dataclass
class GlassesConfig:
    """present: chance; sun: chance that the lenses are dark. width, height: half of a lens, mm; roundness: 0 box, 1
    ellipse; rim: thickness, mm; drop: how far below the eyes, mm; value, hue: colour of the frame; tint: opacity of
    dark lenses."""

    present: float = 0.22
    sun: float = 0.25
    width: Distribution = normal(25.0, 2.5, 20.0, 32.0)
    height: Distribution = normal(18.5, 3.0, 12.0, 27.0)
    roundness: Distribution = uniform(0.15, 1.0)
    rim: Distribution = log_normal(2.5, 0.5, 0.8, 6.0)
    drop: Distribution = normal(2.0, 1.5, -2.0, 6.0)
    value: Distribution = log_normal(0.05, 1.0, 0.01, 0.7)
    hue: Distribution = uniform(0.0, 1.0)
    tint: Distribution = uniform(0.7, 0.97)


@dataclass
class BackgroundConfig:
    """kind: index into BACKGROUNDS; two base colours as hue, saturation, value; clutter: number of shapes; blur: of
    their edges, as a fraction of the image; texture: strength of the fine pattern and its scale. folder: pictures of
    your own (JPEG, PNG, WebP) instead, in the share folder_share of all images; each record names its picture."""

    folder: str = ""
    folder_share: float = 1.0
    kind: Distribution = choice({0: 0.18, 1: 0.05, 2: 0.04, 3: 0.05, 4: 0.2, 5: 0.09, 6: 0.1, 7: 0.09, 8: 0.1, 9: 0.1})
    hue: Distribution = uniform(0.0, 1.0)
    saturation: Distribution = log_normal(0.16, 0.8, 0.0, 0.9)
    value: Distribution = log_normal(0.18, 1.0, 0.005, 0.9)
    spread: Distribution = uniform(0.1, 1.0)
    clutter: Distribution = uniform(2.0, 8.0)
    blur: Distribution = log_normal(0.035, 0.8, 0.004, 0.2)
    texture: Distribution = uniform(0.0, 0.2)
    texture_scale: Distribution = log_normal(1.0, 0.8, 0.2, 8.0)


@dataclass
class FilmConfig:
    """From light to bytes. adaptation: how far the white balance follows the colour of the light; warmth: its error.
    exposure: stops from what an automatic camera would choose; contrast: slope of the tone curve; shoulder: 1 rolls
    highlights off as film does, 0 clips them. tint: green (positive) or magenta cast. saturation: 1 keeps colours;
    monochrome: chance of a grey picture. blur: blend with the 3 x 3 neighbourhood; negative: a camera's sharpening.
    noise: standard deviation at mid grey, 8-bit steps; noise_floor: share of its variance that does not grow with
    light; grain: 0 white, 1 as demosaicing, 2 as scaling leaves it. vignette: fall-off at the corners. motion: length
    of the camera's path during exposure, and defocus: radius of the blur, pixels of a 256-pixel picture; motion_turn:
    its direction. scale: how many times smaller the picture once was; box: scaled by averages and bilinear, else
    bicubic. jpeg: quality (libjpeg's scale) it was stored with at that size, 0 for never; chroma: 1 if with half the
    colour resolution, as most cameras and sites do.
    """

    adaptation: Distribution = uniform(0.4, 1.0)
    exposure: Distribution = normal(-0.3, 0.5, -2.0, 1.0)
    contrast: Distribution = uniform(1.15, 2.1)
    warmth: Distribution = normal(0.0, 0.08, -0.25, 0.3)
    saturation: Distribution = normal(0.85, 0.16, 0.4, 1.3)
    monochrome: float = 0.06
    blur: Distribution = choice({-0.7: 0.15, -0.4: 0.25, 0.0: 0.4, 0.4: 0.12, 0.8: 0.08})
    noise: Distribution = log_normal(0.8, 0.75, 0.0, 5.0)
    vignette: Distribution = uniform(0.0, 0.3)
    shoulder: Distribution = choice({1.0: 0.5, 0.6: 0.25, 0.0: 0.25})
    tint: Distribution = normal(0.0, 0.035, -0.1, 0.1)
    noise_floor: Distribution = uniform(0.005, 0.1)
    grain: Distribution = choice({0: 0.2, 1: 0.4, 2: 0.4})
    motion: Distribution = choice({0.0: 0.93, 3.0: 0.04, 5.0: 0.02, 8.0: 0.01})
    motion_turn: Distribution = uniform(0.0, 3.1415926)
    defocus: Distribution = choice({0.0: 0.9, 0.6: 0.06, 1.2: 0.03, 2.1: 0.01})
    scale: Distribution = choice({1.0: 0.76, 1.5: 0.1, 2.0: 0.09, 3.0: 0.04, 4.0: 0.01})
    box: Distribution = choice({0: 0.5, 1: 0.5})
    jpeg: Distribution = choice({0: 0.4, 95: 0.12, 88: 0.16, 78: 0.14, 65: 0.1, 45: 0.07, 30: 0.01})
    chroma: Distribution = choice({0: 0.3, 1: 0.7})


@dataclass
class AnnyConfig:
    """Everything the generator `anny` can be told.

    batch_size: heads evaluated at once; short batches are padded to it, because matrix products of different sizes
    differ in their last bits. device: `cpu`, `cuda` or `auto` (cuda if there is one). head: keys of
    `synthforge.heads.anny.sampling.AnnyDistribution` that differ from its defaults. Other groups: one distribution per
    factor.
    """

    batch_size: int = 16
    device: str = "cpu"
    head: dict[str, float] = field(default_factory=dict)
    camera: CameraConfig = field(default_factory=CameraConfig)
    light: LightConfig = field(default_factory=LightConfig)
    skin: SkinConfig = field(default_factory=SkinConfig)
    eyes: EyesConfig = field(default_factory=EyesConfig)
    brows: BrowsConfig = field(default_factory=BrowsConfig)
    hair: HairConfig = field(default_factory=HairConfig)
    beard: BeardConfig = field(default_factory=BeardConfig)
    clothes: ClothesConfig = field(default_factory=ClothesConfig)
    glasses: GlassesConfig = field(default_factory=GlassesConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    film: FilmConfig = field(default_factory=FilmConfig)
    hat: HatConfig = field(default_factory=HatConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    scarf: ScarfConfig = field(default_factory=ScarfConfig)
    hand: HandConfig = field(default_factory=HandConfig)
    occluder: OccluderConfig = field(default_factory=OccluderConfig)
    jewellery: JewelleryConfig = field(default_factory=JewelleryConfig)
    border: BorderConfig = field(default_factory=BorderConfig)


__all__ = ["BACKGROUNDS", "BEARD_STYLES", "HAIR_STYLES", "AnnyConfig", "Distribution", "constant"]
