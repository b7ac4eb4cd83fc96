# ruff: noqa: RUF009
# The helpers of `distributions` return dataclass fields, not values.
"""Things in the way, as named distributions: hats, masks, scarves, hands, other occluders, jewellery, picture borders.

Lengths are in millimetres and angles in radians unless a name says otherwise. Chances are those of photographs taken in
the wild; where a count is given it is that of the first 700 mask sets of CelebAMask-HQ (38 hats, 162 earrings, 27
necklaces), whose people are two thirds women; the others are guesses, made to be changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .distributions import Distribution, choice, log_normal, normal, uniform

HAT_KINDS = ("cap", "beanie", "brimmed", "headscarf", "hood")
HAND_PLACES = ("cheek", "chin", "mouth", "forehead", "temple")
THINGS = ("microphone", "cup", "phone", "blob")
EARRING_KINDS = ("stud", "hoop", "drop")
BORDERS = ("black", "white", "repeated")


@dataclass
class HatConfig:
    """present: chance (5 % of CelebAMask-HQ, more outdoors). kind_*: index into HAT_KINDS for men and women.

    reach: height of the rim above the eyes in front (brows end near 25 mm); side, back: likewise there; an ear's top is
    at about 15. turn: azimuth of a cap's peak. peak: its length; droop: how far it points down. brim: width; curl: its
    slope upwards. crown: height of a hat's crown above the skull; slouch: of a beanie's. cuff: height of its fold, 0
    for none. hue, saturation, value of the cloth; band: value of a hat's band relative to it. knit: strength of ribs
    and stitches; ribs: their number around the head.
    """

    present: float = 0.08
    kind_men: Distribution = choice({0: 0.5, 1: 0.26, 2: 0.17, 4: 0.07})
    kind_women: Distribution = choice({0: 0.18, 1: 0.26, 2: 0.32, 3: 0.18, 4: 0.06})
    reach: Distribution = normal(47.0, 8.0, 30.0, 68.0)
    side: Distribution = normal(21.0, 6.0, 4.0, 34.0)
    back: Distribution = normal(-28.0, 14.0, -58.0, 0.0)
    turn: Distribution = choice({0.0: 0.74, 0.2: 0.07, -0.2: 0.07, math.pi: 0.12})
    peak: Distribution = uniform(54.0, 78.0)
    droop: Distribution = uniform(0.05, 0.5)
    brim: Distribution = log_normal(56.0, 0.32, 32.0, 105.0)
    curl: Distribution = normal(0.02, 0.22, -0.5, 0.45)
    crown: Distribution = uniform(26.0, 52.0)
    slouch: Distribution = uniform(2.0, 42.0)
    cuff: Distribution = choice({0.0: 0.4, 34.0: 0.2, 46.0: 0.25, 58.0: 0.15})
    hue: Distribution = uniform(0.0, 1.0)
    saturation: Distribution = log_normal(0.3, 0.8, 0.0, 0.9)
    value: Distribution = log_normal(0.13, 0.9, 0.01, 0.8)
    band: Distribution = choice({0.35: 0.5, 1.0: 0.2, 2.5: 0.3})
    knit: Distribution = uniform(0.12, 0.4)
    ribs: Distribution = uniform(44.0, 90.0)


@dataclass
class MaskConfig:
    """present: chance. top: where the upper edge crosses the nose, from its root (0) to its tip (1); below 1, since
    most people cover the nose; under_nose: chance that it is worn below. chin: mm it reaches under the chin. slack: how
    loosely the cloth spans hollows. folds: depth of the pleats. tint: index into `masks.COLOURS`; value: brightness."""

    present: float = 0.03
    under_nose: float = 0.06
    top: Distribution = uniform(0.12, 0.6)
    chin: Distribution = uniform(2.0, 14.0)
    slack: Distribution = uniform(0.5, 4.0)
    folds: Distribution = uniform(0.0, 2.2)
    tint: Distribution = choice({0: 0.4, 1: 0.25, 2: 0.2, 3: 0.15})
    value: Distribution = uniform(0.7, 1.1)
    hue: Distribution = uniform(0.0, 1.0)


@dataclass
class ScarfConfig:
    """present: chance. bulk: thickness of the cloth around the neck; tall: half its height; rise: mm its upper edge
    lies above the chin in front (mostly below: negative); loose: gap to the neck. folds: depth of its folds; hue,
    saturation, value: colour; knit: strength of the pattern."""

    present: float = 0.04
    bulk: Distribution = uniform(16.0, 30.0)
    tall: Distribution = uniform(24.0, 46.0)
    rise: Distribution = normal(-22.0, 18.0, -55.0, 30.0)
    loose: Distribution = uniform(0.0, 9.0)
    folds: Distribution = uniform(0.15, 0.45)
    hue: Distribution = uniform(0.0, 1.0)
    saturation: Distribution = log_normal(0.3, 0.8, 0.0, 0.9)
    value: Distribution = log_normal(0.2, 0.8, 0.015, 0.8)
    knit: Distribution = uniform(0.1, 0.4)


@dataclass
class HandConfig:
    """present: chance of a bare hand, the person's own colour, at the face. place: index into HAND_PLACES; left: which
    hand is as likely. size: of an adult's hand (185 mm) relative to the face; x, y: shift along the face; turn: in the
    face's plane; spread: between fingers; curl: bend of the fingers, radians over their length; lift: gap to
    the skin."""

    present: float = 0.05
    place: Distribution = choice({0: 0.36, 1: 0.28, 2: 0.16, 3: 0.08, 4: 0.12})
    size: Distribution = normal(1.0, 0.07, 0.82, 1.18)
    x: Distribution = normal(0.0, 9.0, -22.0, 22.0)
    y: Distribution = normal(0.0, 9.0, -22.0, 22.0)
    turn: Distribution = normal(0.0, 0.28, -0.8, 0.8)
    spread: Distribution = uniform(0.0, 0.2)
    curl: Distribution = uniform(0.1, 1.3)
    lift: Distribution = choice({0.0: 0.75, 12.0: 0.15, 40.0: 0.1})


@dataclass
class OccluderConfig:
    """present: chance of another thing in front of the face. kind: index into THINGS; size: relative to a usual one. x,
    y: its place from where such a thing is held (a blob's: from the nose), mm; turn: in the picture's plane; near: gap
    to the face; hue, saturation, value: colour; skin: chance that a blob has the colour of the skin; held: chance that
    a hand holds a microphone; other things always are held."""

    present: float = 0.05
    skin: float = 0.4
    held: float = 0.75
    kind: Distribution = choice({0: 0.44, 1: 0.26, 2: 0.2, 3: 0.1})
    size: Distribution = log_normal(1.0, 0.16, 0.7, 1.5)
    x: Distribution = normal(0.0, 12.0, -30.0, 30.0)
    y: Distribution = normal(0.0, 14.0, -30.0, 30.0)
    turn: Distribution = normal(0.0, 0.35, -0.9, 0.9)
    near: Distribution = uniform(4.0, 45.0)
    hue: Distribution = uniform(0.0, 1.0)
    saturation: Distribution = log_normal(0.2, 0.9, 0.0, 0.9)
    value: Distribution = log_normal(0.12, 1.1, 0.008, 0.8)


@dataclass
class JewelleryConfig:
    """women, men: chance of earrings (23 % of CelebAMask-HQ, nearly all women); single: chance of one only.
    kind: index into EARRING_KINDS. stud, hoop: radius; wire: of the hoop; drop: length; swing: how far it hangs below
    the lobe. metal: index into `jewellery.METALS`; hue: of stones. necklace: chance for women; chain: its radius;
    droop: how far it hangs in front."""

    women: float = 0.25
    men: float = 0.04
    single: float = 0.05
    necklace: float = 0.05
    kind: Distribution = choice({0: 0.42, 1: 0.28, 2: 0.3})
    stud: Distribution = uniform(1.8, 4.8)
    hoop: Distribution = log_normal(10.0, 0.5, 5.0, 30.0)
    wire: Distribution = uniform(0.7, 2.0)
    drop: Distribution = log_normal(11.0, 0.5, 5.0, 34.0)
    swing: Distribution = uniform(2.0, 16.0)
    metal: Distribution = choice({0: 0.4, 1: 0.3, 2: 0.15, 3: 0.15})
    hue: Distribution = uniform(0.0, 1.0)
    chain: Distribution = log_normal(1.2, 0.5, 0.7, 4.0)
    droop: Distribution = uniform(16.0, 52.0)


@dataclass
class BorderConfig:
    """cut: chance that the camera is shifted so far that the face is partly outside; shift: how far, in image sizes, in
    direction `way`. margin: chance that the picture reaches beyond the photograph it was cut from, as a crop around a
    face near a photograph's edge does; side: 0 left, 1 right, 2 top, 3 bottom; wide: how far, in image sizes (never
    onto a landmark); fill: index into BORDERS."""

    cut: float = 0.03
    margin: float = 0.04
    shift: Distribution = uniform(0.1, 0.3)
    way: Distribution = uniform(-math.pi, math.pi)
    side: Distribution = choice({0: 0.25, 1: 0.25, 2: 0.3, 3: 0.2})
    wide: Distribution = uniform(0.02, 0.25)
    fill: Distribution = choice({0: 0.6, 1: 0.1, 2: 0.3})
