"""How surfaces answer light, and what grows on them, as warp functions. Colours are linear.

`look` is one element of an array of `Look`: functions take the array and the image's number, since a struct given by
value is copied at every call. No `from __future__ import annotations` here: warp reads the annotations of functions.
"""

# mypy: ignore-errors
# Warp functions are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look
from .tiles import CLOUD_START, step_between

wp.set_module_options({"enable_backward": False})


@wp.func
def sky_light(looks: wp.array(dtype=Look), b: wp.int32, n: wp.vec3) -> wp.vec3:
    """Irradiance from everywhere on an unoccluded surface with normal n."""
    x = n[0]
    y = n[1]
    z = n[2]
    sky = looks[b].ambient + looks[b].ambient_x * x + looks[b].ambient_y * y + looks[b].ambient_z * z
    sky = sky + looks[b].ambient_xx * (x * x) + looks[b].ambient_zz * (z * z) + looks[b].ambient_xy * (x * y)
    sky = sky + looks[b].ambient_yz * (y * z) + looks[b].ambient_zx * (z * x)
    return wp.vec3(wp.max(sky[0], 0.0), wp.max(sky[1], 0.0), wp.max(sky[2], 0.0))


@wp.func
def lit(glow: wp.vec4, albedo: wp.vec3, gloss: wp.float32) -> wp.vec3:
    """Reflected light: irradiance times albedo, and a highlight of the irradiance's hue."""
    e = wp.vec3(glow[0], glow[1], glow[2])
    s = gloss * glow[3] / wp.max(glow[1], 1.0e-3)
    return wp.vec3(e[0] * (albedo[0] + s), e[1] * (albedo[1] + s), e[2] * (albedo[2] + s))


@wp.func
def wrapped(d: wp.float32, scatter: wp.float32, seen: wp.float32, colour: wp.vec3) -> wp.vec3:
    """Irradiance of one light at cosine d: light wraps past the terminator, red light farthest (scattering in skin)."""
    green = 0.45 * scatter
    blue = 0.3 * scatter
    # a shadow's edge is red for the same reason: blood-coloured light leaks into it
    leak = seen * (1.0 - seen) * scatter
    return wp.vec3(
        colour[0] * wp.max((d + scatter) / (1.0 + scatter), 0.0) * (seen + leak),
        colour[1] * wp.max((d + green) / (1.0 + green), 0.0) * seen,
        colour[2] * wp.max((d + blue) / (1.0 + blue), 0.0) * seen,
    )


@wp.func
def second_light(looks: wp.array(dtype=Look), b: wp.int32, p: wp.vec3) -> wp.vec4:
    """Unit direction towards the second light at p (world, metres), and the share of its colour that arrives there.

    A near one is a disk: on its axis irradiance falls as 1 / (distance^2 + radius^2).
    """
    light = looks[b].light1
    near = looks[b].near
    if near == 0.0:
        return wp.vec4(light[0], light[1], light[2], 1.0)
    towards = light - p * near
    square = wp.dot(towards, towards)
    towards = towards / wp.sqrt(square)
    size = looks[b].near_size
    return wp.vec4(towards[0], towards[1], towards[2], 1.0 / (square + size * size))


@wp.func
def risen(looks: wp.array(dtype=Look), b: wp.int32, d: wp.float32) -> wp.float32:
    """Cosine at which the second light counts: a near one is wide, so that its edge is seen past the horizon."""
    wide = 0.5 * looks[b].near_size
    return (d + wide) / (1.0 + wide)


@wp.func
def highlight(n: wp.vec3, view: wp.vec3, light: wp.vec3, d: wp.float32, roughness: wp.float32) -> wp.float32:
    """Specular reflection of unit light at cosine d: Schlick's rational lobe with a Fresnel term (F0 = 0.028)."""
    if d <= 0.0:
        return 0.0
    half = wp.normalize(light + view)
    nh = wp.max(wp.dot(n, half), 0.0)
    m = 2.0 / (roughness * roughness) - 1.0
    f = 1.0 - wp.max(wp.dot(half, view), 0.0)
    f2 = f * f
    fresnel = 0.062 + 2.14 * f2 * f2 * f
    return d * nh / (m - m * nh + nh) * (m + 3.0) * 0.125 * fresnel


@wp.func
def sheen(
    looks: wp.array(dtype=Look),
    b: wp.int32,
    n: wp.vec3,
    view: wp.vec3,
    ambient: wp.float32,
    sky: wp.float32,
    seen0: wp.float32,
    seen1: wp.float32,
    seen2: wp.float32,
    second: wp.vec4,
    roughness: wp.float32,
) -> wp.float32:
    """Luminance that a smooth surface mirrors. ambient, sky: irradiance from everywhere and the share that arrives;
    second: see `second_light`."""
    graze = 1.0 - wp.max(wp.dot(n, view), 0.0)
    graze = graze * graze
    # what lies around is reflected, blurred, most where it is seen at a grazing angle
    mirror = sky_light(looks, b, n * (2.0 * wp.dot(n, view)) - view)
    s = (0.4 * ambient + 0.6 * mirror[1] * sky) * (0.03 + 0.3 * graze * graze)
    s = s + highlight(n, view, looks[b].light0, wp.dot(n, looks[b].light0), roughness) * seen0 * looks[b].colour0[1]
    if looks[b].colour1[1] > 0.0:
        l1 = wp.vec3(second[0], second[1], second[2])
        s = s + highlight(n, view, l1, wp.dot(n, l1), roughness) * seen1 * looks[b].colour1[1] * second[3]
    if looks[b].colour2[1] > 0.0:
        s = s + highlight(n, view, looks[b].light2, wp.dot(n, looks[b].light2), roughness) * seen2 * looks[b].colour2[1]
    return s


@wp.func
def strand_highlight(tangent: wp.vec3, view: wp.vec3, light: wp.vec3) -> wp.float32:
    """Highlight of hair along `tangent`: sine of the angle to the half vector, to the 24th (Kajiya and Kay, 1989)."""
    along = wp.dot(tangent, wp.normalize(light + view))
    sine2 = wp.max(1.0 - along * along, 0.0)
    s4 = sine2 * sine2
    s8 = s4 * s4
    return s8 * s8 * s8


@wp.func
def brow_shape(looks: wp.array(dtype=Look), b: wp.int32, along: wp.float32) -> wp.vec2:
    """Middle and half thickness of the brow at `along` (0 inner, 1 outer end), in those of the head's band."""
    t = (along - 0.62) / 0.3
    middle = looks[b].brow_arch * (wp.exp(-t * t) - 0.45)
    s = (along - 0.3) / 0.28
    full = 0.88 + 0.22 * wp.exp(-s * s)
    taper = 1.0 - looks[b].brow_taper * step_between(0.45, 1.05, along)
    return wp.vec2(middle, looks[b].brow_thickness * full * taper)


@wp.func
def brow_cover(
    looks: wp.array(dtype=Look), b: wp.int32, along: wp.float32, across: wp.float32, thick: wp.float32, noise: wp.vec4
) -> float:
    """Opacity of brow hair at `along` and `across`, from the brow's middle, where it is `thick`: see `brow_shape`."""
    inner = step_between(-0.08, 0.10, along + 0.04 * noise[1])
    outer = step_between(1.02, 0.7, along)
    body = wp.clamp((thick - wp.abs(across) + 0.25 * noise[1]) / looks[b].brow_edge + 0.5, 0.0, 1.0)
    strands = 1.0 - looks[b].brow_strands * (0.25 - 0.9 * noise[0])
    return wp.clamp(looks[b].brow_density * body * inner * outer * strands, 0.0, 0.97)


@wp.func
def beard_cover(looks: wp.array(dtype=Look), b: wp.int32, density: wp.float32, noise: wp.vec4) -> float:
    """Opacity of facial hair: a density broken up by strands."""
    gaps = 1.0 - looks[b].patchiness * wp.max(1.0 - density, 0.25) * (0.4 - 0.6 * noise[0])
    cover = wp.clamp((density * 1.25 - 0.25 * looks[b].patchiness * noise[3]) * gaps, 0.0, 0.96)
    return wp.where(density > 0.0, cover, 0.0)


@wp.func
def lash_cover(
    looks: wp.array(dtype=Look), tiles: wp.array(dtype=wp.vec4), b: wp.int32, place: wp.vec3, pixel: wp.float32
) -> float:
    """Opacity of lashes: single hairs that taper, curve outwards, and are longer and closer towards the outer corner.

    place: mm along the lid from the inner corner, share of the strip's height, 1 on the upper lid. pixel: mm a pixel;
    hairs finer than that are drawn as their mean.
    """
    t = place[1]
    outer = wp.clamp(place[0] / 30.0, 0.0, 1.0)
    close = 1.1 + 0.5 * place[2]  # hairs a mm
    number = place[0] * (1.0 + 0.35 * outer) * close - 0.9 * t * t * (outer - 0.25)
    cell = wp.floor(number)
    # two independent normal numbers a hair: where it stands and how long it is
    dice = tiles[CLOUD_START + ((wp.int32(cell) * 37 + wp.int32(looks[b].hair_u) + wp.int32(place[2]) * 641) & 16383)]
    reach = (0.5 + 0.16 * place[2] + 0.32 * outer) * (1.0 + 0.13 * dice[2])
    left = wp.max(1.0 - t / reach, 0.0)
    half = 0.4 * wp.sqrt(left) * wp.min(4.0 * left, 1.0)
    aside = wp.abs(number - cell - 0.5 - 0.1 * dice[3])
    hair = wp.clamp((half - aside) / 0.16 + 0.5, 0.0, 1.0) * wp.min(8.0 * left, 1.0)
    coarse = step_between(0.3, 1.1, pixel * close)
    cover = wp.max(hair * (1.0 - coarse) + 1.7 * half * coarse, 0.9 * step_between(0.14, 0.0, t))
    return wp.min(1.15 * looks[b].lashes, 1.0) * cover * (0.75 + 0.25 * outer) * (0.5 + 0.5 * place[2])


@wp.func
def eye_colour(looks: wp.array(dtype=Look), b: wp.int32, d: wp.vec3, noise: wp.vec4) -> wp.vec3:
    """Albedo of the eyeball in unit direction d of its own frame (x left, y up, z along the axis)."""
    across = wp.sqrt(wp.max(1.0 - d[2] * d[2], 0.0)) / looks[b].iris_sine
    white = looks[b].sclera
    corner = step_between(0.35, 0.9, wp.abs(d[0]))
    blood = looks[b].veins * (0.25 + corner) * (0.6 + 0.8 * wp.max(noise[1], 0.0))
    sclera = wp.vec3(white, white * (0.95 - 0.45 * blood), white * (0.92 - 0.5 * blood))
    if d[2] < 0.0:
        return sclera
    fibres = 1.0 + 0.5 * noise[0]
    ring = 1.0 - 0.65 * step_between(0.78, 1.0, across)
    centre = 1.0 + 0.8 * step_between(0.75, 0.35, across)
    iris = looks[b].iris * (fibres * ring * centre)
    pupil = step_between(looks[b].pupil + 0.06, looks[b].pupil - 0.06, across)
    iris = iris * (1.0 - pupil) + wp.vec3(0.006, 0.006, 0.007) * pupil
    edge = step_between(1.06, 0.94, across)
    return sclera * (1.0 - edge) + iris * edge


@wp.func
def catchlight(
    looks: wp.array(dtype=Look), b: wp.int32, n: wp.vec3, view: wp.vec3, light: wp.vec3, d: wp.float32, size: wp.float32
) -> wp.float32:
    """Mirror image of a light of some size on the wet eyeball with normal n, at cosine d."""
    off = 1.0 - wp.dot(n, wp.normalize(light + view))
    return 1.6 * step_between(1.5 * size, 0.6 * size, wp.sqrt(wp.max(off, 0.0))) * step_between(0.0, 0.2, d)


@wp.func
def lid_edge(
    looks: wp.array(dtype=Look), b: wp.int32, out: wp.float32, upper: wp.float32, noise: wp.float32
) -> wp.float32:
    """What roots of lashes, paint and folds leave of a lid's colour.

    out: edge loops outwards from the margin; upper: 1 on the upper lid, 0 on the lower one.
    """
    width = 0.7 + 1.6 * looks[b].liner * upper
    line = step_between(width + 0.9, width - 0.3, out) * step_between(-1.2, -0.3, out)
    dark = line * (looks[b].lash_line * (0.35 + 0.65 * upper) + 0.25 * looks[b].liner * upper)
    t = (out - looks[b].fold_place) / 0.55
    fold = looks[b].lid_fold * wp.exp(-t * t) + looks[b].hood * step_between(7.0, 2.0, out)
    # below, the fold of the lid and that of the bag
    s = (out - looks[b].lower_place) / 0.5
    r = (out - looks[b].lower_place - 1.9) / 0.7
    below = looks[b].lower_fold * wp.max(wp.exp(-s * s), 0.7 * wp.exp(-r * r))
    folds = upper * fold + (1.0 - upper) * below
    return (1.0 - wp.min(dark, 0.95)) * (1.0 - wp.min(folds * (1.0 + 0.3 * noise), 0.9))


@wp.func
def lid_shadow(distance: wp.float32, strength: wp.float32) -> wp.float32:
    """What the upper lid and its lashes leave of the light, `distance` mm below its rim."""
    return 1.0 - strength * step_between(6.0, -1.0, distance)
