# ruff: noqa: RUF009
# The helpers of `table` return dataclass fields, not values.
"""Factors of things in the way: hats, masks, scarves, hands, other occluders, jewellery, picture borders (see `table`).

Lengths are in millimetres; angles are radians in Python and degrees in YAML. Where a count is given as a source, it is
that of the first 700 mask sets of CelebAMask-HQ (38 hats, 162 earrings, 27 necklaces), two thirds of them women.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .distributions import Distribution, choice, log_normal, normal, uniform
from .table import cause, chance, factor

HAT_KINDS = ("cap", "beanie", "brimmed", "headscarf", "hood")
HAND_PLACES = ("cheek", "chin", "mouth", "forehead", "temple")
THINGS = ("microphone", "cup", "phone", "blob")
EARRING_KINDS = ("stud", "hoop", "drop")
BORDERS = ("black", "white", "repeated")
SIDES = ("left", "right", "top", "bottom")
TINTS = ("pale blue", "white", "dark", "any hue")
METALS = ("gold", "silver", "pearl", "any hue")


@dataclass
class HatConfig:
    """A hat, headscarf or hood. Brows end near 25 mm above the eyes, an ear's top is at about 15."""

    SHARED: ClassVar[int] = 19
    present: float = chance(
        0.08,
        "Chance of a hat.",
        "hat.present",
        source="5 % in CelebAMask-HQ (a count, see factors/worn.py), more outdoors",
    )
    kind_men: Distribution = cause(choice({0: 0.5, 1: 0.26, 2: 0.17, 4: 0.07}), "What men wear.", choices=HAT_KINDS)
    kind_women: Distribution = cause(
        choice({0: 0.18, 1: 0.26, 2: 0.32, 3: 0.18, 4: 0.06}), "What women wear.", choices=HAT_KINDS
    )
    reach: Distribution = cause(
        normal(47.0, 8.0, 30.0, 68.0), "Height of the rim above the eyes in front.", 0, 120, "mm"
    )
    side: Distribution = cause(normal(21.0, 6.0, 4.0, 34.0), "Height of the rim at the sides.", -60, 120, "mm")
    back: Distribution = cause(normal(-28.0, 14.0, -58.0, 0.0), "Height of the rim at the back.", -150, 120, "mm")
    turn: Distribution = factor(
        choice({0.0: 0.74, 0.2: 0.07, -0.2: 0.07, math.pi: 0.12}),
        "Where a cap's peak points.",
        -math.pi,
        math.pi,
        "rad",
    )
    peak: Distribution = factor(uniform(54.0, 78.0), "Length of the peak.", 0, 200, "mm")
    droop: Distribution = factor(uniform(0.05, 0.5), "How far the peak points down.", -1.5, 1.5, "rad")
    brim: Distribution = factor(log_normal(56.0, 0.32, 32.0, 105.0), "Width of a brim.", 0, 300, "mm")
    curl: Distribution = factor(normal(0.02, 0.22, -0.5, 0.45), "Slope of the brim, upwards.", -2, 2)
    crown: Distribution = factor(uniform(26.0, 52.0), "Height of a hat's crown above the skull.", 0, 300, "mm")
    slouch: Distribution = factor(uniform(2.0, 42.0), "How far a knitted cap stands off the crown.", 0, 200, "mm")
    cuff: Distribution = factor(
        choice({0.0: 0.4, 34.0: 0.2, 46.0: 0.25, 58.0: 0.15}), "Height of its fold; 0 for none.", 0, 150, "mm"
    )
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the cloth.")
    saturation: Distribution = cause(log_normal(0.3, 0.8, 0.0, 0.9), "Saturation of the cloth.")
    value: Distribution = cause(log_normal(0.13, 0.9, 0.01, 0.8), "Albedo of the cloth.")
    band: Distribution = factor(
        choice({0.35: 0.5, 1.0: 0.2, 2.5: 0.3}), "Brightness of a hat's band relative to the cloth.", 0, 20
    )
    knit: Distribution = factor(uniform(0.12, 0.4), "Strength of ribs and stitches.", 0, 2)
    ribs: Distribution = cause(uniform(44.0, 90.0), "Number of ribs around the head.", 4, 400)


@dataclass
class MaskConfig:
    """A mask over mouth and nose."""

    SHARED: ClassVar[int] = 7
    present: float = chance(0.03, "Chance of a mask.", "mask.present")
    under_nose: float = chance(0.06, "Chance that it is worn below the nose.", "mask.under_nose")
    top: Distribution = factor(uniform(0.12, 0.6), "Where its edge crosses the nose: 0 the root, 1 the tip.")
    chin: Distribution = factor(uniform(2.0, 14.0), "How far it reaches under the chin.", 0, 60, "mm")
    slack: Distribution = factor(uniform(0.5, 4.0), "How loosely it spans hollows.", 0, 30, "mm")
    folds: Distribution = factor(uniform(0.0, 2.2), "Depth of the pleats.", 0, 20, "mm")
    tint: Distribution = cause(choice({0: 0.4, 1: 0.25, 2: 0.2, 3: 0.15}), "Colour of the mask.", choices=TINTS)
    value: Distribution = cause(uniform(0.7, 1.1), "Brightness relative to the colour's.", 0, 2)
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of masks of any hue.")


@dataclass
class ScarfConfig:
    """Cloth around the neck."""

    SHARED: ClassVar[int] = 9
    present: float = chance(0.04, "Chance of a scarf.", "scarf.present", entangled=True)
    bulk: Distribution = factor(uniform(16.0, 30.0), "Thickness of the cloth.", 1, 100, "mm")
    tall: Distribution = factor(uniform(24.0, 46.0), "Half its height.", 1, 150, "mm")
    rise: Distribution = factor(normal(-22.0, 18.0, -55.0, 30.0), "Its upper edge above the chin.", -150, 100, "mm")
    loose: Distribution = factor(uniform(0.0, 9.0), "Gap to the neck.", 0, 60, "mm")
    folds: Distribution = factor(uniform(0.15, 0.45), "Depth of its folds, as a share of the thickness.", 0, 2)
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the cloth.")
    saturation: Distribution = cause(log_normal(0.3, 0.8, 0.0, 0.9), "Saturation of the cloth.")
    value: Distribution = cause(log_normal(0.2, 0.8, 0.015, 0.8), "Albedo of the cloth.")
    knit: Distribution = factor(uniform(0.1, 0.4), "Strength of the pattern.", 0, 2)


@dataclass
class HandConfig:
    """A bare hand, of the person's own colour, at the face; either hand is as likely."""

    SHARED: ClassVar[int] = 8
    present: float = chance(0.05, "Chance of a hand at the face.", "hand.present", entangled=True)
    place: Distribution = cause(
        choice({0: 0.36, 1: 0.28, 2: 0.16, 3: 0.08, 4: 0.12}), "Where it rests.", choices=HAND_PLACES
    )
    size: Distribution = factor(normal(1.0, 0.07, 0.82, 1.18), "Size relative to an adult's (185 mm).", 0.3, 3)
    x: Distribution = factor(normal(0.0, 9.0, -22.0, 22.0), "Shift along the face, sideways.", -150, 150, "mm")
    y: Distribution = factor(normal(0.0, 9.0, -22.0, 22.0), "Shift along the face, upwards.", -150, 150, "mm")
    turn: Distribution = factor(normal(0.0, 0.28, -0.8, 0.8), "Turn in the face's plane.", -math.pi, math.pi, "rad")
    spread: Distribution = factor(uniform(0.0, 0.2), "Angle between neighbouring fingers.", 0, 1, "rad")
    curl: Distribution = factor(uniform(0.1, 1.3), "Bend of the fingers over their length.", 0, 3, "rad")
    lift: Distribution = factor(choice({0.0: 0.75, 12.0: 0.15, 40.0: 0.1}), "Gap to the skin.", 0, 300, "mm")


@dataclass
class OccluderConfig:
    """Another thing in front of the face."""

    SHARED: ClassVar[int] = 9
    present: float = chance(0.05, "Chance of a thing.", "occluder.present")
    skin: float = chance(0.4, "Chance that a blob has the colour of the skin.")
    held: float = chance(0.75, "Chance that a hand holds a microphone.", "occluder.held", entangled=True)
    kind: Distribution = cause(choice({0: 0.44, 1: 0.26, 2: 0.2, 3: 0.1}), "What it is.", choices=THINGS)
    size: Distribution = factor(log_normal(1.0, 0.16, 0.7, 1.5), "Size relative to a usual one.", 0.1, 10)
    x: Distribution = factor(normal(0.0, 12.0, -30.0, 30.0), "Shift from its usual place, sideways.", -200, 200, "mm")
    y: Distribution = factor(normal(0.0, 14.0, -30.0, 30.0), "Shift from its usual place, upwards.", -200, 200, "mm")
    turn: Distribution = factor(normal(0.0, 0.35, -0.9, 0.9), "Turn in the picture's plane.", -math.pi, math.pi, "rad")
    near: Distribution = factor(uniform(4.0, 45.0), "Gap to the face.", 0, 400, "mm")
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of the thing.")
    saturation: Distribution = cause(log_normal(0.2, 0.9, 0.0, 0.9), "Saturation of the thing.")
    value: Distribution = cause(log_normal(0.12, 1.1, 0.008, 0.8), "Albedo of the thing.")


@dataclass
class JewelleryConfig:
    """Earrings and a chain."""

    SHARED: ClassVar[int] = 10
    women: float = chance(0.25, "Chance that women wear earrings.", source="23 % of CelebAMask-HQ, nearly all women")
    men: float = chance(0.04, "Chance that men do.")
    single: float = chance(0.05, "Chance of one earring only.")
    necklace: float = chance(
        0.05,
        "Chance of a chain, for women.",
        "jewellery.necklace",
        source="4 % in CelebAMask-HQ (a count, see factors/worn.py)",
        entangled=True,
    )
    kind: Distribution = cause(choice({0: 0.42, 1: 0.28, 2: 0.3}), "Kind of women's earrings.", choices=EARRING_KINDS)
    stud: Distribution = factor(uniform(1.8, 4.8), "Radius of a stud.", 0.2, 30, "mm")
    hoop: Distribution = factor(log_normal(10.0, 0.5, 5.0, 30.0), "Radius of a hoop.", 1, 80, "mm")
    wire: Distribution = factor(uniform(0.7, 2.0), "Radius of the hoop's wire.", 0.1, 10, "mm")
    drop: Distribution = factor(log_normal(11.0, 0.5, 5.0, 34.0), "Length of a drop.", 1, 100, "mm")
    swing: Distribution = factor(uniform(2.0, 16.0), "How far it hangs below the lobe.", 0, 100, "mm")
    metal: Distribution = cause(choice({0: 0.4, 1: 0.3, 2: 0.15, 3: 0.15}), "Colour of the metal.", choices=METALS)
    hue: Distribution = cause(uniform(0.0, 1.0), "Hue of stones.")
    chain: Distribution = factor(log_normal(1.2, 0.5, 0.7, 4.0), "Radius of the chain.", 0.1, 15, "mm")
    droop: Distribution = factor(uniform(16.0, 52.0), "How far the chain hangs in front.", 0, 200, "mm")


@dataclass
class BorderConfig:
    """Faces partly outside the picture, and pictures cut from beyond a photograph's edge."""

    SHARED: ClassVar[int] = 5
    cut: float = chance(0.03, "Chance that the camera is shifted so that the face is partly outside.", "border.cut")
    margin: float = chance(
        0.04, "Chance that the picture reaches beyond the photograph it was cut from.", "border.margin", entangled=True
    )
    shift: Distribution = cause(uniform(0.1, 0.3), "How far the camera is shifted.", 0, 2, "image sizes")
    way: Distribution = cause(uniform(-math.pi, math.pi), "Which way it is shifted.", -2 * math.pi, 2 * math.pi, "rad")
    side: Distribution = cause(choice({0: 0.25, 1: 0.25, 2: 0.3, 3: 0.2}), "Side of the margin.", choices=SIDES)
    wide: Distribution = cause(uniform(0.02, 0.25), "Width of the margin, never onto a landmark.", 0, 1, "image sizes")
    fill: Distribution = cause(choice({0: 0.6, 1: 0.1, 2: 0.3}), "What fills the margin.", choices=BORDERS)
