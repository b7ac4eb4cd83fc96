"""What is seen in an open mouth: teeth, gums and tongue, as warp functions of a canonical point in mm.

No `from __future__ import annotations` here: warp reads the annotations of its functions.
"""

# mypy: ignore-errors
# These are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .arrays import Head
from .surfaces import lit
from .tiles import SKIN_START, square_at, step_between

wp.set_module_options({"enable_backward": False})

# where each tooth but the first ends, mm along the arch: mesiodistal widths (Wheeler's Dental Anatomy) times 1.2, as
# wide as the head model's arch is
TEETH = wp.constant(6)
UPPER_TEETH = wp.constant(wp.types.vector(length=6, dtype=wp.float32)(10.2, 18.0, 27.0, 35.4, 43.5, 55.5))
LOWER_TEETH = wp.constant(wp.types.vector(length=6, dtype=wp.float32)(6.0, 12.6, 21.0, 29.4, 38.0, 51.0))


@wp.func
def tongue_light(head: Head, glow: wp.vec4, mm: wp.vec3) -> wp.vec3:
    """The tongue at a canonical point: moist and rough, a groove along its middle, dark where the mouth closes in."""
    grain = square_at(head.tiles, SKIN_START, 4.0 * mm[0], 3.0 * mm[2] - 2.0 * mm[1])
    side = mm[0] + 0.8 * grain[0]
    groove = wp.exp(-0.16 * side * side) * step_between(16.0, 6.0, mm[2])
    edge = step_between(24.0, 12.0, wp.abs(mm[0]))
    deep = 0.05 + 0.7 * step_between(-34.0, 16.0, mm[2]) * (0.45 + 0.55 * edge)
    pale = 0.12 * step_between(-20.0, 10.0, mm[2]) * (0.5 + 0.2 * grain[1])
    albedo = wp.vec3(0.40 + pale, 0.125 + pale, 0.12 + pale)
    shade = deep * (1.0 - 0.45 * groove) * (1.0 + 0.06 * grain[1] + 0.05 * grain[3])
    return lit(glow, albedo, 0.6 * (1.0 + 0.3 * grain[1])) * wp.max(shade, 0.0)


@wp.func
def tooth_light(
    glow: wp.vec4, mm: wp.vec3, white: wp.float32, parted: wp.float32, crown: wp.float32, tone: wp.vec3
) -> wp.vec4:
    """A tooth at a canonical point: rounded, parted by gaps, darker towards the corner of the mouth; and its gum.

    white: brightness; parted: darkness of the gaps; crown: mm of the upper incisors below the gum; tone: of the skin.
    Returns light, and how far it is gum.
    """
    back = 20.0 - mm[2]
    along = 1.05 * wp.sqrt(mm[0] * mm[0] + back * back)  # mm on the arch from between the middle incisors
    rim = 0.12 * back - 72.8  # where upper and lower teeth meet
    starts = UPPER_TEETH
    # crowns of molars and lower teeth are shorter (Wheeler's Dental Anatomy)
    tall = crown - 3.0 * step_between(27.0, 46.0, along)
    if mm[1] < rim:
        starts = LOWER_TEETH
        tall = 0.87 * tall
    gap = along
    for k in range(TEETH):
        gap = wp.min(gap, wp.abs(along - starts[k]))
    from_rim = wp.abs(mm[1] - rim)
    height = wp.clamp(from_rim / tall, 0.0, 1.0)
    # the gum's edge is an arch over each tooth and comes down between two
    over = from_rim - tall + 3.2 * wp.exp(-0.45 * gap * gap)
    gum = step_between(-0.35, 0.35, over)
    # teeth touch half way up: from there the gap opens a little towards the edge
    width = 0.35 + 0.5 * step_between(0.35, 0.0, height)
    shade = 1.0 - parted * step_between(1.5 * width, 0.2 * width, gap)
    shade = shade * (0.84 + 0.16 * step_between(0.0, 3.5, gap)) * (1.0 - 0.2 * step_between(-1.5, 0.0, over))
    # the cheeks keep light from the teeth behind the canines, the lip from the gum under it
    cheek = 0.12 + 0.98 * step_between(46.0, 14.0, along)
    yellow = 0.05 * step_between(12.0, 30.0, along) + 0.12 * height
    tooth = lit(glow, wp.vec3(0.60, 0.56 - 0.35 * yellow, 0.50 - yellow), 0.5 * shade) * (shade * white)
    dark = 0.55 + 0.45 * step_between(0.05, 0.35, tone[1])  # dark skin has dark gums
    pink = wp.vec3(0.50, 0.19, 0.19) * (dark * (0.8 + 0.2 * step_between(0.0, 2.5, gap)))
    flesh = lit(glow, pink, 1.5) * (1.0 - 0.5 * step_between(1.0, 7.0, over))
    light = (tooth * (1.0 - gum) + flesh * gum) * cheek
    return wp.vec4(light[0], light[1], light[2], gum)
