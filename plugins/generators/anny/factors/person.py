# ruff: noqa: RUF009
# The helpers of `table` return dataclass fields, not values.
"""Factors of the person: who it is, skin, eyes, brows, hair, beard, clothes, glasses (see `table`).

Lengths are in millimetres; angles are radians in Python and degrees in YAML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from synthforge.core.keys import key

from ....heads.anny.expressions import ACTIONS, OTHER
from .distributions import Distribution, choice, log_normal, normal, uniform
from .table import OURS, cause, chance, factor

HAIR_STYLES = ("bald", "buzz", "short", "full", "long", "tied", "afro", "curly", "bob", "ponytail")
BEARD_STYLES = ("none", "stubble", "full", "goatee", "moustache")
IRISES = ("dark brown", "brown", "hazel", "blue", "grey", "green")
_PIGMENT = "absorption after Jacques 2013 (light/palette.py); the range is a choice"
_PUPILS = "3 to 6 mm of diameter, as in indoor to outdoor light (Watson & Yellott 2012); evenly: a choice"
_IRIS = "white-to-white diameter 11.7 mm, standard deviation 0.4 mm (Ruefer et al. 2005)"
_SHINE = "around what Weyrich et al. 2006 fit to facial skin; the range is a choice"
_LINE = "about 65 mm above the nasion (Farkas 1994: 67 in men, 63 in women); the spread is a choice"
_FRAMES = "lenses of common frames are 40 to 60 mm wide; the shape is a choice"
_WORN = "a choice of ours: fewer than wear them, more than are photographed with them"
_COMMON = "more brown than light ones, as worldwide; the shares are a choice"
_COLOURS = "cumulative shares: mostly black and brown, 1 to 4 % red, as worldwide; a choice"

GENDERS = ("man", "woman")
ANCESTRIES = ("african", "asian", "caucasian")
AGES, AGE_EDGES = ("baby", "child", "teenager", "young", "middle-aged", "old"), (1.0, 3.0, 13.0, 20.0, 40.0, 60.0, 90.0)
SKINS = ("very light", "light", "intermediate", "tan", "brown", "dark")
SKIN_EDGES = (0.02, 0.25, 0.48, 0.66, 0.89, 1.49, 2.2)  # where `light.palette.skin_tone` crosses the classes' angles
EXPRESSIONS = (*ACTIONS, OTHER)
_YEARS = "MakeHuman's years of anny's sliders: baby 1, child 10, young 25, old 90, linear in between"
_TONES = "classes by individual typology angle: 55, 41, 28, 10 and -30 degrees (Chardon et al. 1991)"
_SHARES = "where it is left out: a symmetric Dirichlet distribution, `head.ancestry_concentration`"


@dataclass
class PersonConfig:
    """Who is seen, in words. What is left out is as `head`, `skin` and `camera` have it."""

    SHARED: ClassVar[int] = 0
    gender: Distribution | None = cause(None, "Man or woman.", choices=GENDERS)
    age: Distribution | None = cause(
        None, "Age; replaces `head`'s ages.", unit="years", choices=AGES, edges=AGE_EDGES, source=_YEARS
    )
    ancestry: Distribution | None = cause(
        None, "The largest of the three shares of ancestry.", choices=ANCESTRIES, source=_SHARES
    )
    skin: Distribution | None = cause(
        None,
        "Melanin, whatever the ancestry; replaces what `skin` draws.",
        unit="units of melanin",
        choices=SKINS,
        edges=SKIN_EDGES,
        source=_TONES,
    )
    expression: Distribution | None = cause(
        None, "Expression by its name, but for shut eyes; other is what `head` draws.", choices=EXPRESSIONS
    )
    yaw: Distribution | None = cause(
        None,
        "Turn of the face against the camera, the neck's included; positive shows more of the subject's left side.",
        -math.pi,
        math.pi,
        "rad",
    )
    pitch: Distribution | None = cause(
        None, "How far from above the camera sees the face, the neck's turn included.", -1.5, 1.5, "rad"
    )


@dataclass
class SkinConfig:
    """Skin as absorption by melanin and haemoglobin over a scattering base (see `light.palette.skin_tone`)."""

    SHARED: ClassVar[int] = 28
    melanin_by_ancestry: list[float] = key(
        [1.45, 0.5, 0.26],
        "Melanin that ancestry suggests: african, asian, caucasian.",
        low=0,
        high=3,
        length=3,
        source=OURS,
    )
    melanin: Distribution = cause(
        normal(0.0, 0.24, -0.6, 0.7), "Added to the melanin that ancestry suggests.", -3, 3, source=_PIGMENT
    )
    haemoglobin: Distribution = cause(
        normal(0.06, 0.07, -0.08, 0.28), "Blood in the skin, relative to a pale one's.", -1, 2, source=_PIGMENT
    )
    hue: Distribution = cause(normal(0.0, 0.04, -0.1, 0.1), "Logarithm by which red is raised and blue lowered.", -1, 1)
    shade: Distribution = cause(normal(0.0, 0.1, -0.3, 0.25), "Logarithm of extra brightness.", -2, 2)
    mottle: Distribution = factor(uniform(0.02, 0.08), "Strength of blotches.", look="mottle")
    grain: Distribution = factor(uniform(0.0, 0.03), "Strength of fine patterns.", look="grain")
    freckles: Distribution = factor(
        choice({0.0: 0.8, 0.2: 0.1, 0.45: 0.07, 0.8: 0.03}), "Strength of freckles.", look="freckles"
    )
    blush: Distribution = factor(uniform(0.0, 0.16), "Redness of cheeks, nose and ears.", look="blush")
    sockets: Distribution = factor(uniform(0.0, 0.45), "Darkness around the eyes.", look="sockets")
    sebum: Distribution = factor(uniform(0.2, 1.5), "Strength of highlights.", 0, 10, look="sebum")
    roughness: Distribution = factor(
        uniform(0.25, 0.55), "Width of highlights.", 0.05, 1, source=_SHINE, look="roughness"
    )
    scatter: Distribution = factor(uniform(0.15, 0.45), "How far light wraps past the terminator.", look="scatter")
    lip_red: Distribution = cause(normal(0.45, 0.2, 0.05, 1.0), "Redness of the lips.")
    lip_dark: Distribution = cause(uniform(0.0, 0.45), "Darkness of the lips.")
    lip_gloss: Distribution = factor(uniform(0.0, 1.6), "Gloss of the lips beyond the skin's.", 0, 10, look="lip_gloss")
    lipstick: Distribution = cause(choice({0.0: 0.7, 0.5: 0.15, 0.9: 0.15}), "Opacity of lipstick, on grown women.")
    relief: Distribution = cause(uniform(0.0, 0.06), "Depth of fine bumps.", look="relief")
    ageing: Distribution = cause(uniform(0.0, 0.08), "Depth of bumps that the oldest have in addition.")
    forehead: Distribution = cause(
        uniform(0.0, 0.26), "Depth of the lines of the forehead in the old.", look="forehead"
    )
    folds: Distribution = cause(
        uniform(0.04, 0.4), "Depth of the lines from nose to mouth and chin in the old.", look="folds"
    )
    crow: Distribution = cause(uniform(0.0, 0.35), "Depth of the lines about the eyes in the old.", look="crow")
    bags: Distribution = cause(uniform(0.0, 0.6), "Darkness under the eyes in the old.", look="bags")
    wrinkled: Distribution = cause(
        uniform(0.4, 1.3), "How much of these lines the oldest have at rest; the young have none.", 0, 5
    )
    moles: Distribution = factor(
        choice({0.0: 0.45, 0.02: 0.35, 0.06: 0.2}), "Chance of a mole in each square of 12 mm.", look="moles"
    )
    pores: Distribution = cause(
        choice({0.0: 0.6, 0.03: 0.25, 0.07: 0.15}), "Fine grain of colour and gloss, in adults.", look="pores"
    )
    eyeshadow: Distribution = cause(
        choice({0.0: 0.55, 0.3: 0.25, 0.6: 0.15, 0.9: 0.05}), "Opacity of eye shadow, on grown women.", look="eyeshadow"
    )
    eyeshadow_hue: Distribution = cause(
        choice({0.06: 0.5, 0.9: 0.15, 0.6: 0.15, 0.75: 0.1, 0.4: 0.1}), "Hue of eye shadow."
    )
    rouge: Distribution = cause(
        choice({0.0: 0.55, 0.12: 0.3, 0.28: 0.15}), "Redness of painted cheeks, on grown women.", look="rouge"
    )
    teeth_white: Distribution = factor(uniform(0.8, 2.0), "Brightness of the teeth.", 0, 5, look="teeth_white")
    teeth_parted: Distribution = factor(uniform(0.05, 0.5), "Darkness of the gaps between teeth.", look="teeth_parted")
    crease: Distribution = cause(
        uniform(0.1, 0.3),
        "Depth of the lines that the strongest expression folds, on skin of 30 years; less on children, more with age.",
        0,
        2,
    )
    crown: Distribution = factor(
        normal(9.7, 1.0, 7.5, 12.5),
        "Height of the upper incisors below the gum.",
        3,
        20,
        "mm",
        source="10.5 mm (Wheeler's Dental Anatomy); the spread is a choice",
        look="crown",
    )


@dataclass
class EyesConfig:
    """Eyeballs, lashes and the paint of the lids."""

    SHARED: ClassVar[int] = 10
    iris: Distribution = cause(
        choice({0: 0.42, 1: 0.24, 2: 0.1, 3: 0.12, 4: 0.07, 5: 0.05}),
        "Colour of the iris.",
        choices=IRISES,
        source=_COMMON,
    )
    iris_shade: Distribution = cause(
        log_normal(0.65, 0.3, 0.3, 1.5), "Brightness of the iris relative to its colour's.", 0, 10
    )
    iris_radius: Distribution = factor(normal(5.95, 0.22, 5.4, 6.5), "Radius of the iris.", 3, 9, "mm", source=_IRIS)
    pupil: Distribution = factor(
        uniform(0.25, 0.52),
        "Radius of the pupil as a fraction of the iris's.",
        0.05,
        0.95,
        source=_PUPILS,
        look="pupil",
    )
    sclera: Distribution = factor(uniform(0.32, 0.55), "Albedo of the white of the eye.", look="sclera")
    veins: Distribution = factor(uniform(0.0, 0.35), "Redness of the white.", look="veins")
    lid_shadow: Distribution = factor(uniform(0.35, 0.9), "Darkness under the upper lid.", look="lid_shadow")
    gloss: Distribution = factor(uniform(0.4, 1.6), "Strength of the tear film's highlights.", 0, 10, look="eye_gloss")
    lashes: Distribution = factor(uniform(0.25, 1.0), "Density of the lashes.", look="lashes")
    liner: Distribution = factor(uniform(0.0, 0.9), "Darkness of the painted rim of the lids.", look="liner")
    lash_line: Distribution = factor(uniform(0.25, 0.95), "Darkness of the lashes' roots.", look="lash_line")
    lid_fold: Distribution = factor(uniform(0.0, 0.65), "Darkness of the upper lid's fold.", look="lid_fold")
    fold_place: Distribution = factor(
        uniform(2.2, 4.6), "Where that fold is.", 0, 7, "edge loops from the margin", look="fold_place"
    )
    hood: Distribution = factor(uniform(0.0, 0.45), "Darkness of deep-set upper lids.", look="hood")
    lower_fold: Distribution = factor(
        log_normal(0.15, 1.0, 0.0, 0.75), "Darkness of the folds below the lower lid.", look="lower_fold"
    )
    lower_place: Distribution = factor(
        uniform(1.6, 4.8), "Where the first of them is.", 0, 7, "edge loops from the margin", look="lower_place"
    )
    catchlight: Distribution = factor(
        log_normal(0.07, 0.5, 0.025, 0.22),
        "Size of the lights' images on the eyeball.",
        0.01,
        1,
        "rad",
        look="catchlight",
    )


@dataclass
class BrowsConfig:
    """Brows as painted bands with strands."""

    SHARED: ClassVar[int] = 7
    thickness: Distribution = cause(
        normal(1.02, 0.24, 0.5, 1.7), "Thickness relative to the head's brow band.", 0, 5, look="brow_thickness"
    )
    density: Distribution = factor(normal(0.8, 0.15, 0.3, 1.0), "Opacity.", look="brow_density")
    shade: Distribution = cause(uniform(0.5, 1.2), "Brightness relative to the hair's.", 0, 10)
    taper: Distribution = factor(uniform(0.35, 0.85), "How much the outer end thins.", look="brow_taper")
    strands: Distribution = factor(uniform(0.1, 0.6), "Share of visible strands.", look="brow_strands")
    edge: Distribution = factor(
        uniform(0.35, 1.0), "Softness of the edge.", 0.01, 5, "half thicknesses", look="brow_edge"
    )
    arch: Distribution = factor(
        normal(0.1, 0.25, -0.4, 0.6),
        "How far the outer half is raised over the inner; negative is flat.",
        -3,
        3,
        "half thicknesses",
        look="brow_arch",
    )
    men: float = key(0.2, "How much thicker men's brows are, as a share.", low=-0.9, high=5, source=OURS)


@dataclass
class HairConfig:
    """Hair of the head."""

    SHARED: ClassVar[int] = 20
    style_men: Distribution = cause(
        choice({0: 0.06, 1: 0.1, 2: 0.5, 3: 0.16, 4: 0.06, 5: 0.02, 6: 0.02, 7: 0.08}),
        "Style of men's hair.",
        choices=HAIR_STYLES,
    )
    style_women: Distribution = cause(
        choice({0: 0.01, 1: 0.01, 2: 0.08, 3: 0.12, 4: 0.42, 5: 0.08, 6: 0.03, 7: 0.08, 8: 0.13, 9: 0.04}),
        "Style of women's hair.",
        choices=HAIR_STYLES,
    )
    colour: Distribution = cause(
        uniform(0.0, 1.0), "Place in the table `light.palette.HAIR`: 0 black, 0.9 blond, 1 red.", source=_COLOURS
    )
    shade: Distribution = cause(log_normal(1.0, 0.25, 0.5, 1.9), "Brightness relative to the colour's.", 0, 10)
    grey: Distribution = cause(normal(0.0, 0.2, -0.4, 0.5), "Grey beyond that of age.", -2, 2)
    thickness: Distribution = factor(uniform(0.1, 1.0), "Thickness of the hair, from a style's least to its most.")
    lumps: Distribution = factor(uniform(0.1, 1.0), "Relief of its surface.", 0, 5)
    length: Distribution = factor(uniform(20.0, 260.0), "Length of long hair below the ears.", 0, 600, "mm")
    hairline: Distribution = cause(
        normal(-6.0, 6.0, -20.0, 12.0),
        "Shift of the hairline at the forehead, upwards.",
        -60,
        60,
        "mm",
        source=_LINE,
        look="hairline",
    )
    recess: Distribution = cause(uniform(0.0, 0.8), "Recess of the hairline at the temples.", 0, 2)
    fringe: Distribution = cause(uniform(0.0, 1.0), "Below 0.35 (men) or 0.5 (women) hair falls over the forehead.")
    fringe_length: Distribution = cause(uniform(10.0, 66.0), "How far hair over the forehead comes down.", 0, 200, "mm")
    parting: Distribution = factor(
        normal(0.0, 0.5, -1.0, 1.0),
        "Where the fringe opens, about the crown's axis.",
        -math.pi,
        math.pi,
        "rad",
        look="parting",
    )
    ragged: Distribution = factor(uniform(3.0, 22.0), "Length by which strands end unevenly.", 0.1, 200, "mm")
    contrast: Distribution = factor(uniform(0.15, 0.6), "Contrast between strands.", 0, 5)
    gloss: Distribution = factor(uniform(0.05, 0.5), "Strength of highlights.", 0, 10, look="hair_gloss")
    density: Distribution = factor(uniform(0.75, 1.0), "Opacity of the roots on the scalp.")
    wave: Distribution = factor(uniform(0.0, 1.0), "Curl of the strands.", 0, 5)
    cover_ears: Distribution = factor(uniform(0.0, 1.0), "Long hair falls over the ears below 0.6, else behind them.")
    tips: Distribution = factor(
        choice({0.0: 0.6, 0.25: 0.25, 0.7: 0.15}), "How much brighter the ends are.", 0, 10, look="hair_tips"
    )


@dataclass
class BeardConfig:
    """Facial hair, of adult men only."""

    SHARED: ClassVar[int] = 6
    style: Distribution = cause(
        choice({0: 0.36, 1: 0.24, 2: 0.16, 3: 0.1, 4: 0.14}), "Style of the beard.", choices=BEARD_STYLES
    )
    density: Distribution = factor(uniform(0.6, 1.0), "Opacity.")
    reach: Distribution = factor(
        normal(0.0, 5.0, -10.0, 12.0), "How far up the cheeks it grows.", -60, 60, "mm", look="beard_reach"
    )
    patchiness: Distribution = factor(uniform(0.2, 0.8), "Share of gaps.", look="patchiness")
    shade: Distribution = cause(log_normal(1.0, 0.5, 0.4, 3.0), "Brightness relative to the hair's.", 0, 10)
    length: Distribution = factor(
        log_normal(9.0, 0.8, 2.5, 75.0),
        "Length of full beards; goatees and moustaches are kept shorter, stubble has none.",
        0,
        200,
        "mm",
    )


@dataclass
class ClothesConfig:
    """What covers the torso."""

    SHARED: ClassVar[int] = 7
    neckline: Distribution = factor(
        normal(0.0, 18.0, -60.0, 40.0), "Height above the collar bones.", -200, 150, "mm", look="neckline"
    )
    vee: Distribution = factor(
        choice({0.0: 0.5, 0.4: 0.2, 1.0: 0.2, 1.8: 0.1}), "Depth of a v-shaped opening, mm a mm.", 0, 5, look="vee"
    )
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the cloth.")
    saturation: Distribution = cause(log_normal(0.25, 0.8, 0.0, 0.9), "Saturation of the cloth.")
    value: Distribution = cause(uniform(0.02, 0.85), "Albedo of the cloth.")
    pattern: Distribution = factor(uniform(0.0, 0.35), "Strength of a weave or print.", 0, 2, look="cloth_pattern")
    pattern_scale: Distribution = factor(
        log_normal(1.0, 0.7, 0.2, 6.0), "Texels of the pattern a millimetre.", 0, 50, look="cloth_scale"
    )


@dataclass
class GlassesConfig:
    """Frames and lenses."""

    SHARED: ClassVar[int] = 8
    present: float = chance(0.22, "Chance of glasses.", "glasses.worn", source=_WORN)
    sun: float = chance(0.25, "Chance that lenses are dark.", "glasses.sun")
    width: Distribution = factor(
        normal(25.0, 2.5, 20.0, 32.0), "Half the width of a lens.", 5, 60, "mm", source=_FRAMES
    )
    height: Distribution = factor(normal(18.5, 3.0, 12.0, 27.0), "Half the height of a lens.", 3, 60, "mm")
    roundness: Distribution = factor(uniform(0.15, 1.0), "Shape of a lens: 0 box, 1 ellipse.")
    rim: Distribution = factor(
        log_normal(2.5, 0.5, 0.8, 6.0),
        "Thickness of the rim.",
        0.1,
        20,
        "mm",
        source="wire is 0.8 to 2 mm thick, acetate 3 to 6",
    )
    drop: Distribution = factor(normal(2.0, 1.5, -2.0, 6.0), "How far below the eyes they sit.", -30, 30, "mm")
    value: Distribution = cause(log_normal(0.05, 1.0, 0.01, 0.7), "Albedo of the frame.")
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the frame.")
    tint: Distribution = cause(uniform(0.7, 0.97), "Opacity of dark lenses.")
